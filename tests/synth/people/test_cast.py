"""Whole casts: apart, inside the stage, planted feet, dressed, repeatable."""

import numpy as np
import pytest
import torch
from human3r_lab.synth.people import Performer, make_cast
from human3r_lab.synth.stage import Obstacle, Seat, Stage

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.body.skeleton import HEAD, JOINT_NAMES
from human3r.errors import InputError

FRAMES, RATE_HZ = 40, 20.0


def stage() -> Stage:
    return Stage(
        low_m=np.array([-3.0, -2.5]),
        high_m=np.array([3.0, 2.5]),
        obstacles=(
            Obstacle(np.array([1.0, 0.8]), np.array([2.2, 1.8]), 0.75),
            Obstacle(np.array([-2.75, -0.25]), np.array([-2.25, 0.25]), 0.9),
        ),
        seats=(Seat(np.array([-2.5, 0.0, 0.45]), 0.0),),
    )


def cast(seed: int, people: int = 4, difficulty: str = "hard", **more) -> list[Performer]:
    clip = {"frames": FRAMES, "rate_hz": RATE_HZ} | more
    rng = np.random.default_rng(seed)
    return make_cast(rng, stage(), people=people, difficulty=difficulty, **clip)


@pytest.fixture(scope="module")
def casts() -> list[list[Performer]]:
    return [cast(seed) for seed in range(3)]


def everybody(casts: list[list[Performer]]) -> list[Performer]:
    return [performer for group in casts for performer in group]


@pytest.fixture(scope="module")
def body():
    return load_body_model(default_body_path())


@pytest.fixture(scope="module")
def joints(casts, body):
    """Per performer (T, joints, 3) in the order of ``everybody``."""
    return [body_mesh(body, performer).joints.numpy() for performer in everybody(casts)]


def body_mesh(body, performer: Performer, frames: slice = slice(None)):
    rotations = torch.from_numpy(performer.rotations[frames])
    count = len(rotations)
    with torch.no_grad():
        return body(
            rotations,
            torch.from_numpy(np.tile(performer.betas, (count, 1))),
            torch.from_numpy(performer.expression[frames]),
            torch.from_numpy(performer.head_world[frames]),
        )


def test_arrays_have_the_promised_shapes(casts):
    for number, performer in enumerate(casts[0]):
        assert performer.person_id == number + 1
        assert performer.rotations.shape == (FRAMES, 53, 3, 3)
        assert performer.rotations.dtype == np.float32
        assert performer.betas.shape == (10,)
        assert performer.expression.shape == (FRAMES, 10)
        assert performer.head_world.shape == (FRAMES, 3)
        assert performer.contacts.shape == (FRAMES, 4)
        assert performer.contacts.dtype == bool


def test_rotations_are_rotations(casts):
    for performer in everybody(casts):
        r = performer.rotations.astype(np.float64)
        np.testing.assert_allclose(
            r @ np.swapaxes(r, -1, -2), np.broadcast_to(np.eye(3), r.shape), atol=1e-5
        )
        assert (np.linalg.det(r) > 0.99).all()


def test_naked_body_is_that_of_the_body_model(casts, body):
    performer = casts[0][0]
    mesh = body_mesh(body, performer, slice(7, 8))
    np.testing.assert_allclose(performer.naked_vertices(7), mesh.vertices[0], atol=2e-4)
    np.testing.assert_allclose(mesh.joints[0, HEAD], performer.head_world[7], atol=1e-5)


def test_feet_in_contact_stay_where_they_are(casts, body, joints):
    landmarks = [body.joint_names.index(n) for n in LANDMARKS]
    seen = 0
    for performer, places in zip(everybody(casts), joints, strict=True):
        feet = places[:, landmarks]
        planted = performer.contacts[1:] & performer.contacts[:-1]
        moved = np.linalg.norm(np.diff(feet, axis=0), axis=-1)
        seen += planted.sum()
        assert moved[planted].max(initial=0) < 0.005
        assert feet[performer.contacts][:, 2].max(initial=0) < 0.1
    assert seen > 0.3 * 4 * FRAMES * len(joints)


LANDMARKS = ("left_heel", "left_big_toe", "right_heel", "right_big_toe")


def test_somebody_walks_and_somebody_lifts_feet(casts):
    ways = [np.ptp(p.head_world[:, :2], axis=0).max() for p in everybody(casts)]
    assert max(ways) > 1.0
    assert any((~p.contacts).any() for p in everybody(casts))


def test_nobody_sinks_into_the_floor(casts):
    for performer in everybody(casts):
        for i in range(0, FRAMES, 8):
            assert performer.mesh(i).vertices_m[:, 2].min() > -0.015
            assert performer.naked_vertices(i)[:, 2].min() > -0.01


