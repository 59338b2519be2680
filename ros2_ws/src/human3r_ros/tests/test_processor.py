"""The processor with the real network and an output that keeps or refuses what is sent."""

import time

import numpy as np
import pytest
from human3r_msgs.msg import FrameStatus
from human3r_ros import convert
from human3r_ros.placement import Placement
from human3r_ros.processor import ProcessorContext, StreamProcessor
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.transforms import FrameTree
from human3r_ros.worker import Arrival, FrameQueue
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from human3r.camera.calibration import CalibrationCache
from human3r.pipeline import Pipeline
from ros2_ws.src.human3r_ros.tests.node_process import SECOND_NS, scene
from ros2_ws.src.human3r_ros.tests.outlet import Outlet

T0 = 1000 * SECOND_NS


class Desk:
    def __init__(self, pipeline, is_listening=False, is_simulated=False):
        self.outlet, self.said, self.now_ns = Outlet(is_listening=is_listening), [], T0
        self.settings = pipeline.settings
        self.calibrations = CalibrationCache()
        placement = Placement(FrameTree(), self.outlet, pipeline.level, self.settings)
        around = ProcessorContext(
            settings=lambda: self.settings,
            now_ns=lambda: self.now_ns,
            is_simulated=lambda: is_simulated,
            throttled_log=ThrottledLog(self.said.append, period_s=600.0),
            on_fault=self.said.append,
            calibrations=self.calibrations,
        )
        self.processor = StreamProcessor(pipeline, self.outlet, placement, around)
        self.processor.begin(FrameQueue(1, keep_newest=True), reset=True)

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


@pytest.mark.parametrize("first", ["clock", "image"])
def test_a_replay_is_one_session_whether_the_clock_or_an_image_goes_back_first(desk, first):
    """They come on topics of their own, in either order."""
    desk.handle(T0 + 10 * SECOND_NS)
    before = desk.processor.session
    if first == "clock":
        desk.processor.time_jumped(T0, time.monotonic())
    desk.handle(T0)
    if first == "image":
        desk.processor.time_jumped(T0 + SECOND_NS // 2, time.monotonic())
    desk.handle(T0 + SECOND_NS)
    reports = desk.outlet.of("status")
    assert [report.session for report in reports[1:]] == [before + 1, before + 1]
    assert reports[1].reset_reason == FrameStatus.RESET_TIME_JUMP
    assert reports[2].reset_reason == FrameStatus.RESET_NONE


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
    settings = pipeline.settings.replace({"odometry.source": "features"})
    desk = Desk(Pipeline(pipeline.network, pipeline.body_model, settings))
    desk.handle(T0)
    cut = np.random.default_rng(0).integers(0, 255, scene().shape, np.uint8)
    desk.handle(T0 + SECOND_NS, cut)
    before, after = desk.outlet.of("status")
    assert "counts as standing still" not in before.message
    assert "counts as standing still" in after.message
    poses = [array.camera_pose for array in desk.outlet.of("humans")]
    assert poses[0] == poses[1]


def test_an_image_without_a_scene_gives_no_points_no_odometry_and_no_map(pipeline):
    pipeline.reset()
    desk = Desk(pipeline, is_listening=True)
    desk.settings = desk.settings.replace(
        {
            **{"people.min_score": 0.01, "people.max_count": 3, "people.coast_s": 2.5},
            **{"map.enabled": True},
            **{"scene.min_confidence": 1.0, "scene.edge_filter": 0.0},
            **{"scene.min_range_m": 0.0, "scene.mask_threshold": 0.99},
        }
    )
    for i in range(3):
        desk.handle(T0 + i * SECOND_NS)
    voxels = len(desk.processor.scene.map._voxels)
    known = {human.id for human in desk.outlet.of("humans")[-1].humans}
    assert voxels
    assert known
    num_odometry = len(desk.outlet.of("odometry"))
    for i, value in enumerate((0, 128, 255), 3):
        desk.now_ns = T0 + i * SECOND_NS
        desk.handle(T0 + i * SECOND_NS // 10 + 3 * SECOND_NS, np.full((60, 80, 3), value, np.uint8))
        assert desk.outlet.of("status")[-1].outcome == FrameStatus.DEGRADED
        assert desk.outlet.of("points")[-1].width == 0
        depth = np.frombuffer(bytes(desk.outlet.of("depth")[-1].data), np.float32)
        assert np.isnan(depth).all()
    assert len(desk.processor.scene.map._voxels) == voxels
    assert len(desk.outlet.of("odometry")) == num_odometry
    states = {human.track_state for human in desk.outlet.of("humans")[3].humans}
    assert states == {2}


def test_a_stamp_that_leaps_waits_for_its_successor(pipeline):
    pipeline.reset()
    desk = Desk(pipeline, is_simulated=True)
    for seconds in (0, 1, -500, 2):
        desk.handle(T0 + seconds * SECOND_NS)
    stamps = [convert.ns_from_time(s.header.stamp) - T0 for s in desk.outlet.of("status")]
    assert stamps == [0, SECOND_NS, -500 * SECOND_NS, 2 * SECOND_NS]
    last = desk.outlet.of("status")[-1]
    assert (last.processed, last.dropped_order) == (3, 1)
    assert len({status.session for status in desk.outlet.of("status")}) == 1
    # Nothing comes after it, so it is believed.
    desk.handle(T0 - 500 * SECOND_NS)
    assert len(desk.outlet.of("status")) == 4
    desk.processor.idle()
    status = desk.outlet.of("status")[4]
    assert status.session == last.session + 1
    assert status.reset_reason == FrameStatus.RESET_TIME_JUMP


def test_a_frozen_picture_is_degraded_and_gives_no_geometry(pipeline):
    pipeline.reset()
    desk = Desk(pipeline, is_listening=True)
    for i in range(7):
        desk.handle(T0 + i * SECOND_NS // 4)
    reports = desk.outlet.of("status")
    outcomes = [FrameStatus.PROCESSED] * 4 + [FrameStatus.DEGRADED] * 3
    assert [report.outcome for report in reports] == outcomes
    assert all("the picture is frozen" in report.message for report in reports[4:])
    assert sum("frozen" in text for text in desk.said) == 1
    assert not any(cloud.width for cloud in desk.outlet.of("points")[4:])
    for humans in desk.outlet.of("humans")[4:7]:
        assert all(h.track_state in (h.TRACK_COASTING, h.TRACK_LOST) for h in humans.humans)
    frozen_ns = {convert.ns_from_time(report.header.stamp) for report in reports[4:]}
    for odometry in desk.outlet.of("odometry"):
        assert convert.ns_from_time(odometry.header.stamp) not in frozen_ns
    desk.handle(T0 + 3 * SECOND_NS, scene(seed=3))
    assert desk.outlet.of("status")[-1].outcome == FrameStatus.PROCESSED
