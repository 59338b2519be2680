"""Scale from torsos, on made-up people of known size at known places."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.scale.torso_scale import scale_from_torsos

FOCAL_PX = 600.0


def people(rng, count=50, tilt_rad=0.15, noise_px=2.0):
    """Heads and pelvises at 2 to 8 m: pixels with noise, places in metres, torsos."""
    depth = rng.uniform(2, 8, count)
    head = np.stack([rng.uniform(-0.4, 0.4, count) * depth, -0.1 * depth, depth], -1)
    torso = Rotation.from_rotvec(rng.normal(0, tilt_rad, (count, 3))).apply([0.0, 0.62, 0.0])
    pelvis = head + torso
    head_px, pelvis_px = (
        FOCAL_PX * p[:, :2] / p[:, 2:] + rng.normal(0, noise_px, (count, 2)) for p in (head, pelvis)
    )
    return head_px, pelvis_px, head, torso


@pytest.mark.parametrize("tilt_rad", [0.15, 3.0])
def test_a_known_factor_is_found(tilt_rad):
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(150):
        head_px, pelvis_px, head, torso = people(rng, tilt_rad=tilt_rad)
        factor = rng.uniform(0.5, 2.0)
        found = scale_from_torsos(head_px, pelvis_px, head / factor, torso, FOCAL_PX)
        errors.append(abs(found / factor - 1))
    assert np.median(errors) <= 0.01
    assert np.percentile(errors, 95) <= 0.02


def test_a_scene_in_metres_is_left_as_it_is():
    head_px, pelvis_px, head, torso = people(np.random.default_rng(2), noise_px=0.0)
    assert scale_from_torsos(head_px, pelvis_px, head, torso, FOCAL_PX) == pytest.approx(
        1, abs=1e-9
    )


def test_a_scene_that_is_too_small_grows():
    head_px, pelvis_px, head, torso = people(np.random.default_rng(3), count=1, noise_px=0.0)
    found = scale_from_torsos(head_px, pelvis_px, head / 2, torso, FOCAL_PX)
    assert found == pytest.approx(2, rel=1e-3)


def test_without_a_valid_person_nothing_is_said():
    nobody = np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 3)), np.zeros((0, 3))
    assert scale_from_torsos(*nobody, FOCAL_PX) is None
    # Lying head on: the torso has no length in the image.
    px = np.array([[320.0, 240.0]])
    lying = px, px + 3, np.array([[0.0, 0, 3]]), np.array([[0.0, 0, 0.6]])
    assert scale_from_torsos(*lying, FOCAL_PX) is None
    unseen = px, px * np.nan, np.array([[0.0, 0, 3]]), np.array([[0.0, 0.6, 0]])
    assert scale_from_torsos(*unseen, FOCAL_PX) is None
