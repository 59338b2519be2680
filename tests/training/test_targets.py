"""Which tokens heads fall into, who is dropped, and what changes keep the truth true."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from human3r_lab.datasets import PeopleTruth
from human3r_lab.training.augmentation import (
    ColorChange,
    centred_crop,
    change_colors,
    crop_view,
    mirror_people,
    mirror_view,
    whole_image,
)
from human3r_lab.training.targets import TargetRules, make_targets, read_beside

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.geometry import transform_points
from human3r.model.heads import locate_people
from human3r.streaming.preprocess import fit_geometry, resize_and_crop
from tests.training.fake_sequences import make_views

SQUARE_PX, PATCH_PX = 84, 16


@pytest.fixture(scope="module")
def view():
    return make_views(1, count=3)[2]


@pytest.fixture(scope="module")
def small(view):
    """The view at network size, 80 x 48."""
    return crop_view(view, whole_image(fit_geometry(128, 96, 80)))


def people_at(view, heads_px: list[tuple[float, float]], depths_m: list[float]):
    """The view with people whose heads are seen at those pixels."""
    camera = view.intrinsics
    heads = [
        ((u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z)
        for (u, v), z in zip(heads_px, depths_m, strict=True)
    ]
    count = len(heads)
    people = PeopleTruth(
        person_ids=np.arange(1, count + 1, dtype=np.int32),
        rotations=np.tile(np.eye(3, dtype=np.float32), (count, 53, 1, 1)),
        betas=np.arange(count, dtype=np.float32)[:, None].repeat(10, 1),
        expression=np.zeros((count, 10), np.float32),
        head_camera=np.array(heads, np.float32).reshape(count, 3),
        contacts=np.zeros((count, 4), bool),
    )
    return replace(view, people=people)


def test_the_true_offset_leads_to_the_head(small):
    heads = [(3.2, 40.0), (40.0, 20.5), (78.9, 3.0)]
    seen = people_at(small, heads, [4.0, 3.0, 2.0])
    targets = make_targets(seen, SQUARE_PX, PATCH_PX)
    found = locate_people(
        torch.from_numpy(targets.token_index),
        torch.ones(3),
        torch.from_numpy(targets.offset),
        square_px=SQUARE_PX,
        width_px=80,
        height_px=48,
        patch_px=PATCH_PX,
    )
    # Nearest first; inference finds the same patch from token and offset.
    np.testing.assert_array_equal(targets.patch_index, found.patch_index.numpy())
    corner = found.head_square_px.numpy() * 80 / SQUARE_PX - (0, 16)
    np.testing.assert_allclose(corner - 0.5, heads[::-1], atol=1e-3)
    np.testing.assert_array_equal(targets.betas[:, 0], [2, 1, 0])
    assert (abs(targets.offset) <= 0.5).all()


def test_people_read_beside_their_heads_are_still_where_they_are(small):
    heads = [(3.2, 40.0), (40.0, 20.5), (44.0, 22.0), (78.9, 3.0)]
    seen = people_at(small, heads, [4.0, 3.0, 3.5, 2.0])
    targets = make_targets(seen, SQUARE_PX, PATCH_PX)
    side = SQUARE_PX // 14

    def places(some):
        centres = np.stack(np.divmod(some.token_index, side)[::-1], -1) + 0.5
        return centres + some.offset

    rng = np.random.default_rng(0)
    moved = 0
    for _ in range(20):
        beside = read_beside(targets, rng.normal(0, 1, (len(targets.betas), 2)))
        np.testing.assert_allclose(places(beside), places(targets), atol=1e-5)
        np.testing.assert_array_equal(beside.head_index, targets.head_index)
        assert len(set(beside.token_index)) == len(beside.token_index)
        is_moved = beside.token_index != beside.head_index
        assert not set(beside.token_index[is_moved]) & set(targets.head_index)
        moved += is_moved.sum()
    assert moved > 10


@pytest.mark.parametrize(
    ("head", "depth", "counts"),
    [
        ((-0.4, 20.0), 3.0, True),
        ((-0.6, 20.0), 3.0, False),
        ((79.4, 20.0), 3.0, True),
        ((79.6, 20.0), 3.0, False),
        ((40.0, -0.6), 3.0, False),
        ((40.0, 47.6), 3.0, False),
        ((40.0, 20.0), -3.0, False),
        ((40.0, 20.0), 0.005, False),
    ],
)
def test_heads_outside_of_the_image_are_dropped(small, head, depth, counts):
    targets = make_targets(people_at(small, [head], [depth]), SQUARE_PX, PATCH_PX)
    assert bool(len(targets.betas)) is counts


def test_a_token_belongs_to_the_nearest(small):
    seen = people_at(small, [(40.0, 20.0), (41.0, 21.0), (60.0, 20.0)], [4.0, 2.0, 3.0])
    targets = make_targets(seen, SQUARE_PX, PATCH_PX)
    np.testing.assert_array_equal(targets.betas[:, 0], [1, 2])


def test_the_nearest_are_kept_when_there_are_many(small):
    seen = people_at(small, [(10.0 + 15 * i, 20.0) for i in range(4)], [5.0, 2.0, 4.0, 3.0])
    targets = make_targets(seen, SQUARE_PX, PATCH_PX, TargetRules(max_people=2))
    np.testing.assert_array_equal(targets.betas[:, 0], [1, 3])


def test_hidden_people_can_be_left_out(small):
    seen = people_at(small, [(20.0, 20.0), (60.0, 20.0)], [4.0, 2.0])
    index = np.zeros_like(small.person_index)
    index[10:14, 10:13] = 1
    seen = replace(seen, person_index=index)
    kept = make_targets(seen, SQUARE_PX, PATCH_PX, TargetRules(min_visible_px=12))
    np.testing.assert_array_equal(kept.betas[:, 0], [0])
    assert len(make_targets(seen, SQUARE_PX, PATCH_PX).betas) == 2


def test_the_whole_image_is_cropped_as_inference_does(view):
    geometry = fit_geometry(128, 96, 80)
    cropped = crop_view(view, whole_image(geometry))
    image, _ = resize_and_crop(view.image, 80)
    np.testing.assert_array_equal(cropped.image, image)
    assert centred_crop(view.intrinsics, (80, 48)).geometry == geometry


def reprojection(view) -> np.ndarray:
    """Seen depth minus the depth of naked vertices, where bodies are seen; metres."""
    body = load_body_model(default_body_path())
    people, camera = view.people, view.intrinsics
    mesh = body(
        *(
            torch.from_numpy(np.ascontiguousarray(array))
            for array in (people.rotations, people.betas, people.expression, people.head_camera)
        )
    )
    errors = []
    for vertices in mesh.vertices.numpy():
        u = np.round(vertices[:, 0] / vertices[:, 2] * camera.fx + camera.cx).astype(int)
        v = np.round(vertices[:, 1] / vertices[:, 2] * camera.fy + camera.cy).astype(int)
        inside = (u >= 0) & (v >= 0) & (u < camera.width_px) & (v < camera.height_px)
        u, v, z = u[inside], v[inside], vertices[inside, 2]
        on_body = view.person_index[v, u] > 0
        errors.append((view.depth_m[v, u] - z)[on_body])
    return np.concatenate(errors)


def check_people_stay_in_place(view) -> None:
    """Bodies stand where the image shows them: their nearest vertices have the image's depth."""
    errors = reprojection(view)
    assert len(errors) > 300
    # The far side of a body lies up to half a metre behind what is seen; nothing lies before it.
    assert np.percentile(errors, 99) < 0.06
    assert np.percentile(errors, 40) > -0.5
    assert (abs(errors) < 0.06).mean() > 0.25


