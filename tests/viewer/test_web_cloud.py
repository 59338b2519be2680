"""Clouds as pages show them."""

import numpy as np

from human3r.viewer.web_cloud import below_soles
from human3r.viewer.web_frames import over_the_floor, sole_places


def test_feet_are_not_in_the_floor_they_stand_on_and_nothing_else_moves():
    rng = np.random.default_rng(0)
    floor = rng.uniform([-2, -2, -0.08], [2, 2, 0.08], (5000, 3)).astype(np.float32)
    table = rng.uniform([-0.3, -0.3, 0.7], [0.3, 0.3, 0.72], (100, 3)).astype(np.float32)
    points = np.concatenate([floor, table])
    soles = np.array([[0.0, 0.0, -0.01], [1.0, 0.0, 0.02]])
    found = below_soles(points, soles, size_m=0.04)
    for sole in soles:
        near = np.linalg.norm(floor[:, :2] - sole[:2], axis=1) < 0.4
        assert near.sum() > 50
        assert found[:5000][near, 2].max() <= sole[2] - 0.02 + 1e-6
    far = np.linalg.norm(points[:, None, :2] - soles[None, :, :2], axis=2).min(axis=1) > 0.46
    np.testing.assert_array_equal(found[far], points[far])
    np.testing.assert_array_equal(found[5000:], table)
    np.testing.assert_array_equal(found[:, :2], points[:, :2])
    assert below_soles(points, np.zeros((0, 3)), 0.04) is points


def test_a_path_is_below_the_pelvis_over_the_lower_foot():
    joints = np.zeros((2, 55, 3))
    joints[:, 0] = [[1, 2, 1.0], [1.5, 2, 1.1]]
    joints[1, (7, 10), 2] = 0.4
    soles = sole_places(joints)
    np.testing.assert_allclose(soles[:, :2], joints[:, 0, :2])
    np.testing.assert_allclose(soles[:, 2], [-0.03, -0.03])
    assert (over_the_floor(soles)[:, 2] > soles[:, 2] + 0.1).all()
