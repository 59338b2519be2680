"""Bodies of a stream: hidden parts, nonsense, covariance, facing, stature, identities."""

from dataclasses import replace

import numpy as np
import pytest

from human3r.errors import InputError, StreamOrderError
from human3r.people.fit.fitter import BodyFitter, turn_between
from human3r.people.fit.gauss_newton import CovarianceFactors
from human3r.people.fit.observations import other_way_round
from human3r.people.fit.rotations import vectors
from human3r.people.fit.stature import FloorPlane, LogStature
from tests.people.posed_landmarks import (
    CAMERA,
    body_model,
    landmark_body,
    landmarks_of,
    plain_prior,
    pose,
    shape,
)

FRAME_NS = 40_000_000
SECOND_NS = 10**9
PLACE = np.array([0.2, 0.1, 3.5])
UP = np.array([0.0, -1.0, 0.0])
LEGS = list(range(25, 33))


def fitter(**kwargs) -> BodyFitter:
    return BodyFitter(body_model(), plain_prior(), **kwargs)


def only(people):
    assert len(people) == 1
    return people[0]


def test_a_fitted_body_is_near_the_true_one():
    rotations = pose(1)
    found = only(fitter().update(0, [landmarks_of(rotations, PLACE)], CAMERA))
    true = landmark_body().pose(rotations[None], shape()[None]).joints[0] + PLACE
    assert np.linalg.norm(found.joints_camera - true, axis=1).mean() < 0.04
    assert found.body.rotations.shape == (53, 3, 3)
    np.testing.assert_allclose(found.body.head_camera, found.joints_camera[15], atol=1e-5)


def test_hidden_legs_fall_back_to_the_prior_and_say_so():
    seen = np.ones(33)
    seen[LEGS] = 0.01
    astray = landmarks_of(pose(1), PLACE, seen=seen)
    astray.pixels[LEGS] += 90.0
    whole = only(fitter().update(0, [landmarks_of(pose(1), PLACE)], CAMERA))
    half = only(fitter().update(0, [astray], CAMERA))
    upper = [0, 12, 15, 16, 17, 18, 19]
    off = np.linalg.norm(half.joints_camera - whole.joints_camera, axis=1)
    assert off[upper].max() < 0.15
    assert off.max() < 0.6
    assert np.trace(half.covariance[3:, 3:]) > 1.2 * np.trace(whole.covariance[3:, 3:])


@pytest.mark.parametrize("place", [[1.9, 0.1, 3.0], [0.0, 0.9, 1.2], [0.0, 0.0, 60.0]])
def test_people_at_the_border_near_by_and_far_off_are_fitted(place):
    found = only(fitter().update(0, [landmarks_of(pose(2), np.array(place))], CAMERA))
    ratio = np.linalg.norm(found.joints_camera[0]) / np.linalg.norm(place)
    assert 0.8 < ratio < 1.25


def garbage(kind: str):
    person, rng = landmarks_of(pose(1), PLACE), np.random.default_rng(3)
    if kind == "random":
        return replace(person, pixels=rng.normal(0, 1e4, (33, 2)), world=rng.normal(0, 50, (33, 3)))
    if kind == "zero":
        return replace(person, pixels=np.zeros((33, 2)), world=np.zeros((33, 3)))
    if kind == "huge":
        return replace(person, pixels=np.full((33, 2), 1e30), world=np.full((33, 3), -1e30))
    world = person.world.copy()
    world[[0, 14, 30]] = np.nan
    return replace(person, world=world)


@pytest.mark.parametrize("kind", ["random", "zero", "huge", "some_nan"])
def test_garbage_gives_finite_bodies_and_leaves_others_alone(kind):
    good = landmarks_of(pose(1), PLACE)
    bad = replace(garbage(kind), track=7)
    many = fitter()
    for frame in range(3):
        people = many.update(frame * FRAME_NS, [good, bad], CAMERA)
        for person in people:
            assert np.isfinite(person.joints_camera).all()
            assert np.isfinite(person.covariance).all()
            assert np.isfinite(person.body.rotations).all()
    alone = only(fitter().update(0, [good], CAMERA))
    np.testing.assert_allclose(people[0].joints_camera, alone.joints_camera, atol=0.02)


def test_who_has_no_finite_landmarks_is_left_out():
    nothing = replace(landmarks_of(pose(1), PLACE), pixels=np.full((33, 2), np.nan))
    people = fitter().update(0, [nothing, landmarks_of(pose(1), PLACE, track=2)], CAMERA)
    assert [person.row for person in people] == [1]


