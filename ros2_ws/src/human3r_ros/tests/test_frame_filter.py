"""What cannot be sent over DDS on purpose, and policies that need no network."""

from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from human3r_ros import convert, throttled_log
from human3r_ros.processor import FrameDroppedError, FrameFilter, HeldBackError
from human3r_ros.status import FrameReport
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.worker import Arrival, Counters
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from human3r.camera.calibration import CalibrationCache
from human3r.config import Settings
from human3r.io.stream_rules import RESET_TIME_JUMP

NOW_NS = 1_000_000_000_000


class Gate:
    def __init__(self, **settings):
        self.said = []
        limited = ThrottledLog(self.said.append)
        self.calibrations = CalibrationCache()
        self.frame_filter = FrameFilter(self.calibrations, limited, lambda: NOW_NS, lambda: False)
        values = {name.replace("__", "."): value for name, value in settings.items()}
        self.settings = Settings().replace(values)

    def admit(self, data, report=None):
        report = report or FrameReport()
        frame, reset = self.frame_filter.admit(Arrival(data, NOW_NS - 5), report, self.settings)
        return frame, reset, report


def image_bytes(stamp_ns=NOW_NS, frame_id="cam", header=None):
    return serialize_message(
        Image(
            header=header or convert.header(stamp_ns, frame_id),
            height=4,
            width=6,
            encoding="rgb8",
            step=18,
            data=bytes(72),
        )
    )


def test_a_frame_lies_in_the_bytes_that_arrived():
    data = bytes(image_bytes())
    frame, _, _ = Gate().admit(data)
    assert np.shares_memory(frame.image, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("length", [0, 3, 8, 20, 60, -1])
def test_a_cut_message_is_rejected(length):
    with pytest.raises(FrameDroppedError, match=r"cannot be read|expected") as refused:
        Gate().admit(bytes(image_bytes())[:length])
    assert refused.value.counter == "rejected"


def test_a_message_that_promises_more_than_it_holds_is_rejected():
    data = bytearray(image_bytes())
    data[-76:-72] = (2**31 - 1).to_bytes(4, "little")
    with pytest.raises(FrameDroppedError):
        Gate().admit(bytes(data))


def test_random_bytes_never_get_past_the_gate():
    rng = np.random.default_rng(0)
    for length in (16, 64, 400):
        for _ in range(30):
            with pytest.raises(FrameDroppedError):
                Gate().admit(b"\0\1\0\0" + rng.bytes(length))


def test_the_time_of_arrival_replaces_the_stamp_when_asked():
    frame, _, report = Gate(input__stamp="receive").admit(image_bytes(stamp_ns=0))
    assert frame.stamp_ns == report.stamp_ns == NOW_NS - 5


def test_a_missing_calibration_is_mentioned_once_and_late():
    gate = Gate(input__camera_info_timeout_s=0.0)
    gate.admit(image_bytes(NOW_NS))
    gate.admit(image_bytes(NOW_NS + 1))
    assert len(gate.said) == 1
    assert "camera_info" in gate.said[0]
    patient = Gate(input__camera_info_timeout_s=60.0)
    patient.admit(image_bytes())
    assert patient.said == []


def test_before_any_calibration_the_warning_says_that_none_has_come():
    gate = Gate(input__camera_info_timeout_s=0.0)
    gate.calibrations.source = lambda: "/camera_info, which has no publisher"
    gate.frame_filter.warn_without_calibration(gate.settings)
    gate.admit(image_bytes())
    assert len(gate.said) == 1
    assert "no camera_info has arrived on /camera_info, which has no publisher;" in gate.said[0]
    for name in ("other", "third"):
        gate.calibrations.store(CameraInfo(header=convert.header(1, name)))
    gate.admit(image_bytes(NOW_NS + 1))
    assert "camera_info arrived for 'other', 'third'" in gate.said[1]
    gate.admit(image_bytes(NOW_NS + 2))
    assert len(gate.said) == 2


@pytest.mark.parametrize(
    ("sec", "nanosec"),
    [(2**31 - 1, 2**32 - 1), (2**31 - 1, 10**9), (0, 2**32 - 1), (-1, 5), (-(2**31), 0)],
)
@pytest.mark.parametrize("now", [NOW_NS, None])
def test_a_stamp_that_cannot_be_sent_back_is_rejected_and_reported(sec, nanosec, now):
    gate, report = Gate(input__max_age_s=0.0), FrameReport()
    gate.frame_filter._is_simulated = lambda: now is None
    header = Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id="cam")
    with pytest.raises(
        FrameDroppedError, match=f"sec {sec}, nanosec {nanosec}; expected"
    ) as refused:
        gate.admit(image_bytes(header=header), report)
    assert refused.value.counter == "rejected"
    message = report.to_message(Counters())
    assert (message.header.stamp.sec, message.header.frame_id) == (0, "cam")


