"""The same bytes given to the node's door and, in a bag, to the offline path: one answer."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from human3r_ros import convert
from human3r_ros.processor import FrameDroppedError, FrameFilter, HeldBackError
from human3r_ros.status import FrameReport
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.worker import Arrival
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest

from human3r.camera.calibration import CalibrationCache, uses_p
from human3r.config import Settings
from human3r.errors import InputError
from human3r.io import open_source
from human3r.io.image_messages import ENCODINGS

S = 1_000_000_000
T0 = 1_700_000_000 * S
STORE = get_typestore(Stores.ROS2_HUMBLE)
NAMES = {Image: "sensor_msgs/msg/Image", CompressedImage: "sensor_msgs/msg/CompressedImage"}
NAMES |= {CameraInfo: "sensor_msgs/msg/CameraInfo"}


def picture(width=64, height=48):
    rng = np.random.default_rng(5)
    blocks = rng.integers(0, 255, (height // 4, width // 4, 3), np.uint8)
    return cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)


def image(encoding="rgb8", width=64, height=48, stamp_ns=T0, frame_id="cam", **changes):
    """Of the right size for every encoding, with contents by rule."""
    per_pixel = {"nv12": 1.5, "nv21": 1.5, "nv24": 3.0}.get(encoding)
    step = width
    if per_pixel is None:
        digits = "".join(c for c in encoding if c.isdigit())
        depth = 2 if digits.endswith("16") or encoding.startswith("16") else 1
        colours = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "yuv422": 2, "uyvy": 2, "yuyv": 2}
        name = encoding.removesuffix("16").removesuffix("8").removesuffix("_yuy2")
        channels = int(encoding[-1]) if "C" in encoding else colours.get(name, 1)
        step, per_pixel = width * channels * depth, channels * depth
    data = np.random.default_rng(3).integers(0, 255, int(width * height * per_pixel), np.uint8)
    values = {"width": width, "height": height, "step": step, "data": data.tobytes()}
    head = convert.header(stamp_ns, frame_id)
    return Image(**{"header": head, "encoding": encoding, **values, **changes})


def compressed(suffix=".jpg", form="jpeg", behind=0, cut=0, deep=False):
    pixels = picture().astype(np.uint16) * 257 if deep else picture()
    data = cv2.imencode(suffix, pixels)[1].tobytes()
    data = data[: len(data) - cut] + bytes(behind)
    return CompressedImage(header=convert.header(T0, "cam"), format=form, data=data)


def info(width=64, height=48, fx=50.0, cx=31.5, frame_id="cam", **fields):
    k = np.array([fx, 0, cx, 0, fx, height / 2 - 0.5, 0, 0, 1], np.float64)
    head = convert.header(T0, frame_id)
    return CameraInfo(header=head, **{"width": width, "height": height, "k": k, **fields})


class Node:
    """The node's door: calibrations are stored and images admitted as they come."""

    def __init__(self, topic, **settings):
        values = {"input.transport": "compressed" if "compressed" in topic else "raw", **settings}
        self.settings = Settings().replace(values)
        self.calibrations = CalibrationCache()
        raw_topic = topic.removesuffix("/compressed")
        self.calibrations.uses_p = uses_p(self.settings.input, raw_topic)
        self.frames, self.refused = [], []
        # As under simulated time: a recording knows no other clock.
        self._frame_filter = FrameFilter(
            self.calibrations, ThrottledLog(lambda text: None), lambda: 0, lambda: True
        )

    def hear(self, message, at_ns):
        if isinstance(message, CameraInfo):
            self.calibrations.store(message)
            return
        arrival = Arrival(bytes(serialize_message(message)), at_ns, at_ns / S)
        for due in self._frame_filter.due(arrival, self.settings):
            self._admit(due)

    def _admit(self, arrival):
        try:
            frame, reset = self._frame_filter.admit(arrival, FrameReport(), self.settings)
        except HeldBackError:
            return
        except FrameDroppedError as error:
            self.refused.append(error)
            return
        self.frames.append((frame, bool(reset) and bool(self.frames)))

    def finish(self):
        for due in self._frame_filter.overdue():
            self._admit(due)


