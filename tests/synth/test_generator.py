"""Whole sequences: repeatable, consistent with themselves, apart from other splits."""

import hashlib

import cv2
import numpy as np
import pytest
import torch
from human3r_lab.synth.generator import render_sequence

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.errors import InputError
from tests.synth.simple_scenes import rays

SIZE = {"width_px": 96, "height_px": 64}


def draw(seed, difficulty="easy", split="train", frames=3, **more):
    options = {"frames": frames, "rate_hz": 3.0, **SIZE, **more}
    return list(render_sequence(seed, split=split, difficulty=difficulty, **options))


@pytest.fixture(scope="module")
def sequences():
    return [draw(1), draw(3, "hard"), draw(6, "hard")]


@pytest.fixture(scope="module")
def body():
    return load_body_model(default_body_path())


def digest(views):
    total = hashlib.sha256()
    for view in views:
        for array in (view.image, view.depth_m, view.person_index, view.world_from_camera):
            total.update(np.ascontiguousarray(array).tobytes())
        for array in vars(view.people).values():
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def test_the_same_seed_gives_the_same_bits(sequences):
    assert digest(draw(1)) == digest(sequences[0])


def test_no_split_and_no_difficulty_repeats_another(sequences):
    """A room, a body or a motion that comes back would show in one of these numbers."""
    seen = set()
    for split, difficulty in (("train", "easy"), ("val", "easy"), ("test", "easy")):
        first = draw(1, difficulty, split, frames=1)[0]
        parts = (first.image, first.depth_m, first.people.betas, first.people.rotations[:, 1:])
        seen |= {hashlib.sha256(np.ascontiguousarray(part)).hexdigest() for part in parts}
    assert len(seen) == 12


def test_views_have_the_promised_types(sequences):
    for views in sequences:
        assert [view.stamp_ns for view in views] == [0, 333_333_333, 666_666_667]
        for view in views:
            assert view.image.shape == (64, 96, 3)
            assert view.image.dtype == view.person_index.dtype == np.uint8
            assert view.depth_m.shape == view.person_index.shape == (64, 96)
            assert view.depth_m.dtype == np.float32
            assert np.isfinite(view.depth_m).all()
            assert (view.depth_m >= 0).all()
            assert view.world_from_camera.dtype == np.float64
            turn = view.world_from_camera[:3, :3]
            np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
            assert np.linalg.det(turn) > 0
            assert view.image.std() > 10


def test_still_pixels_of_one_view_have_their_depth_in_another(sequences):
    """Unprojected with one pose and projected with another, the scene agrees with itself."""
    compared = 0
    for views in sequences:
        first, last = views[0], views[-1]
        lens = first.intrinsics
        pose = first.world_from_camera
        place = pose[:3, 3] + rays(lens, pose) * first.depth_m[..., None]
        still = (first.depth_m > 0) & (first.depth_m < 15) & (first.person_index == 0)
        local = (place[still] - last.world_from_camera[:3, 3]) @ last.world_from_camera[:3, :3]
        local = local[local[:, 2] > 0.3]
        u = lens.fx * local[:, 0] / local[:, 2] + lens.cx
        v = lens.fy * local[:, 1] / local[:, 2] + lens.cy
        inside = (u > 0) & (u < lens.width_px - 2) & (v > 0) & (v < lens.height_px - 2)
        i, j = v[inside].astype(int), u[inside].astype(int)
        z = local[inside, 2]
        corners = np.stack([last.depth_m[i + a, j + b] for a in (0, 1) for b in (0, 1)])
        nobody = np.all([last.person_index[i + a, j + b] == 0 for a in (0, 1) for b in (0, 1)], 0)
        # Between four pixels of one surface the depth is theirs; at outlines it may be anything.
        smooth = nobody & (corners.min(0) > 0.97 * corners.max(0)) & (corners.min(0) > 0)
        agrees = (z > 0.995 * corners.min(0)) & (z < 1.005 * corners.max(0))
        hidden = z > 1.03 * corners.max(0)
        assert agrees[smooth & ~hidden].mean() > 0.98
        compared += (smooth & ~hidden).sum()
    assert compared > 3000


def test_bodies_are_where_the_mask_shows_people(sequences, body):
    """The annotated body, projected with the annotated camera, lies on its own pixels."""
    checked = 0
    for view in (view for views in sequences for view in views):
        people, lens = view.people, view.intrinsics
        with torch.no_grad():
            parameters = (people.rotations, people.betas, people.expression, people.head_camera)
            vertices = body(*map(torch.from_numpy, parameters)).vertices.numpy()
        for person, points in zip(people.person_ids, vertices, strict=True):
            z = points[:, 2]
            if z.min() < 0.3:
                continue
            u = np.round(lens.fx * points[:, 0] / z + lens.cx).astype(int)
            v = np.round(lens.fy * points[:, 1] / z + lens.cy).astype(int)
            inside = (u >= 0) & (u < lens.width_px) & (v >= 0) & (v < lens.height_px)
            if inside.sum() < 500:
                continue
            u, v, z = u[inside], v[inside], z[inside]
            seen = view.depth_m[v, u]
            # Not behind something that is nearer than clothes can be.
            in_sight = (seen == 0) | (seen > z - 0.35)
            if in_sight.mean() < 0.5:
                continue
            # A pixel beside: outlines fall between pixels, and most vertices are in fingers.
            on_mask = cv2.dilate((view.person_index == person) * np.uint8(1), np.ones((3, 3)))
            on_mask = on_mask[v, u] > 0
            assert on_mask[in_sight].mean() > 0.85
            nearest = np.median(np.abs(seen - z)[on_mask & in_sight])
            assert nearest < 0.15
            checked += 1
    assert checked >= 5


def test_everybody_in_the_mask_is_annotated(sequences):
    for views in sequences:
        for view in views:
            seen = set(np.unique(view.person_index)) - {0}
            heads = view.people.head_camera
            assert (heads[:, 2] > 0).all()
            # Who is seen without a head in front of the camera is not annotated: feet only.
            missing = seen - set(view.people.person_ids.tolist())
            for person in missing:
                assert (view.person_index == person).mean() < 0.1
            assert view.people.contacts.shape == (len(view.people), 4)


def test_people_are_mostly_in_the_picture():
    shares = []
    for seed in range(4):
        for view in draw(seed, frames=2):
            shares.append((view.person_index > 0).mean())
    assert np.median(shares) > 0.01
    assert np.mean(np.array(shares) > 0.002) > 0.8


def test_wrong_arguments_are_said_before_anything_is_drawn():
    with pytest.raises(InputError, match="split is 'exam'"):
        next(render_sequence(0, split="exam", difficulty="easy"))
    with pytest.raises(InputError, match="difficulty is 'mixed'"):
        next(render_sequence(0, split="train", difficulty="mixed"))
