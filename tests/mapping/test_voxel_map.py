import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r.mapping.voxel_map import VoxelMap
from human3r.types import Intrinsics

CAMERA = Intrinsics(50.0, 50.0, 31.5, 23.5, 64, 48)
# Camera x right, y down, z forward; level x ahead, y left, z up.
LEVEL_FROM_CAMERA = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)
SECOND_NS = 10**9


def grey(count, value=100):
    return np.full((count, 3), value, np.uint8)


def line(count, spacing_m=0.1, start_m=0.025):
    """Points along x, each in a voxel of its own."""
    points = np.zeros((count, 3), np.float32)
    points[:, 0] = start_m + spacing_m * np.arange(count)
    points[:, 1:] = 0.025
    return points


def test_a_voxel_holds_the_mean_of_what_was_seen_in_it():
    voxels = VoxelMap(0.1, 1000)
    voxels.add(np.array([[0.01, 0.02, 0.03], [0.03, 0.02, 0.03]], np.float32), grey(2, 10), 1)
    voxels.add(np.array([[0.08, 0.05, 0.09]], np.float32), grey(1, 40), 2)
    points, colors, observations = voxels.points()
    # Frames count, not points: one that shows a surface closely says no more than another.
    assert points == pytest.approx(np.array([[0.05, 0.035, 0.06]]), abs=1e-6)
    assert colors.tolist() == [[25, 25, 25]]
    assert observations.tolist() == [2]
    assert voxels.last_seen_ns.tolist() == [2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0.02, 0.5))
def test_it_agrees_with_a_dictionary(seed, frames, voxel_m):
    rng = np.random.default_rng(seed)
    voxels, expected = VoxelMap(voxel_m, 10_000), {}
    for stamp in range(frames):
        points = rng.uniform(-1, 1, (40, 3)).astype(np.float32)
        colors = rng.integers(0, 256, (40, 3), np.uint8)
        voxels.add(points, colors, stamp)
        cells = [tuple(c) for c in np.floor(points / np.float32(voxel_m)).astype(int)]
        for cell in set(cells):
            here = [i for i, other in enumerate(cells) if other == cell]
            seen = np.r_[points[here].mean(axis=0), colors[here].mean(axis=0)]
            expected.setdefault(cell, []).append(seen)
    points, colors, observations = voxels.points()
    assert len(points) == len(voxels) == len(expected)
    # Both sorted by voxel.
    for i, cell in enumerate(sorted(expected)):
        mean = np.mean(expected[cell], axis=0)
        assert points[i] == pytest.approx(mean[:3], abs=1e-4)
        assert np.abs(colors[i] - mean[3:]).max() <= 0.6
        assert observations[i] == len(expected[cell])


def test_only_what_was_seen_often_enough_is_given():
    voxels = VoxelMap(0.05, 1000)
    for stamp in range(3):
        voxels.add(line(10 - 3 * stamp), grey(10 - 3 * stamp), stamp)
    assert [len(voxels.points(n)[0]) for n in (1, 2, 3, 4)] == [10, 7, 4, 0]


def test_no_more_points_than_asked_for_spread_over_the_map():
    voxels = VoxelMap(0.05, 1000)
    voxels.add(line(500), grey(500), 1)
    points = voxels.points(limit=50)[0]
    assert len(points) == 50
    assert points[:, 0].min() < 1
    assert points[:, 0].max() > 49


def wall(depth_m):
    return np.full((48, 64), depth_m, np.float32), np.ones((48, 64), bool)


def in_view(depth_m, count=5):
    """Level points on the optical axis and beside it, at one depth."""
    points = line(count, 0.3) - line(count, 0.3).mean(axis=0)
    return np.stack([np.full(count, depth_m), points[:, 0], points[:, 1]], 1).astype(np.float32)


def test_what_stands_clearly_before_the_surface_seen_now_fades_away():
    voxels = VoxelMap(0.05, 1000)
    for _ in range(3):
        voxels.add(in_view(2.0), grey(5), 1)
    assert voxels.clear_seen_through(*wall(3.0), CAMERA, LEVEL_FROM_CAMERA) == 5
    assert voxels.points()[2].tolist() == [2] * 5
    for _ in range(5):
        voxels.clear_seen_through(*wall(3.0), CAMERA, LEVEL_FROM_CAMERA)
    assert len(voxels) == 0


