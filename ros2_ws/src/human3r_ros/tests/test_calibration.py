import numpy as np
import pytest
from human3r_ros.calibration import CalibrationCache, calibration_from_info
from human3r_ros.intake import Counters
from human3r_ros.status import FrameReport
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from human3r.geometry.lens import Lens

WIDTH, HEIGHT = 640, 480


def info(fx=500.0, fy=510.0, cx=320.0, cy=240.0, frame_id="cam", **fields):
    k = np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1], np.float64)
    values = {"width": WIDTH, "height": HEIGHT, "k": k, "header": Header(frame_id=frame_id)}
    return CameraInfo(**{**values, **fields})


def test_a_matching_calibration_is_taken_as_it_is():
    found = calibration_from_info(info(), WIDTH, HEIGHT)
    k = found.intrinsics
    assert (k.fx, k.fy, k.cx, k.cy, k.width_px, k.height_px) == (500, 510, 320, 240, WIDTH, HEIGHT)
    assert found.warnings == ()


@pytest.mark.parametrize(
    "bad",
    [
        {"fx": float("nan")},
        {"cy": float("inf")},
        {"fx": 0.0},
        {"fy": -3.0},
        {"cx": -20.0},
        {"cy": 900.0},
        {"fx": 0.0, "fy": 0.0, "cx": 0.0, "cy": 0.0},
        {"width": 0},
        {"fx": 1e308, "fy": 1e308},
        {"fx": 1e-300},
        {"fy": 1e-300},
        {"fx": WIDTH * 1.01e4},
        {"fy": WIDTH * 0.99e-2},
        {"k": np.array([500.0, np.nan, 320.0, 0, 500.0, 240.0, 0, 0, 1])},
        {"k": np.array([500.0, 0, 320.0, 0, 500.0, 240.0, 0, 0, 1e300])},
        {"d": np.array([np.nan, 0, 0, 0, 0.0])},
        {"d": np.array([0.1, np.inf, 0, 0, 0.0])},
        {"d": np.array([1e308, 0, 0, 0, 0.0])},
    ],
    ids=str,
)
def test_what_cannot_be_a_camera_counts_as_uncalibrated(bad):
    found = calibration_from_info(info(**bad), WIDTH, HEIGHT)
    assert found.intrinsics is None
    assert "uncalibrated" in found.warnings[0]


