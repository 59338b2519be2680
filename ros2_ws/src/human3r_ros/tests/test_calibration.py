from unittest.mock import MagicMock

import numpy as np
import pytest
from human3r_ros.inputs import Inputs
from human3r_ros.status import FrameReport
from human3r_ros.transforms import DepthImages
from human3r_ros.worker import Counters, FrameQueue
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from human3r.camera.calibration import (
    CalibrationCache,
    calibrated,
    calibration_from_info,
    calibration_of_rectified,
)
from human3r.camera.lens import Lens
from human3r.config import Settings
from human3r.errors import ConfigError, InputError
from human3r.types import Intrinsics

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
        {"width": 0, "height": 360},
        {"fy": 1501.0},
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


TURN = Rotation.from_euler("xyz", [2.0, -3.0, 1.5], degrees=True).as_matrix()
P = np.array([450.0, 0, 310.0, -54.0, 0, 460.0, 235.0, 0, 0, 0, 1, 0])
"""Of the second camera of a stereo pair, 12 cm beside the first."""


def stereo_info(**fields):
    """The camera_info that comes with image_raw and with image_rect of a stereo camera alike."""
    return bent_info(**{"r": TURN.ravel(), "p": P, **fields})


def test_the_camera_of_a_rectified_image_is_p_and_nothing_else():
    found = calibration_of_rectified(stereo_info(), WIDTH, HEIGHT)
    k = found.intrinsics
    assert (k.fx, k.fy, k.cx, k.cy) == (450.0, 460.0, 310.0, 235.0)
    assert (found.warnings, found.lens) == ((), None)


def test_region_binning_and_size_apply_to_a_rectified_image():
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=400, height=300)
    message = stereo_info(roi=roi, binning_x=2, binning_y=2)
    k = calibration_of_rectified(message, 200, 150).intrinsics
    assert (k.fx, k.fy) == (225.0, 230.0)
    assert k.cx == pytest.approx((310.0 - 100 + 0.5) / 2 - 0.5)
    half = calibration_of_rectified(stereo_info(), WIDTH // 2, HEIGHT // 2)
    assert half.intrinsics.fx == 225.0
    assert "scaled" in half.warnings[0]


def test_without_p_a_straight_camera_is_the_same_before_and_after():
    none = np.zeros(12)
    same = calibration_of_rectified(info(p=none, r=np.eye(3).ravel()), WIDTH, HEIGHT)
    assert same.intrinsics.fx == 500.0
    for fields in ({}, {"d": np.zeros(5)}, {"r": np.zeros(9)}):
        found = calibration_of_rectified(stereo_info(p=none, **fields), WIDTH, HEIGHT)
        assert found.intrinsics is None
        assert "in P, which describes a rectified image" in found.warnings[0]


@pytest.mark.parametrize("wrong", [np.nan, 1e308, -3.0, 3.0, 1e9])
def test_a_projection_that_cannot_be_a_camera_counts_as_uncalibrated(wrong):
    p = np.array([wrong, 0, 310.0, 0, 0, wrong, 235.0, 0, 0, 0, 1, 0])
    found = calibration_of_rectified(stereo_info(p=p), WIDTH, HEIGHT)
    assert found.intrinsics is None
    assert "uncalibrated" in found.warnings[0]


def test_undoing_the_lens_of_a_stereo_camera_turns_it_as_image_proc_does():
    found = calibration_from_info(stereo_info(), WIDTH, HEIGHT, Lens)
    assert found.intrinsics.fx == 450.0
    assert found.warnings == ()
    ray = TURN.T @ [(100.0 - 310.0) / 450.0, (50.0 - 235.0) / 460.0, 1.0]
    x, y = ray[:2] / ray[2]
    radial = 1 - 0.3 * (x * x + y * y) + 0.1 * (x * x + y * y) ** 2
    expected = (500.0 * x * radial + 320.0, 510.0 * y * radial + 240.0)
    assert found.lens.raw_from_rectified(np.array([100.0, 50.0])) == pytest.approx(expected)


@pytest.mark.parametrize("model", ["plumb_bob", ""])
def test_a_camera_that_is_turned_only_gets_a_lens_too(model):
    straight = stereo_info(d=np.zeros(0), distortion_model=model)
    found = calibration_from_info(straight, WIDTH, HEIGHT, Lens)
    x, y, z = TURN.T @ [0.0, 0.0, 1.0]
    expected = (500.0 * x / z + 320.0, 510.0 * y / z + 240.0)
    assert found.lens.raw_from_rectified(np.array([310.0, 235.0])) == pytest.approx(expected)


def test_a_camera_that_is_turned_is_used_as_it_is_with_a_warning():
    found = calibration_from_info(stereo_info(d=np.zeros(5)), WIDTH, HEIGHT)
    assert found.intrinsics.fx == 500.0
    angle_deg = np.degrees(Rotation.from_matrix(TURN).magnitude())
    assert f"turns the camera by {angle_deg:.1f} degrees" in found.warnings[0]
    slightly = Rotation.from_euler("x", 0.3, degrees=True).as_matrix().ravel()
    for r in (slightly, np.eye(3).ravel(), np.zeros(9)):
        turned = stereo_info(d=np.zeros(5), r=r)
        assert calibration_from_info(turned, WIDTH, HEIGHT).warnings == ()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 7.0, 1e308])
