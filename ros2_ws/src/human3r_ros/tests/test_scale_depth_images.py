"""Depth images as they come off the wire, good and bad."""

import numpy as np
import pytest
from human3r_ros import convert
from human3r_ros.transforms import DepthImages
from sensor_msgs.msg import Image

from ros2_ws.src.human3r_ros.tests.outlet import through_cdr

STAMP, SIZE = 5_000_000_000, (640, 480)


def depth_message(values, encoding="16UC1", stamp_ns=STAMP, frame_id="cam", pad=0, **changes):
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    rows = np.pad(rows, ((0, 0), (0, pad)))
    message = Image(
        header=convert.header(stamp_ns, frame_id),
        height=values.shape[0],
        width=values.shape[1],
        encoding=encoding,
        step=rows.shape[1],
        data=rows.tobytes(),
    )
    for name, value in changes.items():
        setattr(message, name, value)
    return through_cdr(message)


def ramp(width=320, height=240):
    """Metres that grow to the right and downwards."""
    v, u = np.mgrid[0:height, 0:width]
    return 1.0 + u / width + v / height


def kept(*messages):
    images = DepthImages(1_000_000)
    for message in messages:
        images.store(message)
    return images


@pytest.mark.parametrize(
    "message",
    [
        depth_message((ramp() * 1000).astype("<u2")),
        depth_message((ramp() * 1000).astype("<u2"), "mono16", pad=6),
        depth_message((ramp() * 1000).astype(">u2"), is_bigendian=1),
        depth_message(ramp().astype("<f4"), "32FC1"),
        depth_message(ramp(640, 480).astype("<f4"), "32FC1", pad=8),
        depth_message(ramp(64, 48).astype("<f4"), "32FC1"),
    ],
    ids=["mm", "padded", "big_endian", "m", "same_size", "small"],
)
def test_depth_is_read_in_metres_at_the_pixels_of_the_image(message):
    measure = kept(message).at(STAMP, "cam", SIZE)
    pixels = np.array([[100.0, 50.0], [320.0, 240.0], [600.0, 400.0]])
    expected = 1.0 + pixels[:, 0] / 640 + pixels[:, 1] / 480
    assert measure(pixels) == pytest.approx(expected, abs=0.02)


def test_unknown_depth_and_pixels_outside_are_nan():
    values = np.array([[0.0, np.nan, np.inf, -1.0]] * 4, np.float32)
    measure = kept(depth_message(values, "32FC1")).at(STAMP, "cam", (4, 4))
    found = measure(np.array([[0, 0], [1, 0], [3, 3], [-5, 0], [0, 9], [np.nan, 0]]))
    assert np.isnan(found).all()


def test_the_nearest_stamp_counts_and_none_that_is_far():
    first, second = (
        depth_message(np.full((48, 64), metres, np.float32), "32FC1", stamp_ns)
        for metres, stamp_ns in [(1.0, STAMP), (2.0, STAMP + 33_000_000)]
    )
    images = kept(first, second)
    middle = np.array([[320.0, 240.0]])
    assert images.at(STAMP + 10_000_000, "cam", SIZE)(middle) == 1.0
    assert images.at(STAMP + 20_000_000, "cam", SIZE)(middle) == 2.0
    assert images.at(STAMP + 90_000_000, "cam", SIZE) is None
    assert kept().at(STAMP, "cam", SIZE) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoding": "8UC1"}, "16UC1 in millimetres"),
        ({"encoding": "z" * 1000}, "16UC1 in millimetres"),
        ({"step": 3}, "expected rows of"),
        ({"height": 1000}, "expected rows of"),
        ({"width": 0, "height": 0, "step": 0, "data": b""}, "expected rows of"),
    ],
    ids=["bytes", "long", "step", "height", "nothing"],
)
def test_what_is_no_depth_image_is_refused(changes, words):
    images = kept(depth_message(ramp().astype("<f4"), **{"encoding": "32FC1", **changes}))
    assert words in images.refusal
    assert len(images.refusal) < 400
    assert images.at(STAMP, "cam", SIZE) is None


@pytest.mark.parametrize(
    ("kinds", "beside", "words"),
    [
        (["sensor_msgs/msg/CompressedImage"], [], "/d carries sensor_msgs/msg/CompressedImage"),
        ([], ["/d/compressedDepth"], "/d/compressedDepth is published, /d not"),
    ],
    ids=["named", "beside"],
)
def test_a_topic_of_compressed_depth_is_refused_with_the_way_out(kinds, beside, words):
    images = kept()
    images.check_topic("/d", kinds, beside)
    assert words in images.refusal
    assert "Republish it as raw (docs/scale-and-calibration.md has the command)" in images.refusal
    images.store(depth_message(ramp().astype("<f4"), "32FC1"))
    assert images.refusal == ""


@pytest.mark.parametrize(
    ("kinds", "beside"),
    [
        (["sensor_msgs/msg/Image"], ["/d/compressedDepth"]),
        (["sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image"], []),
        ([], []),
    ],
    ids=["both", "two_publishers", "nobody"],
)
def test_a_topic_on_which_depth_can_arrive_is_not_refused(kinds, beside):
    images = kept()
    images.check_topic("/d", kinds, beside)
    assert images.refusal == ""


def test_a_depth_image_larger_than_allowed_is_refused():
    images = DepthImages(1000)
    images.store(depth_message(ramp().astype("<f4"), "32FC1"))
    assert "at most 1000 pixels" in images.refusal


def test_a_depth_image_that_is_not_aligned_is_refused():
    message = depth_message(ramp().astype("<f4"), "32FC1", frame_id="depth_optical")
    images = kept(message)
    assert images.at(STAMP, "cam", SIZE) is None
    assert "'depth_optical'" in images.refusal
    assert images.at(STAMP, "depth_optical", (640, 360)) is None
    assert "same shape" in images.refusal


def test_memory_is_bounded_however_long_the_stream():
    images = DepthImages(10_000_000)
    message = depth_message(np.ones((120, 160), np.float32), "32FC1")
    for number in range(310):
        message.header.stamp = convert.time_from_ns(STAMP + number * 33_000_000)
        images.store(message)
    assert sum(one._values.nbytes for one in images._kept) <= 300 * 120 * 160 * 4
    assert images.at(STAMP, "cam", (960, 720)) is None
    assert images.at(STAMP + 309 * 33_000_000, "cam", (960, 720)) is not None
