"""Fusion of places and rotations against the numbers of the specification."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.multiview.fusion import fuse_places, mean_rotations, triangulate
from human3r.multiview.view import ray_covariance
from tests.multiview.rooms import camera_at

# Views, spread in degrees, mean error of the weighted form in metres.
TABLE = [
    (2, 5, 0.222),
    (2, 15, 0.199),
    (2, 30, 0.154),
    (2, 90, 0.100),
    (2, 170, 0.192),
    (4, 60, 0.090),
    (4, 360, 0.068),
]


def cameras(views: int, spread_deg: float) -> list[np.ndarray]:
    last = spread_deg * (views - 1) / views if spread_deg == 360 else spread_deg
    return [camera_at(np.deg2rad(angle)) for angle in np.linspace(0, last, views)]


def noisy_points(rng, views, spread_deg, trials=3000):
    """Points (trials, views, 3), origins and information as cameras with noise say them."""
    true = np.array([0.0, 0.0, 1.2])
    poses = np.stack(cameras(views, spread_deg))
    turn, origin = poses[:, :3, :3], poses[:, :3, 3]
    local = np.swapaxes(turn, 1, 2) @ (true - origin)[..., None]
    local = np.broadcast_to(local[..., 0], (trials, views, 3))
    pixels = local[..., :2] / local[..., 2:] + rng.normal(0, 3 / 600, (trials, views, 2))
    depth = local[..., 2:] * (1 + rng.normal(0, 0.06, (trials, views, 1)))
    said = np.concatenate([pixels * depth, depth], -1)
    wrong = (
        Rotation.from_rotvec(rng.normal(0, np.deg2rad(0.5), (trials * views, 3)))
        .as_matrix()
        .reshape(trials, views, 3, 3)
    )
    told_turn = turn @ wrong
    told_origin = origin + rng.normal(0, 0.03, (trials, views, 3))
    points = (told_turn @ said[..., None])[..., 0] + told_origin
    distance = np.linalg.norm(points - told_origin, axis=-1)
    across = np.hypot(np.hypot(3 / 600, np.deg2rad(0.5)) * distance, 0.03)
    covariance = ray_covariance(points - told_origin, np.hypot(0.06 * distance, 0.03), across)
    return true, points, told_origin, np.linalg.inv(covariance)


@pytest.mark.parametrize(("views", "spread_deg", "expected_m"), TABLE)
def test_weighted_places_are_as_good_as_the_table(views, spread_deg, expected_m):
    rng = np.random.default_rng(views * 1000 + spread_deg)
    true, points, _, information = noisy_points(rng, views, spread_deg)
    fused, _ = fuse_places(points, information)
    error = np.linalg.norm(fused - true, axis=-1).mean()
    mean = np.linalg.norm(points.mean(1) - true, axis=-1).mean()
    assert error <= 1.05 * expected_m
    assert error <= 1.01 * mean


def test_covariance_of_fused_places_is_what_their_errors_are():
    rng = np.random.default_rng(1)
    true, points, _, information = noisy_points(rng, 4, 60)
    fused, covariance = fuse_places(points, information)
    wrong = fused - true
    normed = np.einsum("ni,nij,nj->n", wrong, np.linalg.inv(covariance), wrong)
    assert 2.0 < normed.mean() < 4.0  # 3 where they agree


def test_triangulation_meets_where_rays_meet():
    rng = np.random.default_rng(2)
    true = rng.normal(0, 1, (20, 3))
    origins = rng.normal(0, 5, (20, 3, 3))
    stretch = rng.uniform(0.3, 2.0, (20, 3, 1))
    points = origins + (true[:, None] - origins) * stretch
    assert np.allclose(triangulate(origins, points, np.ones((20, 3))), true, atol=1e-6)


def test_triangulation_of_parallel_rays_is_finite():
    origins = np.array([[0.0, 0, 0], [0.0, 0, 0]])
    points = np.array([[0.0, 0, 2], [0.0, 0, 4]])
    found = triangulate(origins, points, np.ones(2))
    assert np.allclose(found, [0, 0, 3], atol=1e-3)


@pytest.mark.parametrize(("views", "share"), [(2, 0.75), (4, 0.52)])
def test_mean_rotations_halve_the_error(views, share):
    rng = np.random.default_rng(3)
    true = Rotation.random(800, rng).as_matrix().reshape(800, 1, 1, 3, 3)
    shake = Rotation.from_rotvec(rng.normal(0, np.deg2rad(8), (800 * views, 3))).as_matrix()
    given = shake.reshape(800, views, 1, 3, 3) @ true
    found = mean_rotations(given, np.ones((800, views)))

    def error(rotations):
        turn = rotations @ np.swapaxes(true[:, 0], -1, -2)
        return Rotation.from_matrix(turn.reshape(-1, 3, 3)).magnitude().mean()

    assert error(found) <= share * error(given[:, :, 0])


def test_one_reversed_view_of_three_does_not_count():
    true = np.eye(3)
    reversed_view = Rotation.from_euler("y", 180, degrees=True).as_matrix()
    near = Rotation.from_euler("y", 6, degrees=True).as_matrix()
    given = np.stack([reversed_view, true, near])[None, :, None]
    found = mean_rotations(given, np.ones((1, 3)))[0, 0]
    assert np.rad2deg(Rotation.from_matrix(found).magnitude()) < 12


def test_of_two_views_that_contradict_the_surer_one_is_kept():
    reversed_view = Rotation.from_euler("y", 180, degrees=True).as_matrix()
    given = np.stack([reversed_view, np.eye(3)])[None, :, None]
    found = mean_rotations(given, np.array([[1.0, 3.0]]))[0, 0]
    assert np.rad2deg(Rotation.from_matrix(found).magnitude()) < 10


def test_mean_rotation_does_not_depend_on_the_order_of_views():
    rng = np.random.default_rng(4)
    given = Rotation.from_rotvec(rng.normal(0, 0.5, (40, 3))).as_matrix().reshape(1, 4, 10, 3, 3)
    weights = np.array([[1.0, 2.0, 0.5, 1.0]])
    order = [2, 0, 3, 1]
    first, second = (
        mean_rotations(given, weights),
        mean_rotations(given[:, order], weights[:, order]),
    )
    assert np.allclose(first, second, atol=1e-9)