def test_the_fits_own_covariance_holds_for_noise_as_the_prior_has_it():
    factors = CovarianceFactors(1.0, 1.0, 1.0, 1.0, usual_misfit=1.0)
    known = LogStature.of(1.69, 0.02)  # What is told of noise is not hidden by doubt of the size.
    truth = landmark_body().pose(pose(0)[None], shape()[None]).joints[0] + PLACE
    origin = truth[1:3].mean(0)
    inside = []
    for seed in range(24):
        noisy = landmarks_of(pose(0), PLACE, noise=1.0, seed=seed)
        found = only(fitter(factors=factors, stature=known).update(0, [noisy], CAMERA))
        error = found.joints_camera[1:3].mean(0) - origin
        turn = vectors(found.body.rotations[0] @ pose(0)[0].T)
        sigmas = np.sqrt(np.diag(found.covariance))
        inside.append(np.abs([*error, *turn]) < sigmas)
    share = np.mean(inside, axis=0)
    assert share[3:].mean() > 0.55
    assert np.mean(inside) > 0.6
    assert np.mean(inside) < 0.99


def test_covariance_along_the_ray_is_that_of_stature():
    found = only(fitter().update(0, [landmarks_of(pose(1), PLACE)], CAMERA))
    ray = PLACE / np.linalg.norm(PLACE)
    along = np.sqrt(ray @ found.covariance[:3, :3] @ ray)
    assert along > found.stature_sigma * 3.4
    across = np.sqrt((np.trace(found.covariance[:3, :3]) - along**2) / 2)
    assert across < along / 5


def test_landmarks_that_contradict_each_other_make_the_pose_less_sure():
    person = landmarks_of(pose(1), PLACE)
    swapped = person.pixels.copy()
    swapped[[25, 26, 27, 28]] = swapped[[28, 27, 26, 25]]
    agreeing = only(fitter().update(0, [person], CAMERA))
    contradicting = only(fitter().update(0, [replace(person, pixels=swapped)], CAMERA))
    assert contradicting.misfit > 1.5 * agreeing.misfit
    ratio = np.diag(contradicting.covariance)[3:] / np.diag(agreeing.covariance)[3:]
    assert ratio.min() > 1.5
    assert contradicting.stature_sigma == agreeing.stature_sigma


def flipped(person):
    pixels, world, seen = other_way_round(person.pixels, person.world, person.visibility)
    return replace(person, pixels=pixels, world=world, visibility=seen)


def test_a_half_turn_in_one_image_is_refused_and_the_body_stays_right():
    stream, person = fitter(), landmarks_of(pose(1), PLACE)
    for frame in range(4):
        before = only(stream.update(frame * FRAME_NS, [person], CAMERA))
    during = only(stream.update(4 * FRAME_NS, [flipped(person)], CAMERA))
    after = only(stream.update(5 * FRAME_NS, [person], CAMERA))
    assert (before.is_turned_back, during.is_turned_back, after.is_turned_back) == (0, 1, 0)
    assert turn_between(before.body.rotations[0], during.body.rotations[0]) < 0.3
    assert np.abs(during.joints_camera - before.joints_camera).max() < 0.1


def test_a_half_turn_that_stays_is_believed():
    stream, person = fitter(), landmarks_of(pose(1), PLACE)
    for frame in range(4):
        before = only(stream.update(frame * FRAME_NS, [person], CAMERA))
    for frame in range(4, 20):
        last = only(stream.update(frame * FRAME_NS, [flipped(person)], CAMERA))
    assert not last.is_turned_back
    assert turn_between(before.body.rotations[0], last.body.rotations[0]) > 2.0


def test_a_first_image_that_faced_the_wrong_way_is_put_right_by_the_next():
    stream, person = fitter(), landmarks_of(pose(1), PLACE)
    wrong = only(stream.update(0, [flipped(person)], CAMERA))
    right = only(stream.update(FRAME_NS, [person], CAMERA))
    assert turn_between(wrong.body.rotations[0], right.body.rotations[0]) > 2.0


def test_someone_who_turns_at_a_human_rate_is_never_refused():
    stream = fitter()
    for frame in range(25):
        turning = landmarks_of(pose(1, turn_rad=0.24 * frame), PLACE)
        assert not only(stream.update(frame * FRAME_NS, [turning], CAMERA)).is_turned_back


@pytest.mark.parametrize("stature_m", [1.2, 1.55, 1.9])
def test_the_floor_tells_stature_and_with_it_distance(stature_m):
    floor = standing_on(stature_m)
    small = landmarks_of(pose(0, spread=0.0), PLACE, betas=shape(stature_m))
    guess = only(fitter().update(0, [small], CAMERA))
    stream = fitter()
    for frame in range(4):
        known = only(stream.update(frame * 500_000_000, [small], CAMERA, floor=floor))
    assert known.stature_m == pytest.approx(stature_m, rel=0.06)
    assert known.stature_sigma < 0.6 * guess.stature_sigma
    assert known.joints_camera[0, 2] == pytest.approx(PLACE[2], rel=0.06)


def standing_on(stature_m: float) -> FloorPlane:
    marks = landmark_body().pose(pose(0, spread=0.0)[None], shape(stature_m)[None]).marks[0]
    rows = np.searchsorted(landmark_body().used, [29, 30, 31, 32])
    return FloorPlane(UP, float((marks[rows] + PLACE)[:, 1].max()) + 0.03)