def test_nobody_floats(casts):
    for performer in everybody(casts):
        resting = performer.contacts.any(axis=1)
        for i in np.flatnonzero(resting)[::8]:
            assert performer.mesh(int(i)).vertices_m[:, 2].min() < 0.02


def test_people_stay_apart(casts, joints):
    pelvis = iter(joints)
    for group in casts:
        assert len(group) >= 3
        tracks = [next(pelvis)[:, 0, :2] for _ in group]
        for i in range(len(group)):
            for j in range(i):
                assert np.linalg.norm(tracks[i] - tracks[j], axis=1).min() > 0.5


def test_people_stay_on_the_stage_and_out_of_furniture(joints):
    place = stage()
    table = place.obstacles[0]
    for places in joints:
        pelvis = places[:, 0, :2]
        assert (pelvis > place.low_m).all()
        assert (pelvis < place.high_m).all()
        inside = (pelvis > table.low_m - 0.1) & (pelvis < table.high_m + 0.1)
        assert not inside.all(axis=1).any()


def angle_about(performer: Performer, joint: str, axis: int) -> np.ndarray:
    """(T,) radians of a hinge."""
    rotation = performer.rotations[:, ROTATION_NAMES.index(joint)]
    i, j = (axis + 1) % 3, (axis + 2) % 3
    return np.arctan2(rotation[:, j, i], rotation[:, i, i])


ROTATION_NAMES = [*JOINT_NAMES[:22], *JOINT_NAMES[25:55], "jaw"]


def test_knees_and_elbows_bend_the_way_they_can(casts):
    for performer in everybody(casts):
        for side, sign in (("left", 1), ("right", -1)):
            knee = performer.rotations[:, ROTATION_NAMES.index(f"{side}_knee")]
            np.testing.assert_allclose(knee[:, 0, 0], 1, atol=1e-5, err_msg="a hinge about x")
            bend = angle_about(performer, f"{side}_knee", 0)
            assert bend.min() > -1e-3
            assert bend.max() < 2.75
            elbow = performer.rotations[:, ROTATION_NAMES.index(f"{side}_elbow")]
            assert (-sign * elbow[:, 2, 0] < 0.05).all(), "the forearm never bends backwards"


def test_same_seed_gives_the_same_people():
    first, second = (cast(11, people=2, frames=3) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.rotations, b.rotations)
        np.testing.assert_array_equal(a.mesh(2).vertices_m, b.mesh(2).vertices_m)
        for x, y in zip(a.textures, b.textures, strict=True):
            np.testing.assert_array_equal(x, y)


def test_different_seeds_give_different_people():
    a, b = cast(11, people=1, frames=2)[0], cast(12, people=1, frames=2)[0]
    assert not np.allclose(a.betas, b.betas)
    assert not np.allclose(a.rotations, b.rotations)


def test_another_rate_samples_the_same_movement():
    slow = cast(5, people=3, frames=11, rate_hz=5.0)
    fast = cast(5, people=3, frames=41, rate_hz=20.0)
    for a, b in zip(slow, fast, strict=True):
        np.testing.assert_allclose(a.rotations, b.rotations[::4], atol=1e-4)
        np.testing.assert_allclose(a.head_world, b.head_world[::4], atol=1e-4)


def test_movement_is_smooth(casts):
    for performer in everybody(casts):
        acceleration = np.diff(performer.head_world, 2, axis=0) * RATE_HZ**2
        assert np.abs(acceleration).max() < 25.0
        step = np.swapaxes(performer.rotations[:-1], -1, -2) @ performer.rotations[1:]
        cosine = (np.trace(step, axis1=-2, axis2=-1) - 1) / 2
        assert np.arccos(np.clip(cosine, -1, 1)).max() * RATE_HZ < 15.0, "radians per second"


def test_nobody_comes_where_there_is_no_room():
    tiny = Stage(np.array([0.0, 0.0]), np.array([0.2, 0.2]), (), ())
    rng = np.random.default_rng(0)
    assert make_cast(rng, tiny, frames=2, rate_hz=5, people=2, difficulty="easy") == []


@pytest.mark.parametrize(
    "wrong",
    [{"frames": 0}, {"rate_hz": 0.0}, {"rate_hz": float("nan")}, {"people": -1}, {"people": 256},
     {"difficulty": "medium"}],
)  # fmt: skip
def test_wrong_arguments_are_named(wrong):
    arguments = {"frames": 2, "rate_hz": 5.0, "people": 1, "difficulty": "easy"} | wrong
    with pytest.raises(InputError):
        make_cast(np.random.default_rng(0), stage(), **arguments)
