"""Scale from the robot's own motion, on paths with known truth."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r.scale.robot_scale import STRETCH_M, MotionScale
from human3r.scale.sources import ScaleSources
from tests.scale.streams import FRAME_NS, T0, estimate, pose

ANCHOR_FROM_WORLD = pose(3.0, -2.0, 0.0, yaw=2.0, pitch=0.0)
FRAME = estimate(0, pose(), pose())


def drive(scale, path, *, wander=None, known=lambda number, now: True, drift=0.0, session=None):
    """What is said after each frame of a path.

    Args:
        scale: metres per unit of the network.
        path: true poses.
        wander: (frames, 3) metres by which the network is off.
        known: whether TF has a frame's pose by the time of another.
        drift: share by which the robot overestimates its way.
        session: of each frame.
    """
    now = 0

    def pose_at(stamp_ns):
        number = (stamp_ns - T0) // FRAME_NS
        grown = path[number].copy()
        grown[:3, 3] *= 1.0 + drift
        return ANCHOR_FROM_WORLD @ grown if known(number, now) else None

    measured = MotionScale(ScaleSources(pose_at=pose_at))
    said = []
    for now, true in enumerate(path):
        seen = np.linalg.inv(path[0]) @ true
        seen[:3, 3] = (seen[:3, 3] + (0.0 if wander is None else wander[now])) / scale
        raw = dataclasses.replace(
            FRAME,
            stamp_ns=T0 + now * FRAME_NS,
            world_from_camera=seen,
            session=session(now) if session else 0,
        )
        said.append(measured.update(raw))
    return said


def white(seed, frames, size_m):
    return np.random.default_rng(seed).normal(0, size_m, (frames, 3))


def curve(frames=80, step_m=0.06, turn=0.02):
    place, path = np.zeros(2), []
    for number in range(frames):
        yaw = turn * number
        place = place + step_m * np.array([np.cos(yaw), np.sin(yaw)])
        path.append(pose(*place, yaw=yaw))
    return path


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.3, 3.0), turn=st.floats(-0.05, 0.05), seed=st.integers(0, 1000))
def test_any_scale_is_found_on_any_curve(scale, turn, seed):
    guess = drive(scale, curve(turn=turn), wander=white(seed, 80, 0.005))[-1]
    assert not guess.trouble
    assert abs(guess.value / scale - 1) < max(5 * guess.relative_stddev, 0.01)
    assert guess.relative_stddev < 0.05


def test_two_thirds_of_the_errors_are_inside_one_standard_deviation():
    errors = []
    for seed in range(60):
        walk = np.cumsum(white(seed, 70, 0.01), axis=0)
        guess = drive(1.4, curve(70), wander=walk)[-1]
        errors.append((guess.value / 1.4 - 1) / guess.relative_stddev)
    assert 0.5 < np.mean(np.abs(errors) < 1) < 0.85
    assert np.mean(np.abs(errors) < 2) > 0.85


def test_a_robot_whose_odometry_drifts_by_some_percent_is_followed_to_that_percent():
    assert drive(1.25, curve(), drift=0.03)[-1].value == pytest.approx(1.25 * 1.03, rel=0.005)


def test_standing_still_says_nothing_however_long():
    path = [pose(*place[:2]) for place in white(0, 200, 0.01)]
    guess = drive(1.5, path, wander=white(1, 200, 0.05))[-1]
    assert guess.samples == 0
    assert "has moved 0 stretches" in guess.trouble


def test_turning_on_the_spot_says_nothing():
    guess = drive(1.5, [pose(yaw=0.1 * i) for i in range(100)], wander=white(1, 100, 0.05))[-1]
    assert guess.samples == 0
    assert "turning on the spot" in guess.trouble


def test_a_network_that_does_not_see_the_motion_is_not_believed():
    # All of the motion is taken back, but for noise.
    first = np.linalg.inv(curve()[0])
    away = -np.array([(first @ true)[:3, 3] for true in curve()])
    guess = drive(1.0, curve(), wander=away + white(0, 80, 0.001))[-1]
    assert "choose another scale.mode" in guess.trouble


def test_a_fifth_of_nonsense_does_not_matter():
    jumps = np.where(np.arange(80)[:, None] % 40 < 6, 5.0, 0.0)
    guess = drive(1.5, curve(), wander=np.broadcast_to(jumps, (80, 3)))[-1]
    assert guess.value == pytest.approx(1.5, rel=0.1)


def test_poses_that_come_late_are_used_and_those_that_never_come_are_not_waited_for():
    late = drive(1.3, curve(), known=lambda number, now: now - number >= 4)
    assert late[-1].value == pytest.approx(1.3, rel=0.01)
    gaps = drive(1.3, curve(), known=lambda number, now: number % 20 < 12)
    assert gaps[-1].value == pytest.approx(1.3, rel=0.01)
    never = drive(1.3, curve(), known=lambda number, now: False)[-1]
    assert np.isnan(never.value)
    assert "odometry on TF" in never.trouble


def test_no_stretch_reaches_over_a_reset():
    frames = 40
    # A new session every second frame: never a quarter of a metre within one.
    step_m = 0.4 * STRETCH_M
    guess = drive(1.0, curve(frames, step_m), session=lambda number: number // 2)[-1]
    assert guess.samples == 0


def test_forgetting_begins_anew():
    path = curve()
    measured = MotionScale(ScaleSources(pose_at=lambda stamp_ns: path[(stamp_ns - T0) // FRAME_NS]))
    for number in range(60):
        guess = measured.update(estimate(number, path[number], path[0], 2.0))
    assert guess.value == pytest.approx(2.0, rel=0.01)
    measured.forget()
    guess = measured.update(estimate(60, path[60], path[60], 0.5))
    assert guess.samples == 0
    assert guess.trouble