def test_a_rectification_that_is_no_rotation_is_left_out_with_a_warning(wrong):
    r = np.array([wrong, 0, 0, 0, 1.0, 0, 0, 0, 1.0])
    found = calibration_from_info(stereo_info(r=r), WIDTH, HEIGHT, Lens)
    assert (found.intrinsics.fx, found.lens) == (500.0, None)
    assert "expected a rotation" in found.warnings[0]
    assert calibration_from_info(stereo_info(r=r), WIDTH, HEIGHT).intrinsics.fx == 500.0


def test_the_cache_gives_what_fits_the_images():
    cache = CalibrationCache()
    cache.store(stereo_info())
    assert cache.for_image("cam", WIDTH, HEIGHT).intrinsics.fx == 500.0
    cache.uses_p = True
    assert cache.for_image("cam", WIDTH, HEIGHT).intrinsics.fx == 450.0


def open_inputs(topic, **changes):
    """The subscriptions of a node whose image topic this is; what they say about the images."""
    node, cache = MagicMock(), CalibrationCache()
    node.resolve_topic_name.side_effect = lambda name: topic if name == "image" else f"/{name}"
    queue = FrameQueue(1, keep_newest=True)
    inputs = Inputs(node, None, queue, cache, DepthImages(1000), lambda kind, text: None)
    inputs.open(Settings().replace({f"input.{name}": value for name, value in changes.items()}))
    return cache.uses_p


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_the_matrix_goes_by_the_topic_unless_it_is_set(transport):
    assert open_inputs("/cam/image_rect", transport=transport)
    assert not open_inputs("/cam/image_raw", transport=transport)
    assert not open_inputs("/cam/image_rect", transport=transport, camera_matrix="K")
    assert open_inputs("/cam/image_raw", transport=transport, camera_matrix="P")


def test_undistorting_rectified_images_is_refused():
    with pytest.raises(ConfigError, match="/cam/image_rect is named as rectified images are"):
        open_inputs("/cam/image_rect", undistort=True)
    assert not open_inputs("/cam/image_rect", undistort=True, camera_matrix="K")


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


@pytest.mark.parametrize("frame_id", ["x" * 129, "//cam", "a\nb", "a b"])
def test_a_calibration_for_a_frame_name_that_no_image_may_have_is_refused(frame_id):
    cache = CalibrationCache()
    cache.store(info())
    cache.store(info(frame_id=frame_id))
    assert cache.frames() == ("cam",)
    assert "expected at most 128" in cache.refusal
    assert len(cache.refusal) < 300


def test_a_calibration_without_a_size_is_that_of_the_image():
    found = calibration_from_info(info(width=0, height=0), WIDTH, HEIGHT)
    assert (found.intrinsics.fx, found.intrinsics.width_px) == (500, WIDTH)
    assert "does not say of which size" in found.warnings[0]
    cut = info(width=0, height=0, roi=RegionOfInterest(x_offset=9, width=100, height=100))
    assert calibration_from_info(cut, 100, 100).intrinsics is None