def both(tmp_path, messages, topic="/cam/image_raw", **settings):
    """What node and offline path make of messages: (frame, begins a session) of each."""
    node = Node(topic, **settings)
    path = tmp_path / "bag"
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for at_ns, message in messages:
            name = topic if type(message) is not CameraInfo else "/cam/camera_info"
            if name not in connections:
                kind = NAMES[type(message)]
                connections[name] = writer.add_connection(name, kind, typestore=STORE)
            writer.write(connections[name], at_ns, bytes(serialize_message(message)))
            node.hear(message, at_ns)
    node.finish()
    try:
        with open_source(str(path), settings=node.settings) as source:
            offline = [(frame, frame.begins_session) for frame in source]
    except InputError:
        offline = []
    return SimpleNamespace(node=node.frames, offline=offline)


def assert_same(answers):
    assert len(answers.node) == len(answers.offline)
    for (a, a_begins), (b, b_begins) in zip(answers.node, answers.offline, strict=True):
        assert (a.stamp_ns, a.frame_id, a_begins) == (b.stamp_ns, b.frame_id, b_begins)
        assert a.intrinsics == b.intrinsics
        np.testing.assert_array_equal(a.image, b.image)


def is_taken(answers):
    assert_same(answers)
    return len(answers.node) == 1


