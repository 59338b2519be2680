import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from human3r.tracking.tracks import camera_from_past, fit_velocity, move
from tests.tracking.people import person_at


def pose(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    matrix[:3, 3] = rng.standard_normal(3)
    return matrix


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 40))
def test_the_velocity_of_a_straight_way_is_exact_however_the_frames_fall(seed, count):
    rng = np.random.default_rng(seed)
    stamps_ns = 1_700_000_000_000_000_000 + np.cumsum(rng.integers(10**6, 10**8, count))
    velocity = rng.standard_normal(3)
    places = rng.standard_normal(3) + ((stamps_ns - stamps_ns[0]) * 1e-9)[:, None] * velocity
    assert np.allclose(fit_velocity(stamps_ns, places), velocity, atol=1e-6)


def test_the_velocity_is_that_of_least_squares():
    # By hand: times -1, 0, 1 s from the mean; places 0, 0, 3 m: slope (0 * -1 + 3 * 1) / 2.
    stamps_ns = np.array([1, 2, 3]) * 10**9
    places = np.array([[0.0, 0, 0], [0, 0, 0], [3, 0, 0]])
    assert fit_velocity(stamps_ns, places) == pytest.approx([1.5, 0.0, 0.0])


def test_noise_is_averaged_over_the_window():
    rng = np.random.default_rng(0)
    stamps_ns = np.arange(13) * 33_333_333
    times_s = stamps_ns * 1e-9
    spread = 0.01 / np.sqrt(((times_s - times_s.mean()) ** 2).sum())
    found = [
        fit_velocity(
            stamps_ns, times_s[:, None] * [1.0, 0, 0] + 0.01 * rng.standard_normal((13, 3))
        )
        for _ in range(400)
    ]
    assert np.mean(found, axis=0) == pytest.approx([1.0, 0, 0], abs=0.02)
    assert np.std(found, axis=0) == pytest.approx([spread] * 3, rel=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_who_stands_still_in_the_world_moves_against_the_camera(seed):
    before, now = pose(seed), pose(seed + 10)
    place = np.array([0.3, -0.2, 4.0])
    world = before[:3, :3] @ place + before[:3, 3]
    moved = move(person_at(place), camera_from_past(now, before, np.zeros(3)))
    again = now[:3, :3] @ moved.joints_camera[0] + now[:3, 3]
    assert np.allclose(again, world, atol=1e-5)
    root = now[:3, :3] @ moved.body.rotations[0]
    assert np.allclose(root, before[:3, :3], atol=1e-5)


def test_a_way_gone_in_the_world_is_seen_by_the_camera():
    camera = np.eye(4)
    camera[:3, :3] = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    moved = move(person_at([0, 0, 3.0]), camera_from_past(camera, camera, np.array([1.0, 0, 0])))
    # The camera looks along the world's x.
    assert np.allclose(moved.joints_camera[0], [0, 0, 4.0], atol=1e-6)
    assert np.allclose(moved.body.head_camera, [0, -0.5, 4.0], atol=1e-6)
    assert np.allclose(moved.vertices_camera[0], [0, 0, 4.0], atol=1e-6)


def test_moving_leaves_the_original_alone_and_keeps_types():
    person = person_at([0, 0, 3.0])
    moved = move(person, pose(1))
    assert np.array_equal(person.body.rotations[0], np.eye(3))
    assert moved.joints_camera.dtype == moved.vertices_camera.dtype == np.float32
    assert moved.body.rotations.dtype == moved.body.head_camera.dtype == np.float32
    assert np.isnan(moved.head_px).all()