def test_the_last_stamp_that_fits_is_kept_bit_for_bit():
    gate = Gate(input__max_age_s=0.0)
    gate.frame_filter._is_simulated = lambda: True
    stamp = Time(sec=2**31 - 1, nanosec=10**9 - 1)
    _, _, report = gate.admit(image_bytes(header=Header(stamp=stamp, frame_id="cam")))
    assert report.to_message(Counters()).header.stamp == stamp


@pytest.mark.parametrize("frame_id", ["x" * 10_000, "a\nb", "//cam"])
def test_a_refused_frame_name_is_not_echoed_into_the_report(frame_id):
    gate, report = Gate(), FrameReport()
    with pytest.raises(FrameDroppedError) as refused:
        gate.admit(image_bytes(frame_id=frame_id), report)
    message = report.to_message(Counters())
    assert message.header.frame_id == ""
    assert convert.ns_from_time(message.header.stamp) == NOW_NS
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


def test_the_leading_slash_of_ros_1_is_dropped():
    frame, _, report = Gate().admit(image_bytes(frame_id="/cam"))
    assert (frame.frame_id, report.frame_id) == ("cam", "cam")


def test_a_camera_info_that_was_refused_is_mentioned():
    gate = Gate(input__camera_info_timeout_s=0.0)
    gate.calibrations.store(CameraInfo(header=Header(frame_id="x" * 10_000)))
    gate.admit(image_bytes())
    assert "frame_id of camera_info is 'xxx" in gate.said[0]
    assert len(gate.said[0]) < 600


def test_the_offset_of_the_clocks_is_said_once_per_ten_seconds(monkeypatch):
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(throttled_log, "time", SimpleNamespace(monotonic=lambda: now.s))
    gate = Gate()
    for number in range(30):
        now.s = 100.0 + number
        _, _, report = gate.admit(image_bytes(stamp_ns=NOW_NS + (5 + number) * 10**9))
        assert any("ahead of this node's clock" in text for text in report.messages)
    said = [text for text in gate.said if "ahead of this node's clock" in text]
    assert len(said) == 3


def test_what_was_said_lately_is_known_whether_it_was_logged_or_not(monkeypatch):
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(throttled_log, "time", SimpleNamespace(monotonic=lambda: now.s))
    logged = []
    notes = ThrottledLog(logged.append, period_s=5.0)
    for number in range(10):
        now.s = 100.0 + number
        notes.warn("tf", f"text {number}")
    assert len(logged) == 2
    assert notes.recent(1.0) == [("tf", "text 9")]
    now.s += 20.0
    assert notes.recent(10.0) == []
    for number in range(5000):
        notes.warn(("qos", number), "text")
    assert len(notes.recent(10.0)) <= 256


def test_waiting_for_a_successor_makes_no_image_stale():
    now = [NOW_NS]
    gate = Gate()
    limited = ThrottledLog(gate.said.append)
    frames = FrameFilter(gate.calibrations, limited, lambda: now[0], lambda: False)
    frames.admit(Arrival(bytes(image_bytes()), NOW_NS), FrameReport(), gate.settings)
    stamp_ns = NOW_NS - 800_000_000
    back = Arrival(bytes(image_bytes(stamp_ns)), NOW_NS + 1)
    with pytest.raises(HeldBackError):
        frames.admit(back, FrameReport(), gate.settings)
    now[0] += 1_050_000_000
    assert frames.overdue() == [back]
    frame, reset = frames.admit(back, FrameReport(), gate.settings)
    assert (frame.stamp_ns, reset) == (stamp_ns, RESET_TIME_JUMP)
