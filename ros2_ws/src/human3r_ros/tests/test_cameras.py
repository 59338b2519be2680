"""Estimated and calibrated focal length side by side, and what the report says of them."""

import dataclasses
import math

import pytest
from human3r_ros.cameras import Cameras
from human3r_ros.intake import Counters
from human3r_ros.status import FrameReport

from human3r.types import Intrinsics
from ros2_ws.src.human3r_ros.tests.builders import make_estimate

CALIBRATED = Intrinsics(60.0, 60.0, 32.0, 24.0, 64, 48)
NEAR_SQUARE = Intrinsics(60.0, 61.0, 31.5, 23.5, 64, 48)


def estimate_with(focal_px):
    return make_estimate(intrinsics=Intrinsics(focal_px, focal_px, 8.0, 6.0, 16, 12))


def say(cameras, focal_px, frames):
    return [cameras.disagreement(estimate_with(focal_px), CALIBRATED) for _ in range(frames)]


def test_thirty_frames_of_disagreement_are_mentioned():
    said = say(Cameras(), 30.0, 30)
    assert not any(said[:29])
    assert "120 px as seen by the network and 60 px" in said[29]


def test_a_frame_without_an_estimate_speaks_neither_for_nor_against_the_calibration():
    cameras = Cameras()
    assert not any(say(cameras, 0.0, 40))
    say(cameras, 30.0, 29)
    assert say(cameras, 0.0, 1) == [""]
    assert "120 px" in say(cameras, 30.0, 1)[0]


def test_an_unknown_focal_length_is_reported_as_nan():
    known = FrameReport(estimate=estimate_with(15.0)).to_message(Counters())
    assert known.focal_estimated == 60.0
    unknown = FrameReport(estimate=estimate_with(0.0)).to_message(Counters())
    assert math.isnan(unknown.focal_estimated)


def test_the_depth_camera_has_the_median_focal_length_of_its_session():
    cameras = Cameras()
    for focal, session in [(99.0, 0), (10.0, 1), (30.0, 1), (20.0, 1), (0.0, 1)]:
        found = Intrinsics(focal, focal, 8.0, 6.0, 16, 12)
        estimate = make_estimate(intrinsics=found, session=session)
        cameras.see(estimate)
    assert cameras.of_depth(estimate, None).fx == 20.0
    assert cameras.of_source(estimate, None).fx == 4 * 20.0


def test_a_calibration_beats_every_estimate_and_is_scaled_to_the_depth_image():
    cameras = Cameras()
    estimate = make_estimate()
    cameras.see(estimate)
    assert cameras.of_source(estimate, NEAR_SQUARE) is NEAR_SQUARE
    depth = cameras.of_depth(estimate, NEAR_SQUARE)
    assert (depth.fx, depth.width_px, depth.height_px) == (15.0, 16, 12)


def test_without_any_focal_length_sixty_degrees_are_assumed():
    estimate = make_estimate(intrinsics=Intrinsics(0.0, 0.0, 8.0, 6.0, 16, 12))
    camera = Cameras().of_source(estimate, None)
    assert 2 * math.atan(64 / 2 / camera.fx) == pytest.approx(math.radians(60))


def test_a_focal_length_that_disagrees_for_thirty_frames_is_reported():
    cameras, estimate = Cameras(), make_estimate()
    right, wrong = Intrinsics(60.0, 60.0, 32.0, 24.0, 64, 48), NEAR_SQUARE
    wrong = dataclasses.replace(wrong, fx=80.0)
    said = [cameras.disagreement(estimate, wrong) for _ in range(30)]
    assert not any(said[:29])
    assert "60 px as seen by the network and 80 px in camera_info" in said[29]
    assert cameras.disagreement(estimate, right) == ""
    assert cameras.disagreement(estimate, wrong) == ""