def compared_with_depth(stream, stamp_ns, person, depth_m, relative_sigma):
    """The person of an image whose depth image has the pelvis at a depth."""
    found = only(stream.update(stamp_ns, [person], CAMERA))
    off = float(np.log(found.joints_camera[0, 2] / depth_m))
    stream.compare({found.track_id: off}, relative_sigma, "depth")
    return found


def test_measured_depth_tells_stature():
    small, stream = landmarks_of(pose(1), PLACE, betas=shape(1.5)), fitter()
    for frame in range(3):
        known = compared_with_depth(stream, frame * SECOND_NS, small, PLACE[2], 0.02)
    assert known.stature_m == pytest.approx(1.5, rel=0.04)


def walker(frame: int, sign: float, track: int, depth_m: float):
    place = np.array([sign * (1.2 - 0.06 * frame), 0.1, depth_m])
    return landmarks_of(pose(1, turn_rad=sign), place, track=track)


@pytest.mark.parametrize("farther", [0.9, 1.1])
def test_a_metric_scene_draws_bodies_towards_it(farther):
    """The scene has the person farther off than the body: so the person is taller."""
    plain, compared = fitter(), fitter()
    people = [landmarks_of(pose(1), PLACE)]
    alone = together = None
    for index in range(12):
        alone = only(plain.update(index * FRAME_NS, people, CAMERA))
        together = only(compared.update(index * FRAME_NS, people, CAMERA))
        off = np.log(together.joints_camera[0, 2] / (farther * alone.joints_camera[0, 2]))
        compared.compare({together.track_id: float(off), 99: 5.0}, 0.09, "scene")
    assert alone is not None
    assert together is not None
    moved = np.log(together.joints_camera[0, 2] / alone.joints_camera[0, 2]) / np.log(farther)
    assert 0.2 < moved < 0.8, "between the two"
    assert together.stature_m / alone.stature_m == pytest.approx(farther**moved, rel=0.01)
    assert together.stature_sigma < alone.stature_sigma


def test_two_who_cross_keep_their_numbers_though_their_regions_are_exchanged():
    stream = fitter()
    for frame in range(10, 30):
        swapped = frame > 20
        near = walker(frame, 1.0, 1 if swapped else 0, 2.5)
        far = walker(frame, -1.0, 0 if swapped else 1, 4.5)
        people = stream.update(frame * FRAME_NS, [near, far], CAMERA)
        assert [person.track_id for person in people] == [0, 1]


def test_who_was_hidden_comes_back_under_the_same_number_and_others_are_new():
    stream = fitter()
    for frame in range(40):
        visible = not 15 <= frame < 25
        people = [walker(frame, 1.0, 0 if frame < 15 else -1, 3.0)] if visible else []
        people = stream.update(frame * FRAME_NS, people, CAMERA)
        assert [person.track_id for person in people] == ([0] if visible else [])
    elsewhere = landmarks_of(pose(4), np.array([1.0, 0.1, 6.0]), track=-1)
    assert only(stream.update(41 * FRAME_NS, [elsewhere], CAMERA)).track_id == 1


def test_a_child_keeps_the_number_while_becoming_known_as_one():
    stream, floor = fitter(), standing_on(1.15)
    child = replace(landmarks_of(pose(0, spread=0.0), PLACE, betas=shape(1.15)), track=-1)
    for frame in range(6):
        found = only(stream.update(frame * SECOND_NS // 4, [child], CAMERA, floor=floor))
        assert found.track_id == 0
    assert found.stature_m < 1.25


def test_the_lost_are_forgotten_and_numbers_never_come_twice():
    stream, person = fitter(forget_s=1.0), replace(landmarks_of(pose(1), PLACE), track=-1)
    for index in range(12):
        stream.update(index * 10 * 10**9, [person], CAMERA)
    assert len(stream._tracks) == 1
    stream.reset()
    assert only(stream.update(0, [person], CAMERA)).track_id == 12


def test_depth_jitter_is_filtered_at_any_rate():
    rng = np.random.default_rng(0)
    for rate_hz in (8, 24):
        stream, raw, smooth = fitter(), [], []
        for frame in range(28):
            place = PLACE * (1 + 0.03 * rng.standard_normal())
            stamp_ns = round(frame * 1e9 / rate_hz)
            found = only(stream.update(stamp_ns, [landmarks_of(pose(1), place)], CAMERA))
            raw.append(place[2])
            smooth.append(found.joints_camera[0, 2])
        assert np.std(np.diff(smooth[9:])) < 0.75 * np.std(np.diff(raw[9:]))
        assert np.mean(smooth[9:]) == pytest.approx(np.mean(raw[9:]), rel=0.03)


def test_wrong_calls_are_refused():
    stream, person = fitter(), landmarks_of(pose(1), PLACE)
    stream.update(5, [person], CAMERA)
    with pytest.raises(StreamOrderError, match="newer"):
        stream.update(5, [person], CAMERA)
    with pytest.raises(InputError, match="one per person"):
        stream.update(6, [person], CAMERA, tokens=np.zeros((0, 4)))
    assert stream.update(7, [], CAMERA) == []