@pytest.mark.parametrize(
    ("place_m", "surface_m", "is_sure"),
    [
        (2.0, 2.1, True),  # within three voxels
        (2.0, 1.0, True),  # hidden
        (-2.0, 3.0, True),  # behind the camera
        (2.0, 3.0, False),  # depth that cannot be relied on
        (2.0, np.nan, True),
    ],
)
def test_what_is_not_clearly_in_front_stays(place_m, surface_m, is_sure):
    voxels = VoxelMap(0.05, 1000)
    voxels.add(in_view(place_m), grey(5), 1)
    depth, sure = wall(surface_m)
    assert voxels.clear_seen_through(depth, sure & is_sure, CAMERA, LEVEL_FROM_CAMERA) == 0
    assert len(voxels) == 5


def test_what_is_outside_the_image_stays():
    voxels = VoxelMap(0.05, 1000)
    voxels.add(in_view(2.0) + np.array([0, 5, 0], np.float32), grey(5), 1)
    assert voxels.clear_seen_through(*wall(3.0), CAMERA, LEVEL_FROM_CAMERA) == 0


def test_the_camera_may_be_anywhere():
    voxels = VoxelMap(0.05, 1000)
    voxels.add(in_view(2.0), grey(5), 1)
    moved = LEVEL_FROM_CAMERA.copy()
    moved[0, 3] = -1.0  # a metre back, so the points are at three metres
    assert voxels.clear_seen_through(*wall(3.1), CAMERA, moved) == 0
    assert voxels.clear_seen_through(*wall(3.2), CAMERA, moved) == 5


def test_what_comes_back_counts_from_one_with_its_new_place():
    voxels = VoxelMap(0.05, 1000)
    voxels.add(in_view(2.01), grey(5, 200), 1)
    voxels.clear_seen_through(*wall(3.0), CAMERA, LEVEL_FROM_CAMERA)
    assert len(voxels) == 0
    voxels.add(in_view(2.04), grey(5, 50), 2)
    points, colors, observations = voxels.points()
    assert points == pytest.approx(in_view(2.04)[np.argsort(in_view(2.04)[:, 1])], abs=1e-5)
    assert (colors == 50).all()
    assert observations.tolist() == [1] * 5


def test_counts_stop_so_that_what_is_gone_can_leave():
    voxels = VoxelMap(0.05, 1000)
    for stamp in range(400):
        voxels.add(in_view(2.0), grey(5), stamp)
    for _ in range(255):
        voxels.clear_seen_through(*wall(3.0), CAMERA, LEVEL_FROM_CAMERA)
    assert len(voxels) == 0


def test_a_full_map_forgets_what_it_has_not_seen_for_longest():
    voxels = VoxelMap(0.05, 1000)
    for stamp in range(30):
        voxels.add(line(100, start_m=0.025 + 10 * stamp), grey(100), stamp)
        assert len(voxels) <= 1000
    left = np.unique(voxels.last_seen_ns)
    assert left[-1] == 29
    assert (left >= 19).all()


def test_a_full_map_takes_no_more_memory_however_long_it_runs():
    voxels = VoxelMap(0.05, 1000)
    sizes = []
    for stamp in range(200):
        voxels.add(line(100, start_m=0.025 + 10 * stamp), grey(100), stamp)
        sizes.append(sum(a.nbytes for a in vars(voxels).values() if isinstance(a, np.ndarray)))
    assert max(sizes[100:]) <= max(sizes[:100])


def test_what_is_too_far_away_is_forgotten():
    voxels = VoxelMap(0.05, 1000)
    voxels.add(line(200), grey(200), 1)
    assert voxels.forget_far(np.array([10.0, 0.0, 0.0]), 5.0) == 200 - len(voxels)
    kept = voxels.points()[0][:, 0]
    assert (kept.min(), kept.max()) == pytest.approx((5.025, 14.925), abs=0.11)


def test_points_that_are_none_or_absurdly_far_are_left_out():
    voxels = VoxelMap(0.05, 1000)
    bad = np.array([[np.nan, 0, 0], [np.inf, 0, 0], [0, -1e30, 0], [1, 1, 1]], np.float32)
    voxels.add(bad, grey(4), 1)
    assert voxels.points()[0].tolist() == [[1, 1, 1]]


def test_nothing_in_nothing_out():
    voxels = VoxelMap(0.05, 1000)
    voxels.add(np.zeros((0, 3), np.float32), grey(0), 1)
    assert voxels.clear_seen_through(*wall(3.0), CAMERA, LEVEL_FROM_CAMERA) == 0
    assert voxels.forget_far(np.zeros(3), 5.0) == 0
    assert [len(part) for part in voxels.points(3, 10)] == [0, 0, 0]
    voxels.add(line(3), grey(3), 2)
    voxels.clear()
    assert len(voxels) == len(voxels.points()[0]) == 0