def test_truth_fits_before_any_change(view):
    check_people_stay_in_place(view)


@pytest.mark.parametrize("zoom", [1.0, 0.7])
def test_crops_keep_people_in_place(view, zoom):
    crop = centred_crop(view.intrinsics, (112, 80), zoom, margin_px=3)
    check_people_stay_in_place(crop_view(view, crop))


def test_mirrored_people_stand_in_the_mirrored_image(view):
    check_people_stay_in_place(mirror_view(view))


def test_mirrored_bodies_are_mirror_images():
    people = make_views(2, count=1)[0].people
    body = load_body_model(default_body_path())

    def joints(who: PeopleTruth) -> np.ndarray:
        names = ("rotations", "betas", "expression", "head_camera")
        mesh = body(*(torch.from_numpy(np.ascontiguousarray(getattr(who, n))) for n in names))
        return mesh.joints.numpy()[:, :55]

    names = [
        name.replace("left", "?").replace("right", "left").replace("?", "right")
        for name in body.joint_names[:55]
    ]
    other_side = [body.joint_names.index(name) for name in names]
    expected = joints(people)[:, other_side] * (-1, 1, 1)
    np.testing.assert_allclose(joints(mirror_people(people)), expected, atol=1e-3)
    twice = mirror_people(mirror_people(people))
    np.testing.assert_allclose(twice.rotations, people.rotations, atol=1e-6)
    np.testing.assert_array_equal(twice.expression, people.expression)


def test_the_mirror_keeps_the_camera_consistent():
    first, _, last = make_views(3, count=3)
    mirrored = [mirror_view(view) for view in (first, last)]
    point = np.array([[0.4, -0.2, 3.0]])
    straight = transform_points(
        np.linalg.inv(first.world_from_camera) @ last.world_from_camera, point
    )
    back = transform_points(
        np.linalg.inv(mirrored[0].world_from_camera) @ mirrored[1].world_from_camera,
        point * (-1, 1, 1),
    )
    np.testing.assert_allclose(back, straight * (-1, 1, 1), atol=1e-9)
    assert np.linalg.det(mirrored[1].world_from_camera[:3, :3]) == pytest.approx(1)


def test_colors_change_and_stay_in_range(view):
    rng = np.random.default_rng(0)
    plain = ColorChange((0, 1, 2, 3), 1.0, 1.0, 1.0, 0.0)
    difference = change_colors(view.image, plain, rng).astype(int) - view.image
    assert abs(difference).max() <= 1
    brighter = change_colors(view.image, replace(plain, brightness=1.3), rng)
    assert brighter.mean() > view.image.mean() + 5
    gray = change_colors(view.image, replace(plain, saturation=0.0), rng)
    assert np.ptp(gray.astype(int), axis=2).max() <= 1
    flat = change_colors(view.image, replace(plain, contrast=0.2), rng)
    assert flat.std() < 0.3 * view.image.std()
    noisy = change_colors(view.image, replace(plain, noise=0.05), rng)
    assert (noisy.astype(int) - view.image).std() == pytest.approx(0.05 * 255, rel=0.2)


def test_a_turned_hue_swaps_primaries():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    turned = change_colors(
        red, ColorChange((0, 1, 2, 3), 1.0, 1.0, 1.0, 1 / 3), np.random.default_rng(0)
    )
    np.testing.assert_array_equal(turned[0, 0], [0, 255, 0])
