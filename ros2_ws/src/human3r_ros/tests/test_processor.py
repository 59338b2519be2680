"""The processor with the real network and an output that keeps or refuses what is sent."""

import numpy as np
import pytest
from human3r_msgs.msg import FrameStatus
from human3r_ros import convert
from human3r_ros.calibration import CalibrationCache
from human3r_ros.intake import Arrival, Intake
from human3r_ros.notices import Notices
from human3r_ros.placement import Placement
from human3r_ros.processor import StreamProcessor, Surroundings
from human3r_ros.tracks import TrackBook
from human3r_ros.transforms import FrameTree
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from human3r.pipeline import Pipeline
from ros2_ws.src.human3r_ros.tests.node_process import SECOND_NS, scene
from ros2_ws.src.human3r_ros.tests.outlet import Outlet

T0 = 1000 * SECOND_NS


class Desk:
    def __init__(self, pipeline):
        self.outlet, self.said, self.now_ns = Outlet(is_listening=False), [], T0
        self.settings = pipeline.settings
        placement = Placement(FrameTree(), self.outlet, self.settings)
        around = Surroundings(
            settings=lambda: self.settings,
            now_ns=lambda: self.now_ns,
            is_simulated=lambda: False,
            notices=Notices(self.said.append, period_s=600.0),
            on_fault=self.said.append,
            calibrations=CalibrationCache(),
            tracks=TrackBook(),
        )
        self.processor = StreamProcessor(pipeline, self.outlet, placement, around)
        self.processor.begin(Intake(1, keep_newest=True), reset=True)

    def handle(self, stamp_ns, pixels=None):
        pixels = scene() if pixels is None else pixels
        height, width = pixels.shape[:2]
        image = Image(
            header=convert.header(stamp_ns, "cam"),
            height=height,
            width=width,
            encoding="rgb8",
            step=3 * width,
            data=np.ascontiguousarray(pixels).tobytes(),
        )
        self.processor.handle(Arrival(serialize_message(image), stamp_ns))


@pytest.fixture
def desk(pipeline):
    pipeline.reset()
    return Desk(pipeline)


def test_a_report_that_cannot_be_written_does_not_end_the_stream(desk):
    desk.handle(T0)
    # An age beyond float32.
    desk.now_ns = 10**60
    desk.handle(T0 + SECOND_NS)
    assert len(desk.outlet.of("humans")) == 2
    assert len(desk.outlet.of("status")) == 1
    assert any("report of a frame cannot be sent" in text for text in desk.said)
    desk.now_ns = T0
    desk.handle(T0 + 2 * SECOND_NS)
    assert desk.outlet.of("status")[-1].processed == 3


def test_a_report_that_cannot_be_sent_is_mentioned_once_in_a_while(desk):
    desk.outlet.broken.add("status")
    for i in range(3):
        desk.handle(T0 + i * SECOND_NS)
    desk.processor.idle()
    assert sum("report of a frame cannot be sent" in text for text in desk.said) == 1


def test_the_closing_message_is_that_of_the_last_frame_that_was_published(desk):
    desk.handle(T0)
    desk.outlet.broken.add("humans")
    desk.handle(T0 + SECOND_NS)
    assert desk.outlet.of("status")[-1].outcome == FrameStatus.FAILED
    assert desk.processor.closing_context().stamp_ns == T0


def test_an_error_before_the_network_is_a_failed_frame(desk, monkeypatch):
    monkeypatch.setattr(CalibrationCache, "for_image", lambda *_: 1 / 0)
    desk.handle(T0)
    status = desk.outlet.of("status")[-1]
    assert (status.outcome, status.rejected) == (FrameStatus.FAILED, 1)
    assert "ZeroDivisionError" in status.message


def test_people_the_network_no_longer_finds_coast_and_are_lost_once(desk):
    desk.settings = desk.settings.replace(
        {"people.min_score": 0.01, "people.max_count": 3, "people.coast_s": 0.3}
    )
    for i in range(3):
        desk.handle(T0 + i * SECOND_NS // 10)
    known = {h.id for h in desk.outlet.of("humans")[-1].humans if h.track_state == h.TRACK_OK}
    assert known, "the seeded network should see somebody twice at this threshold"
    desk.settings = desk.settings.replace({"people.min_score": 1.0})
    for i in range(3, 9):
        desk.handle(T0 + i * SECOND_NS // 10)
    arrays = desk.outlet.of("humans")[3:]
    assert [s.humans for s in desk.outlet.of("status")[3:]] == [len(a.humans) for a in arrays]
    states = [{h.id: h.track_state for h in array.humans} for array in arrays]
    for coasting in states[:3]:
        assert {k for k, state in coasting.items() if state == 2} == known
    assert states[3] == dict.fromkeys(known, 3)
    assert states[4:] == [{}, {}]


def test_a_path_that_was_lost_is_said(pipeline):
    settings = pipeline.settings.replace({"odometry.source": "corners"})
    desk = Desk(Pipeline(pipeline.network, pipeline.body_model, settings))
    desk.handle(T0)
    cut = np.random.default_rng(0).integers(0, 255, scene().shape, np.uint8)
    desk.handle(T0 + SECOND_NS, cut)
    before, after = desk.outlet.of("status")
    assert "counts as standing still" not in before.message
    assert "counts as standing still" in after.message
    poses = [array.camera_pose for array in desk.outlet.of("humans")]
    assert poses[0] == poses[1]