def test_k_column_by_column_is_read_as_it_is_meant():
    by_column = info().k.reshape(3, 3).T.ravel()
    found = calibration_from_info(info(k=by_column), WIDTH, HEIGHT)
    assert (found.intrinsics.cx, found.intrinsics.cy) == (320, 240)
    assert "column by column" in found.warnings[0]


NO_K, STRAIGHT_P = np.zeros(9), np.array([500.0, 0, 320, 0, 0, 510, 240, 0, 0, 0, 1, 0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"width": 0}, "does not say of which size"),
        ({"height": 0}, "does not say of which size"),
        ({"k": info().k * 2}, "K with 2 where 1 is expected"),
        ({"k": info().k * -1}, "K with -1 where 1 is expected"),
        ({"k": NO_K, "p": STRAIGHT_P}, "has no K, but P"),
        ({"k": NO_K, "p": STRAIGHT_P * 4}, "P with 4 where 1 is expected"),
        ({"k": info().k + 7 * np.eye(9)[1]}, "numbers beside fx, fy, cx and cy (up to 7)"),
    ],
)
def test_what_can_be_meant_in_one_way_only_is_used_with_a_warning(fields, words):
    found = calibration_from_info(info(**fields), WIDTH, HEIGHT)
    k = found.intrinsics
    assert (k.fx, k.fy, k.cx, k.cy, k.width_px, k.height_px) == (500, 510, 320, 240, WIDTH, HEIGHT)
    assert any(words in warning for warning in found.warnings)


def test_without_a_principal_point_the_middle_of_the_image_is_taken():
    k = info(cx=0.0, cy=0.0).k
    p = np.column_stack([k.reshape(3, 3), np.zeros(3)]).ravel()
    for found in (
        calibration_from_info(info(k=k), WIDTH, HEIGHT),
        calibration_of_rectified(info(p=p), WIDTH, HEIGHT),
    ):
        assert (found.intrinsics.cx, found.intrinsics.cy) == (319.5, 239.5)
        assert "without a principal point" in found.warnings[0]
    half = calibration_from_info(info(k=k, binning_x=2, binning_y=2), WIDTH // 2, HEIGHT // 2)
    assert (half.intrinsics.cx, half.intrinsics.cy) == (159.5, 119.5)


def test_p_stands_for_k_only_where_the_lens_is_straight():
    for fields in ({"d": [0.1]}, {"r": Rotation.from_rotvec([0, 0.2, 0]).as_matrix().ravel()}):
        assert (
            calibration_from_info(info(k=NO_K, p=STRAIGHT_P, **fields), WIDTH, HEIGHT).intrinsics
            is None
        )


@pytest.mark.parametrize(
    ("named", "meant", "numbers"),
    [
        *((name, "plumb_bob", 5) for name in ("PLUMB_BOB", "radtan", "Brown-Conrady", "plumb bob")),
        *((name, "equidistant", 4) for name in ("fisheye", "Kannala_Brandt4", "Equidistant")),
    ],
)
def test_models_are_known_by_their_other_names(named, meant, numbers):
    d = [0.05] * numbers
    make = CalibrationCache()
    found = []
    for model in (named, meant):
        make.store(info(d=d, distortion_model=model))
        found.append(make.for_image("cam", WIDTH, HEIGHT, undistort=True))
    assert found[0].lens is not None
    assert found[0].warnings == found[1].warnings
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    straight = [one.without_distortion(image) for one in found]
    np.testing.assert_array_equal(*straight)


def test_a_calibration_file_serves_where_no_camera_info_comes():
    cache = CalibrationCache()
    cache.given = Intrinsics(600.0, 600.0, 319.5, 239.5, WIDTH, HEIGHT)
    for policy in ("optional", "ignore", "required"):
        settings = Settings().replace({"input.camera_info": policy}).input
        found = calibrated(cache, settings, "cam", WIDTH // 2, HEIGHT // 2)
        assert found.intrinsics.fx == 300.0
        assert found.intrinsics.width_px == WIDTH // 2
    cache.store(info())
    found = calibrated(cache, Settings().input, "cam", WIDTH, HEIGHT)
    assert found.intrinsics.fx == 500.0
    with pytest.raises(InputError, match="aspect ratio"):
        cache.of_file(WIDTH, WIDTH)