def test_another_size_of_the_same_shape_is_scaled_with_a_warning():
    found = calibration_from_info(info(), WIDTH // 2, HEIGHT // 2)
    assert found.intrinsics.fx == 250.0
    assert found.intrinsics.cx == pytest.approx((320 + 0.5) / 2 - 0.5)
    assert "scaled" in found.warnings[0]


def test_another_shape_is_ignored_with_a_warning():
    found = calibration_from_info(info(), WIDTH, HEIGHT // 2)
    assert found.intrinsics is None
    assert "ignored" in found.warnings[0]


def test_region_of_interest_and_binning_give_the_camera_of_the_image():
    """A point projected by the full camera lands where the cropped, binned image shows it."""
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=400, height=300)
    message = info(roi=roi, binning_x=2, binning_y=2)
    k = calibration_from_info(message, 200, 150).intrinsics
    full_u, full_v = 500.0 * 0.2 + 320.0, 510.0 * -0.1 + 240.0
    u, v = k.fx * 0.2 + k.cx, k.fy * -0.1 + k.cy
    assert (u + 0.5) * 2 == pytest.approx(full_u - 100 + 0.5)
    assert (v + 0.5) * 2 == pytest.approx(full_v - 40 + 0.5)


def test_distortion_is_used_with_a_warning():
    found = calibration_from_info(info(d=np.array([0.1, 0, 0, 0, 0.0])), WIDTH, HEIGHT)
    assert found.intrinsics is not None
    assert "distortion" in found.warnings[0]


def bent_info(**fields):
    lens = {"distortion_model": "plumb_bob", "d": np.array([-0.3, 0.1, 0.0, 0.0, 0.0])}
    return info(**{**lens, **fields})


def test_distortion_is_undone_when_asked_with_the_camera_that_p_names():
    p = np.array([450.0, 0, 310.0, 0, 0, 460.0, 235.0, 0, 0, 0, 1, 0])
    found = calibration_from_info(bent_info(p=p), WIDTH, HEIGHT, Lens)
    k = found.intrinsics
    assert (k.fx, k.fy, k.cx, k.cy) == (450.0, 460.0, 310.0, 235.0)
    assert found.lens.raw == calibration_from_info(info(), WIDTH, HEIGHT).intrinsics
    assert found.warnings == ()


@pytest.mark.parametrize("wrong", [0.0, np.nan, 1e308, 3.0])
def test_a_projection_that_is_none_gives_way_to_k(wrong):
    p = np.array([wrong, 0, 310.0, 0, 0, wrong, 235.0, 0, 0, 0, 1, 0])
    found = calibration_from_info(bent_info(p=p), WIDTH, HEIGHT, Lens)
    assert (found.intrinsics.fx, found.intrinsics.cx) == (500.0, 320.0)


def test_an_image_without_distortion_needs_no_lens():
    found = calibration_from_info(info(d=np.zeros(5)), WIDTH, HEIGHT, Lens)
    assert found.lens is None
    assert found.intrinsics.fx == 500.0


def test_a_distortion_that_cannot_be_undone_is_left_in_with_a_warning():
    for wrong in ({"distortion_model": "mirror"}, {"d": np.array([-2.0, 0, 0, 0, 0])}):
        found = calibration_from_info(bent_info(**wrong), WIDTH, HEIGHT, Lens)
        assert found.intrinsics.fx == 500.0
        assert found.lens is None
        assert "taken as it is" in found.warnings[0]


def test_the_lens_of_half_an_image_is_half_as_large():
    p = np.array([450.0, 0, 310.0, 0, 0, 460.0, 235.0, 0, 0, 0, 1, 0])
    found = calibration_from_info(bent_info(p=p), WIDTH // 2, HEIGHT // 2, Lens)
    assert (found.intrinsics.fx, found.lens.raw.fx) == (225.0, 250.0)
    assert found.lens.rectify(np.zeros((240, 320, 3), np.uint8)).shape == (240, 320, 3)


def test_the_cache_makes_a_lens_once():
    cache = CalibrationCache()
    cache.store(bent_info())
    lens = cache.for_image("cam", WIDTH, HEIGHT, True).lens
    assert cache.for_image("cam", WIDTH, HEIGHT, True).lens is lens
    cache.store(bent_info(d=np.array([-0.2, 0.1, 0, 0, 0])))
    assert cache.for_image("cam", WIDTH, HEIGHT, True).lens is not lens
    assert cache.for_image("cam", WIDTH, HEIGHT).lens is None


def test_the_cache_keeps_the_latest_of_each_camera():
    cache = CalibrationCache()
    cache.store(info(fx=400.0))
    cache.store(info(fx=600.0))
    cache.store(info(fx=700.0, frame_id="other"))
    assert cache.for_image("cam", WIDTH, HEIGHT).intrinsics.fx == 600.0
    assert cache.for_image("other", WIDTH, HEIGHT).intrinsics.fx == 700.0
    assert cache.for_image("third", WIDTH, HEIGHT).intrinsics is None


def test_the_cache_is_bounded():
    cache = CalibrationCache()
    for number in range(100):
        cache.store(info(frame_id=f"cam{number}"))
    assert len(cache.frames()) <= 16
    assert "cam99" in cache.frames()


@pytest.mark.parametrize("focal_px", [WIDTH * 1.01e-2, WIDTH * 0.99e4])
def test_the_widest_and_the_narrowest_camera_are_taken_and_can_be_reported(focal_px):
    found = calibration_from_info(info(fx=focal_px, fy=focal_px), WIDTH, HEIGHT)
    report = FrameReport(calibrated=found.intrinsics)
    assert report.to_message(Counters()).focal_calibrated == pytest.approx(focal_px)


@pytest.mark.parametrize("frame_id", ["x" * 129, "/cam", "a\nb", "a b"])
def test_a_calibration_for_a_frame_name_that_no_image_may_have_is_refused(frame_id):
    cache = CalibrationCache()
    cache.store(info())
    cache.store(info(frame_id=frame_id))
    assert cache.frames() == ("cam",)
    assert "expected at most 128" in cache.refusal
    assert len(cache.refusal) < 300
