"""Depth of a stream: better where the camera moves, steady where it rests, new where things do."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from human3r.streaming.motion_depth import MotionDepth
from human3r.streaming.visual_odometry import VisualOdometry
from human3r.types import FrameEstimate, ImageGeometry, Intrinsics

_WIDTH, _HEIGHT = 224, 160
_CAMERA = Intrinsics(200.0, 200.0, 112.0, 80.0, _WIDTH, _HEIGHT)
_GEOMETRY = ImageGeometry(_WIDTH, _HEIGHT, _WIDTH, _HEIGHT, 0, 0, _WIDTH, _HEIGHT)
_WALL_M = 3.0
_STEP_NS = 10**8
_COLUMNS, _ROWS = np.meshgrid(np.arange(_WIDTH), np.arange(_HEIGHT))
_BOW = (0.3 * np.exp(-((_COLUMNS - 90) ** 2 + (_ROWS - 70) ** 2) / 50.0**2)).astype(np.float32)
"""Error of the logarithm of depth, as a network makes it of a flat wall: up to 35 %, smooth."""
_FAR = 1 + 0.3 / 0.12
"""Confidence of a network that expects to be off by 12 %."""


def _wall() -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 255, (3 * _HEIGHT, 3 * _WIDTH, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)


_WALL = _wall()


def _estimate(index: int, shift_m: float, log_error: np.ndarray, **changes) -> FrameEstimate:
    """A wall that the camera looks at straight on, moved sideways; its depth with an error."""
    shift_px = _CAMERA.fx * shift_m / _WALL_M
    image_from_wall = np.array([[1, 0, -_WIDTH - shift_px], [0, 1, -_HEIGHT]])
    image = cv2.warpAffine(_WALL, image_from_wall, (_WIDTH, _HEIGHT))
    world_from_camera = np.eye(4)
    world_from_camera[0, 3] = shift_m
    values = {
        "stamp_ns": 1 + index * _STEP_NS,
        "session": 0,
        "frame_index": index,
        "geometry": _GEOMETRY,
        "image": image,
        "points_camera": _points(_WALL_M * np.exp(log_error)),
        "confidence": np.full((_HEIGHT, _WIDTH), _FAR, np.float32),
        "person_probability": np.zeros((_HEIGHT, _WIDTH), np.float32),
        "world_from_camera": world_from_camera,
        "intrinsics": _CAMERA,
        "calibrated": _CAMERA,
        "people": (),
    }
    return FrameEstimate(**(values | changes))


def _points(depth: np.ndarray) -> np.ndarray:
    rays = np.stack(((_COLUMNS - _CAMERA.cx) / _CAMERA.fx, (_ROWS - _CAMERA.cy) / _CAMERA.fy), -1)
    return np.concatenate((rays * depth[..., None], depth[..., None]), -1).astype(np.float32)


def _bend(depth: np.ndarray) -> float:
    """Standard deviation of the logarithm of depth, which is 0 for the wall."""
    return float(np.log(depth).std())


def test_a_bowed_wall_becomes_flat_as_the_camera_passes():
    """At the poses that the odometry makes of the same bowed depth."""
    odometry, motion = VisualOdometry(), MotionDepth()
    for index in range(20):
        estimate = _estimate(index, 0.03 * index, _BOW)
        estimate = motion.apply(odometry.apply(estimate, _CAMERA))
        odometry.correct_depth(estimate)
    corrected = estimate.depth
    assert _bend(_WALL_M * np.exp(_BOW)) > 0.07
    assert _bend(corrected) < 0.03


def test_what_was_learnt_on_the_way_stays_while_the_camera_rests():
    motion = MotionDepth()
    for index in range(40):
        corrected = motion.apply(_estimate(index, 0.03 * min(index, 15), _BOW)).depth
    assert _bend(corrected) < 0.04


def test_a_camera_that_stands_still_leaves_depth_as_it_is():
    motion = MotionDepth()
    for index in range(10):
        estimate = _estimate(index, 0.0, _BOW)
        np.testing.assert_allclose(motion.apply(estimate).depth, estimate.depth, rtol=1e-4)


def test_a_camera_that_stands_still_sees_depth_that_does_not_flicker():
    motion, rng = MotionDepth(), np.random.default_rng(0)
    answers = []
    for index in range(40):
        noise = cv2.resize(rng.normal(0, 0.05, (5, 7)).astype(np.float32), (_WIDTH, _HEIGHT))
        answers.append(motion.apply(_estimate(index, 0.0, noise)).depth)
    steps = np.abs(np.diff(np.log(answers[10:]), axis=0))
    single = 0.05 * np.sqrt(2)
    assert steps.mean() < 0.15 * single


def test_something_that_came_near_is_there_at_once():
    motion = MotionDepth()
    nearer = np.zeros((_HEIGHT, _WIDTH), np.float32)
    nearer[40:100, 60:120] = np.log(0.5)
    for index in range(15):
        motion.apply(_estimate(index, 0.03 * index, np.zeros_like(nearer)))
    still = 0.03 * 14
    corrected = motion.apply(_estimate(15, still, nearer)).depth
    np.testing.assert_allclose(corrected[42:98, 62:118], 0.5 * _WALL_M, rtol=0.03)
    np.testing.assert_allclose(corrected[110:], _WALL_M, rtol=0.09)


def test_depth_of_people_is_not_measured_by_the_wall_behind_them():
    """Of a person who comes near nothing is taken from the images before."""
    motion = MotionDepth()
    person = np.zeros((_HEIGHT, _WIDTH), np.float32)
    for index in range(12):
        person[:] = 0
        person[30:150, 60 + 2 * index : 110 + 2 * index] = 1
        log_depth = person * np.log(0.8 - 0.01 * index)
        estimate = _estimate(index, 0.0, log_depth, person_probability=person)
        inside = cv2.erode(person, np.ones((5, 5))) > 0
        corrected = motion.apply(estimate).depth
    error = np.log(corrected[inside] / estimate.depth[inside])
    assert np.abs(error).max() < 0.03


@pytest.mark.parametrize(
    "changes",
    [{"is_motion_known": False}, {"stamp_ns": 10**11}, {"intrinsics": replace(_CAMERA, fx=260.0)}],
)
def test_what_no_longer_holds_is_forgotten(changes):
    motion = MotionDepth()
    for index in range(12):
        motion.apply(_estimate(index, 0.03 * index, _BOW))
    estimate = _estimate(12, 0.36, _BOW, **changes)
    np.testing.assert_allclose(motion.apply(estimate).depth, estimate.depth, rtol=1e-5)


def test_a_lens_that_is_known_better_takes_all_depth_with_it():
    motion = MotionDepth()
    for index in range(10):
        motion.apply(_estimate(index, 0.0, _BOW, calibrated=None))
    longer = replace(_CAMERA, fx=210.0, fy=210.0)
    estimate = _estimate(10, 0.0, _BOW + np.log(1.05), calibrated=None, intrinsics=longer)
    np.testing.assert_allclose(motion.apply(estimate).depth, estimate.depth, rtol=1e-3)


def test_an_image_without_depth_passes_and_nothing_is_forgotten():
    motion = MotionDepth()
    for index in range(16):
        motion.apply(_estimate(index, 0.03 * index, _BOW))
    blank = np.zeros((_HEIGHT, _WIDTH, 3), np.float32)
    passed = _estimate(16, 0.48, _BOW, points_camera=blank, has_scene=False)
    assert motion.apply(passed) is passed
    assert _bend(motion.apply(_estimate(17, 0.51, _BOW)).depth) < 0.04


def test_a_wall_without_texture_stays_as_the_network_sees_it():
    motion = MotionDepth()
    gray = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)
    for index in range(10):
        estimate = _estimate(index, 0.03 * index, _BOW * 0, image=gray)
        corrected = motion.apply(estimate).depth
    np.testing.assert_allclose(corrected, _WALL_M, rtol=1e-3)


def test_images_whose_scale_the_network_judges_anew_are_of_one_scale():
    """What the camera sees stays where it is, and the path is as long as if nothing had changed."""
    odometry, motion = VisualOdometry(), MotionDepth()
    scales, lengths = [], []
    for index in range(30):
        off = np.log(1 + 0.04 * max(index - 8, 0))
        estimate = _estimate(index, 0.03 * index, np.full_like(_BOW, off))
        estimate = motion.apply(odometry.apply(estimate, _CAMERA))
        odometry.correct_depth(estimate)
        scales.append(np.median(estimate.depth) / _WALL_M)
        lengths.append(np.linalg.norm(estimate.world_from_camera[:3, 3]))
    assert np.exp(off) > 1.8
    # The mean of all that the network said, not the last.
    assert scales[-1] < 1.35
    assert np.abs(np.diff(np.log(scales))).max() < 0.03
    assert lengths[-1] / (0.03 * 29) < 1.25


def test_the_scale_does_not_creep_where_features_change_the_shape():
    odometry, motion = VisualOdometry(), MotionDepth()
    for index in range(60):
        estimate = _estimate(index, 0.03 * index, _BOW)
        estimate = motion.apply(odometry.apply(estimate, _CAMERA))
        odometry.correct_depth(estimate)
    assert abs(np.log(np.median(estimate.depth) / np.median(_WALL_M * np.exp(_BOW)))) < 0.05
