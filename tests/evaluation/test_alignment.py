import numpy as np
import pytest
from human3r_lab.evaluation.alignment import align_similarity
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation


def similarity(seed, *shape):
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(int(np.prod(shape)), random_state=seed).as_matrix()
    return (
        rng.uniform(0.2, 5, shape),
        rotation.reshape(*shape, 3, 3),
        rng.standard_normal((*shape, 3)),
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 30))
def test_any_similarity_is_found_again(seed, points):
    source = np.random.default_rng(seed).standard_normal((2, points, 3))
    scale, rotation, shift = similarity(seed, 2)
    target = scale[:, None, None] * source @ rotation.swapaxes(-1, -2) + shift[:, None]
    found = align_similarity(source, target)
    assert np.allclose(found.scale, scale)
    assert np.allclose(found.apply(source), target)
    assert np.allclose(np.linalg.det(found.rotation), 1)


def test_a_mirror_image_is_not_mirrored_back():
    source = np.random.default_rng(0).standard_normal((20, 3))
    found = align_similarity(source, source * [-1, 1, 1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    assert not np.allclose(found.apply(source), source * [-1, 1, 1], atol=0.1)


def test_without_scale_sizes_stay():
    source = np.random.default_rng(1).standard_normal((20, 3))
    found = align_similarity(source, 3 * source + 1, with_scale=False)
    assert found.scale == 1
    moved = found.apply(source)
    assert np.allclose(np.ptp(moved, axis=0), np.ptp(source, axis=0))
    assert np.allclose(moved.mean(axis=0), (3 * source + 1).mean(axis=0))


@pytest.mark.parametrize("points", [1, 2, 5])
def test_points_that_fix_no_rotation_still_give_a_motion(points):
    line = np.linspace(0, 1, points)[:, None] * [1.0, 2, 3]
    target = line + np.array([1, 0, 0])
    found = align_similarity(line, target)
    assert np.allclose(found.apply(line), target)
    assert np.allclose(found.rotation @ found.rotation.T, np.eye(3))


def test_a_single_place_keeps_its_scale():
    still = np.ones((4, 3))
    found = align_similarity(still, np.arange(12.0).reshape(4, 3))
    assert found.scale == 1
    assert np.allclose(found.apply(still), np.arange(12.0).reshape(4, 3).mean(axis=0))


def test_the_fit_is_the_best_one_nearby():
    rng = np.random.default_rng(2)
    source, target = rng.standard_normal((2, 15, 3))
    found = align_similarity(source, target)
    best = ((found.apply(source) - target) ** 2).sum()
    for _ in range(50):
        turn = Rotation.from_rotvec(0.05 * rng.standard_normal(3)).as_matrix()
        scale = found.scale * (1 + 0.05 * rng.standard_normal())
        other = scale * source @ (turn @ found.rotation).T
        other += (target - other).mean(axis=0)
        assert ((other - target) ** 2).sum() >= best - 1e-12