IMAGES = {
    **{name: (image(name), True) for name in ENCODINGS},
    **{name: (image(name), False) for name in ("16UC1", "16SC3", "8UC2", "8SC1", "h264")},
    "long": (image("rgb8", 640, 100), False),
    "tall": (image("rgb8", 16, 64), False),
    "bayer 2x2": (image("bayer_rggb8", 2, 2), False),
    "bayer 4x4": (image("bayer_rggb8", 4, 4), True),
    "odd yuyv": (image("yuyv", 5, 4), False),
    "short step": (image(step=191), False),
    "short data": (image(data=bytes(100)), False),
    "jpeg": (compressed(), True),
    "png": (compressed(".png", "png"), True),
    "webp": (compressed(".webp", "webp"), True),
    "tiff": (compressed(".tiff", "tiff"), True),
    "deep png": (compressed(".png", "rgb16; png compressed bgr16", deep=True), True),
    "depth": (compressed(".png", "16UC1; compressedDepth png"), False),
    "jpeg in a full buffer": (compressed(behind=4096), True),
    "cut jpeg": (compressed(cut=2), False),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_read_by_both_or_by_none(tmp_path, name):
    message, expected = IMAGES[name]
    topic = "/cam/image_raw" + "/compressed" * isinstance(message, CompressedImage)
    assert is_taken(both(tmp_path, [(T0, message)], topic)) == expected


BENT = {"distortion_model": "plumb_bob", "d": [-0.2, 0.05, 0.0, 0.0, 0.0]}
FISHEYE = {"distortion_model": "equidistant", "d": [0.1, 0.01, 0.0, 0.0]}
INFOS = {
    "as it should be": ([info()], 50.0),
    "without a frame": ([info(frame_id="")], 50.0),
    "of another frame": ([info(frame_id="other")], 50.0),
    "of two other frames": ([info(frame_id="a"), info(frame_id="b")], None),
    "slash before the frame": ([info(frame_id="/cam")], 50.0),
    "1.5 % off": ([info(width=65, height=48)], None),
    "0.9 % off": ([info(width=640, height=484, fx=500.0, cx=320.0)], pytest.approx(50.0, rel=0.01)),
    "twice the size": ([info(128, 96, 100.0, 63.5)], 50.0),
    "another shape": ([info(64, 64)], None),
    "tiny focal": ([info(fx=0.001)], None),
    "centre beside the image": ([info(cx=-0.6)], None),
    "centre in the first pixel": ([info(cx=-0.3)], 50.0),
    "binned": ([info(128, 96, 100.0, 63.5, binning_x=2, binning_y=2)], 50.0),
    "binning named, not done": ([info(binning_x=2, binning_y=2)], 50.0),
    "region named, not cut": ([info(roi=RegionOfInterest(x_offset=8, width=32, height=24))], 50.0),
    "bent": ([info(**BENT)], 50.0),
    "fisheye": ([info(**FISHEYE)], 50.0),
    "K times two": ([info(k=2 * info().k)], 50.0),
    "no principal point": ([info(k=[50.0, 0, 0, 0, 50.0, 0, 0, 0, 1])], 50.0),
    "P alone": ([info(k=np.zeros(9), p=[50.0, 0, 32, 0, 0, 50.0, 24, 0, 0, 0, 1, 0])], 50.0),
    "width alone": ([info(height=0)], 50.0),
    "fx and fy far apart": ([info(k=[50.0, 0, 32, 0, 250.0, 24, 0, 0, 1])], None),
    "not finite": ([info(d=[np.nan])], None),
    "changing": ([info(), info(fx=52.0)], 52.0),
}


@pytest.mark.parametrize("undistort", [False, True])
@pytest.mark.parametrize("name", INFOS)
def test_a_calibration_is_used_by_both_alike(tmp_path, name, undistort):
    infos, fx = INFOS[name]
    messages = [(T0 - 9 + n, message) for n, message in enumerate(infos)]
    answers = both(tmp_path, [*messages, (T0, image())], **{"input.undistort": undistort})
    assert is_taken(answers)
    frame = answers.offline[0][0]
    assert (frame.intrinsics and frame.intrinsics.fx) == fx
    is_bent = name in ("bent", "fisheye")
    assert (frame.raw_from_image is not None) == (is_bent and undistort)


@pytest.mark.parametrize("policy", ["required", "optional", "ignore"])
@pytest.mark.parametrize("infos", [[], [info()], [info(fx=0.0)]])
def test_the_policy_about_calibrations_holds_for_both(tmp_path, policy, infos):
    messages = [*((T0 - 9, message) for message in infos), (T0, image())]
    answers = both(tmp_path, messages, **{"input.camera_info": policy})
    is_usable = bool(infos) and infos[0].k[0] > 0
    assert is_taken(answers) == (policy != "required" or is_usable)
    if answers.node:
        assert (answers.node[0][0].intrinsics is not None) == (is_usable and policy != "ignore")


STAMPS = {
    # seconds: delivered, of which begin a session
    "in order": ([0, 0.1, 0.2], [0, 0.1, 0.2], []),
    "late": ([0, 0.1, 0.05, 0.2], [0, 0.1, 0.2], []),
    "twice": ([0, 0.1, 0.1, 0.2], [0, 0.1, 0.2], []),
    "clock set back": ([0, 0.1, -3600, -3599.9], [0, 0.1, -3600, -3599.9], [-3600]),
    "clock set back at the end": ([0, 0.1, -3600], [0, 0.1, -3600], [-3600]),
    "clock set forward": ([0, 0.1, 3600, 3600.1], [0, 0.1, 3600, 3600.1], []),
    "one stamp far behind": ([0, 0.1, -3600, 0.2, 0.3], [0, 0.1, 0.2, 0.3], []),
    "one stamp far ahead": ([0, 0.1, 9e6, 0.2, 0.3], [0, 0.1, 0.2, 0.3], []),
    "first stamp wrong": ([9e6, 0.1, 0.2, 0.3], [9e6, 0.1, 0.2, 0.3], [0.1]),
    "zero": ([0, -T0 / S, 0.2], [0, 0.2], []),
    "zero at first": ([-T0 / S, 0.1, 0.2], [0.1, 0.2], []),
    "set back twice": (
        [0, -100, -99.9, -300, -299.9],
        [0, -100, -99.9, -300, -299.9],
        [-100, -300],
    ),
}


@pytest.mark.parametrize("name", STAMPS)
def test_stamps_are_judged_by_both_alike(tmp_path, name):
    stamps_s, delivered_s, begin_s = STAMPS[name]
    messages = [
        (T0 + n * S // 10, image(stamp_ns=T0 + round(s * S))) for n, s in enumerate(stamps_s)
    ]
    answers = both(tmp_path, messages)
    assert_same(answers)
    seen = [((frame.stamp_ns - T0) / S, begins) for frame, begins in answers.offline]
    assert [s for s, _ in seen] == pytest.approx(delivered_s)
    assert [s for s, begins in seen if begins] == pytest.approx(begin_s)


def zoom(*focals, width=64, height=48):
    for n, fx in enumerate(focals):
        at_ns = T0 + n * S // 10
        yield at_ns - 9, info(width, height, fx)
        yield at_ns, image(width=width, height=height, stamp_ns=at_ns)


@pytest.mark.parametrize(
    ("messages", "begins"),
    [
        (list(zoom(50, 50.15, 49.85, 50)), [False] * 4),
        (list(zoom(50, 51, 52, 53, 54, 55, 56)), [False] * 7),
        (list(zoom(50, 50, 60, 60)), [False, False, True, False]),
        ([(T0, image()), (T0 + S, image(width=32, height=24, stamp_ns=T0 + S))], [False, True]),
        ([(T0, image()), (T0 + S, image("mono8", stamp_ns=T0 + S))], [False, True]),
        ([(T0, image()), (T0 + 3 * S, image(frame_id="b", stamp_ns=T0 + 3 * S))], [False, True]),
        ([(T0, image()), (T0 + S, image(frame_id="b", stamp_ns=T0 + S))], [False]),
        ([(T0, image(frame_id="/cam")), (T0 + S, image(stamp_ns=T0 + S))], [False, False]),
        (
            [(T0, image(frame_id="")), (T0 + S, image(frame_id="camera", stamp_ns=T0 + S))],
            [False] * 2,
        ),
        ([(T0, image(frame_id="")), (T0 + S, image(stamp_ns=T0 + S))], [False]),
        ([(T0, image(frame_id="a b")), (T0 + S, image(stamp_ns=T0 + S))], [False]),
    ],
)
def test_a_session_begins_in_both_at_the_same_frame(tmp_path, messages, begins):
    answers = both(tmp_path, messages)
    assert_same(answers)
    assert [begins for _, begins in answers.offline] == begins


def test_the_header_of_an_image_that_cannot_be_decoded_still_tells_the_time(tmp_path):
    """What waits for a successor is decided on by its stamp, in both."""
    stamps_s = [0, 0.1, -3600, 0.2]
    messages = [
        (T0 + n * S // 10, image("16UC1" if s == 0.2 else "rgb8", stamp_ns=T0 + round(s * S)))
        for n, s in enumerate(stamps_s)
    ]
    answers = both(tmp_path, messages)
    assert_same(answers)
    assert [(frame.stamp_ns - T0) / S for frame, _ in answers.node] == pytest.approx([0, 0.1])


def test_an_image_that_is_refused_says_nothing_about_whose_calibration_it_is(tmp_path):
    refused = image(stamp_ns=T0)
    refused.header.stamp.nanosec = 2 * S
    messages = [(T0 - 9, info()), (T0, refused), (T0 + S, image(frame_id="b", stamp_ns=T0 + S))]
    answers = both(tmp_path, messages)
    assert is_taken(answers)
    assert answers.node[0][0].intrinsics.fx == 50.0


FRAME_NAMES = ("cam", "cam", "/cam", "", "left/cam", "a b", "x" * 300, "k\xe4m", "cam/", "//cam")
FORMS = [(64, 48), (64, 48), (32, 24), (48, 64), (63, 48), (16, 64), (2, 2)]
KINDS = ("rgb8", "rgb8", "bgr8", "mono8", "16UC1", "bayer_rggb8", "yuyv")
FOCALS = (50, 50.5, 52, 60, 0, -5, np.nan, 1e9)


def any_stream(rng):
    """Images and calibrations by chance: what changes, leaps, is refused, and in which order."""

    def one(choices):
        return choices[rng.integers(len(choices))]

    at_ns, stamp_ns, messages = T0, T0, [(T0 - 99, info())]
    size, kind, frame_id = (64, 48), "rgb8", "cam"
    leaps = [S // 10] * 8 + [0, -1, 1, -S // 20, -10 * S, -3600 * S, 59 * S, 61 * S, 10**7 * S]
    for _ in range(rng.integers(2, 10)):
        at_ns += one((S // 10, S // 30, 3 * S, 20, 70 * S))
        stamp_ns = max(0, min(stamp_ns + one(leaps), 2**31 * S - 1))
        if rng.random() < 0.2:
            size, kind = one(FORMS), one(KINDS)
        if rng.random() < 0.2:
            frame_id = one(FRAME_NAMES)
        if rng.random() < 0.3:
            binning = {"binning_x": one((0, 1, 2)), "binning_y": one((0, 1, 2))}
            named = info(one((64, 128, 0)), one((48, 96, 0)), one(FOCALS), **binning)
            named.header.frame_id = one(FRAME_NAMES)
            messages.append((at_ns - 5, named))
        stamped = stamp_ns if rng.random() < 0.9 else one((0, T0, 2**31 * S - 1))
        messages.append((at_ns, image(kind, *size, stamp_ns=stamped, frame_id=frame_id)))
    return messages


SOME_SETTINGS = (
    *({}, {"input.camera_info": "required"}, {"input.stamp": "receive"}),
    *({"input.undistort": True}, {"session.gap_reset_s": 0.0}, {"session.reorder_window_s": 0.0}),
)


@pytest.mark.parametrize("seed", range(60))
def test_any_stream_is_judged_by_both_alike(tmp_path, seed):
    settings = SOME_SETTINGS[seed % len(SOME_SETTINGS)]
    assert_same(both(tmp_path, any_stream(np.random.default_rng(seed)), **settings))
