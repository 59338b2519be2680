"""Limbs over time: feet that stand stay, and what is right or is carried stays as it is."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.refine.limbs import people, solve
from human3r.refine.limbs.banded import Tied, newton_step
from human3r.refine.limbs.kinematics import NUM_JOINTS, NUM_UNKNOWNS, TURNING, Chain
from human3r.refine.limbs.people import settled
from human3r.refine.limbs.stances import find_stances
from human3r.refine.limbs.terms import Known, Terms
from human3r.refine.refinement import refine
from human3r.refine.solver import Block, Residuals, normal_equations
from tests.refine.bodies import trembling, walker_with_limbs, world_joints
from tests.refine.walker import in_world

ANKLES = [7, 8]


@pytest.fixture(scope="module")
def walker():
    return walker_with_limbs()


@pytest.fixture(scope="module")
def shaky(walker):
    return trembling(walker[0], turn_rad=0.05, along_m=0.1, across_m=0.004)


def after(recording):
    tracks, judged = settled(recording)
    return recording.with_tracks(tracks), judged[0]


def slide_mm(recording, stance):
    steps = np.linalg.norm(np.diff(world_joints(recording)[:, ANKLES], axis=0), axis=-1)
    return 1e3 * float(steps[stance[1:] & stance[:-1]].mean())


def error_mm(recording, truth):
    return 1e3 * np.linalg.norm(world_joints(recording) - world_joints(truth), axis=-1).mean()


def jerk(recording):
    return np.linalg.norm(np.diff(world_joints(recording), n=3, axis=0), axis=-1).mean()


def test_feet_that_stand_stop_sliding(walker, shaky):
    truth, stance = walker
    refined, judged = after(shaky)
    assert judged.is_accepted
    assert judged.stances >= 6
    assert judged.after_mm < 0.8 * judged.before_mm
    assert slide_mm(refined, stance) < 0.5 * slide_mm(shaky, stance)
    assert error_mm(refined, truth) < 0.85 * error_mm(shaky, truth)
    assert jerk(refined) < 0.5 * jerk(shaky)


def test_joints_are_those_of_the_rotations(shaky):
    track = after(shaky)[0].tracks[0]
    joints, skin = track.pose.posed(track.pose.rotations, track.joints[:, 15])
    np.testing.assert_allclose(joints, track.joints, atol=1e-5)
    np.testing.assert_allclose(skin, track.points, atol=1e-5)
    turned = track.pose.rotations @ np.swapaxes(track.pose.rotations, -1, -2)
    np.testing.assert_allclose(turned, np.broadcast_to(np.eye(3), turned.shape), atol=1e-5)


def test_what_is_right_stays_to_the_last_bit(walker):
    refined, judged = after(walker[0])
    assert judged.stances >= 6
    assert not judged.is_accepted
    assert refined.tracks[0] is walker[0].tracks[0]


def test_what_is_right_hardly_changes_even_when_it_is_solved(walker):
    (stretch,) = people._stretches(walker[0], walker[0].tracks[0])
    change = solve.best_change(stretch.known)
    posed = [stretch.known.chain.posed(c.turn, c.shift) for c in (solve.no_change(60), change)]
    assert np.abs(posed[1].joints - posed[0].joints).max() < 1e-3


def test_a_second_refinement_finds_nothing_left(shaky):
    once, _ = after(shaky)
    assert not after(once)[1].is_accepted


def test_knees_do_not_bend_backward():
    truth, _ = walker_with_limbs(times_s=np.zeros(60))
    rotations = truth.tracks[0].pose.rotations.copy()
    for knee in (4, 5):
        rotations[:, knee] = np.eye(3)
    pose = replace(truth.tracks[0].pose, rotations=rotations)
    joints, skin = pose.posed(rotations, truth.tracks[0].joints[:, 15])
    straight = truth.with_tracks((replace(truth.tracks[0], joints=joints, points=skin, pose=pose),))
    shaken = trembling(straight, turn_rad=0.0, along_m=0.1, across_m=0.01)
    refined, judged = after(shaken)
    assert judged.is_accepted
    bends = Rotation.from_matrix(refined.tracks[0].pose.rotations[:, [4, 5]].reshape(-1, 3, 3))
    assert np.degrees(bends.as_rotvec()[:, 0].min()) > -2


def test_who_rides_an_escalator_is_not_held():
    riding, _ = walker_with_limbs(times_s=np.zeros(60), ride_m_s=(0.1, 0, 0.05))
    shaken = trembling(riding, turn_rad=0.01, along_m=0.03)
    refined, judged = after(shaken)
    assert judged.stances == 0
    assert refined.tracks[0] is shaken.tracks[0]


def test_stances_that_are_none_are_not_believed(monkeypatch, shaky, walker):
    def swings(feet, centres, times_s):
        return ~walker[1] if len(feet) == len(walker[1]) else np.zeros(feet.shape[:2], bool)

    monkeypatch.setattr(people, "find_stances", swings)
    refined, judged = after(shaky)
    assert judged.stances >= 2
    assert not judged.is_accepted
    assert refined.tracks[0] is shaky.tracks[0]


def test_stances_are_seen_whatever_the_distance_does(walker, shaky):
    _, stance = walker
    feet = np.stack(
        [world_joints(shaky)[:, [ankle, ankle + 3]].mean(axis=1) for ankle in ANKLES], axis=1
    )
    found = find_stances(feet, shaky.world_from_camera[:, :3, 3], shaky.times_s)
    assert (found & stance).sum() > 0.6 * stance.sum()
    assert (found & ~stance).sum() < 0.35 * (~stance).sum()


def test_a_gap_or_a_leap_is_not_smoothed_over(walker, shaky):
    track = shaky.tracks[0]
    far = track.pose.posed(track.pose.rotations, track.joints[:, 15] + [2.0, 0, 0])
    half = np.arange(60) < 30
    joints, skin = (
        np.where(half[:, None, None], a, b)
        for a, b in zip((track.joints, track.points), far, strict=True)
    )
    other = shaky.with_tracks((replace(track, joints=joints, points=skin),))
    refined, judged = after(other)
    assert judged.is_accepted
    places = in_world(refined.tracks[0].joints, refined.world_from_camera)[:, 0]
    came = in_world(joints, refined.world_from_camera)[:, 0]
    leap_m = np.linalg.norm(places[30] - places[29])
    assert leap_m == pytest.approx(np.linalg.norm(came[30] - came[29]), abs=0.3)
    assert leap_m > 1.5


def test_another_session_is_another_stretch(shaky):
    session = np.repeat([0, 1], 30)
    stretches = people._stretches(replace(shaky, session=session), shaky.tracks[0])
    assert [len(one.rows) for one in stretches] == [30, 30]


def test_long_stretches_are_solved_in_windows(monkeypatch, shaky):
    (stretch,) = people._stretches(shaky, shaky.tracks[0])
    whole = solve.best_change(stretch.known)
    monkeypatch.setattr(solve, "_WINDOW", 30)
    monkeypatch.setattr(solve, "_OVERLAP", 16)
    parts = solve.best_change(stretch.known)
    chain = stretch.known.chain
    joints = [chain.posed(one.turn, one.shift).joints for one in (whole, parts)]
    assert 0 < np.abs(joints[1] - joints[0]).mean() < 0.01


def known_somewhere(rows=7):
    random = np.random.default_rng(0)
    rotations = Rotation.from_rotvec(0.4 * random.normal(size=(rows * NUM_JOINTS, 3))).as_matrix()
    joints = random.normal(size=(rows, NUM_JOINTS, 3)) + np.array([0.0, 0, 4])
    skin = joints[:, [7, 7, 8, 8]] + 0.1 * random.normal(size=(rows, 4, 3))
    rotations = rotations.reshape(rows, NUM_JOINTS, 3, 3)
    chain = Chain.of(rotations, joints, skin, np.array([7, 7, 8, 8]))
    stands = random.uniform(size=(rows, 4))
    times_s = np.cumsum(random.uniform(0.08, 0.12, rows))
    return Known(chain, np.zeros((rows, 3)), times_s, stands, np.array([0.05, 0.01])), random


def test_a_chain_without_turns_is_what_it_was_made_of():
    known, _ = known_somewhere()
    nothing = solve.no_change(7)
    posed = known.chain.posed(nothing.turn, nothing.shift)
    again = Chain.of(posed.rotations, posed.joints, posed.skin, known.chain.rides_on)
    np.testing.assert_allclose(again.bones, known.chain.bones, atol=1e-12)
    np.testing.assert_allclose(again.skin, known.chain.skin, atol=1e-12)


def test_derivatives_are_those_of_differences():
    known, random = known_somewhere()
    terms = Terms(known)
    at = solve.Change(0.01 * random.normal(size=(7, len(TURNING), 3)), random.normal(size=(7, 3)))
    step = 1e-6 * random.normal(size=(7, NUM_UNKNOWNS))
    moved = solve._stepped(at, step)
    before, now = (terms.of(one.turn, one.shift) for one in (at, moved))
    assert len(before) == 6
    for one, other in zip(before, now, strict=True):
        count = len(one.values)
        predicted = sum(
            np.einsum("npdu,nu->npd", part, step[row : row + count])
            for row, part in enumerate(one.by)
        )
        true = other.values - one.values
        # Turns add up like vectors only while they are small.
        assert np.abs(predicted - true).max() <= 0.05 * np.abs(true).max()


def test_a_step_is_that_of_the_whole_matrix():
    random = np.random.default_rng(1)
    terms, groups = [], []
    for tied in (1, 2, 3):
        count = 6 - tied
        values = random.normal(size=(count, 2, 3))
        by = [random.normal(size=(count, 2, 3, 4)) for _ in range(tied)]
        share = random.uniform(0.5, 1, size=(count, 2))
        terms.append(Tied(values, by, robust=2.0, share=share))
        root = np.sqrt(share).reshape(-1, 1)
        first = np.repeat(np.arange(count), 2)
        blocks = [
            Block(4 * (first + row), part.reshape(-1, 3, 4) * root[..., None])
            for row, part in enumerate(by)
        ]
        robust = 2.0 * root.ravel()
        groups.append(Residuals(values.reshape(-1, 3) * root, blocks, robust))
        assert terms[-1].cost() == pytest.approx(groups[-1].cost())
    hessian, gradient = normal_equations(groups, 4 * 5)
    whole = hessian.toarray() + np.diag(0.1 * hessian.diagonal())
    step = newton_step(terms, 5, 4, damping=0.1)
    np.testing.assert_allclose(step.ravel(), -np.linalg.solve(whole, gradient), atol=1e-9)


def test_refinement_changes_limbs_where_nothing_else_speaks(walker, shaky):
    refined = refine(shaky)
    assert refined.has_changed
    assert refined.limbs[0].is_accepted
    assert (refined.frame_scale == 1).all()
    np.testing.assert_array_equal(refined.recording.world_from_camera, shaky.world_from_camera)
    assert slide_mm(refined.recording, walker[1]) < 0.5 * slide_mm(shaky, walker[1])
    unchanged = refine(walker[0])
    assert not unchanged.has_changed
