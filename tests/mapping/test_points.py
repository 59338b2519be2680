import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r.config import SceneSettings
from human3r.mapping.points import is_flying, select_points, select_static_points, thin
from human3r.types import (
    BodyParameters,
    FrameEstimate,
    ImageGeometry,
    Intrinsics,
    PersonEstimate,
)

HEIGHT, WIDTH, FOCAL = 48, 64, 50.0


def body_at(center) -> PersonEstimate:
    rng = np.random.default_rng(0)
    vertices = (rng.uniform(-0.2, 0.2, (4000, 3)) + center).astype(np.float32)
    parameters = BodyParameters(
        rotations=np.tile(np.eye(3, dtype=np.float32), (53, 1, 1)),
        betas=np.zeros(10, np.float32),
        expression=np.zeros(10, np.float32),
        head_camera=np.asarray(center, np.float32),
    )
    return PersonEstimate(0, 0.9, np.zeros(2, np.float32), parameters, vertices[:127], vertices)


def wall(depth_m=3.0, people=(), person_columns=slice(0, 0)) -> FrameEstimate:
    """A wall parallel to the image, seen by a pinhole camera."""
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    depth = np.full((HEIGHT, WIDTH), depth_m, np.float32)
    points = np.stack(
        [(u - WIDTH / 2) * depth / FOCAL, (v - HEIGHT / 2) * depth / FOCAL, depth], axis=-1
    )
    probability = np.zeros((HEIGHT, WIDTH), np.float32)
    probability[:, person_columns] = 1.0
    return FrameEstimate(
        stamp_ns=1,
        session=0,
        frame_index=0,
        geometry=ImageGeometry(WIDTH, HEIGHT, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT),
        image=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        points_camera=points,
        confidence=np.full((HEIGHT, WIDTH), 5.0, np.float32),
        person_probability=probability,
        world_from_camera=np.eye(4),
        intrinsics=Intrinsics(FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT),
        people=tuple(people),
    )


def test_all_points_are_kept_without_thinning():
    points = select_points(wall(), SceneSettings(voxel_m=0.0))
    assert len(points.points) == HEIGHT * WIDTH
    assert points.points.dtype == np.float32
    assert not points.labels.any()


@pytest.mark.parametrize("spoil", ["nan", "unsure", "behind", "far"])
def test_bad_points_are_left_out(spoil):
    estimate = wall()
    patch = (slice(0, 10), slice(0, 10))
    if spoil == "nan":
        estimate.points_camera[patch] = np.nan
    elif spoil == "unsure":
        estimate.confidence[patch] = 1.5
    elif spoil == "behind":
        estimate.points_camera[patch] *= -1
    else:
        estimate.points_camera[patch] *= 100
    points = select_points(estimate, SceneSettings(voxel_m=0.0, edge_filter=0.0))
    assert len(points.points) == HEIGHT * WIDTH - 100
    assert np.isfinite(points.points).all()


def test_never_more_than_max_points_and_spread_over_the_image():
    points = select_points(wall(), SceneSettings(voxel_m=0.0, max_points=100))
    assert len(points.points) == 100
    assert points.points[:, 1].min() < -1 < 1 < points.points[:, 1].max()


def test_people_are_labelled_in_points_and_absent_from_the_scene():
    person = body_at((0.0, 0.0, 2.9))
    estimate = wall(people=[person], person_columns=slice(28, 36))
    labels = select_points(estimate, SceneSettings(voxel_m=0.0)).labels
    assert (labels == 1).sum() == HEIGHT * 8
    everything = SceneSettings(voxel_m=0.0, mask_dilate_px=0, remove_people="mask")
    assert len(select_static_points(estimate, everything).points) == HEIGHT * (WIDTH - 8)


def test_each_point_gets_the_label_of_the_nearest_person():
    left, right = body_at((-1.0, 0.0, 2.9)), body_at((1.0, 0.0, 2.9))
    estimate = wall(people=[left, right], person_columns=slice(0, WIDTH))
    points = select_points(estimate, SceneSettings(voxel_m=0.0))
    assert (points.labels[points.points[:, 0] < -0.1] == 1).all()
    assert (points.labels[points.points[:, 0] > 0.1] == 2).all()


def test_body_margin_removes_what_the_mask_misses():
    person = body_at((0.0, 0.0, 2.9))
    estimate = wall(people=[person])
    scene = SceneSettings(voxel_m=0.0, remove_people="body", body_margin_m=0.1)
    static = select_static_points(estimate, scene).points
    assert 0 < len(static) < HEIGHT * WIDTH
    gap = np.linalg.norm(static[:, None] - person.vertices_camera[None, ::4], axis=-1).min()
    assert gap > 0.1


def test_dilation_grows_the_hole():
    estimate = wall(person_columns=slice(30, 34))
    sizes = [
        len(select_static_points(estimate, SceneSettings(voxel_m=0.0, mask_dilate_px=d)).points)
        for d in (0, 2, 5)
    ]
    assert sizes[0] > sizes[1] > sizes[2] > 0


def test_a_depth_edge_flies_and_a_slope_does_not():
    depth = np.full((10, 20), 2.0)
    depth[:, 10:] = 4.0
    flying = is_flying(depth, 0.04)
    assert flying[:, 9:11].all()
    assert flying.sum() == 20
    slope = np.linspace(2.0, 2.5, 20)[None].repeat(10, axis=0)
    assert not is_flying(slope, 0.04).any()
    assert not is_flying(depth, 0.0).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 200), st.floats(0.01, 1.0), st.integers(0, 2**32 - 1))
def test_thinning_leaves_exactly_one_point_per_cube(count, voxel_m, seed):
    points = np.random.default_rng(seed).uniform(-5, 5, (count, 3))
    kept = points[thin(points, voxel_m)]
    cubes = {tuple(c) for c in np.floor(points / voxel_m).astype(int)}
    kept_cubes = [tuple(c) for c in np.floor(kept / voxel_m).astype(int)]
    assert len(kept_cubes) == len(set(kept_cubes)) == len(cubes)


def test_an_empty_frame_gives_no_points():
    estimate = wall(depth_m=50.0)
    assert len(select_points(estimate, SceneSettings()).points) == 0
    assert len(select_static_points(estimate, SceneSettings()).points) == 0
