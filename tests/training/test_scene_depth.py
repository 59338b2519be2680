"""Learning depth: views that stay true, a loss that asks for the right thing, going on later."""

import argparse
import math

import numpy as np
import pytest
import torch
from human3r_lab.training.scene_depth import Training, depth_loss
from human3r_lab.training.scene_views import FARTHEST_M, augmented, plain_batch
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r.types import Intrinsics

_CAMERA = Intrinsics(130.0, 130.0, 71.5, 51.5, 144, 104)


def _bowl(fx, fy, cx, cy, width, height):
    """Depth that depends on the angle to the optical axis alone."""
    x, y = (np.arange(width) - cx) / fx, (np.arange(height)[:, None] - cy) / fy
    return (2 + 6 * (x**2 + y**2)).astype(np.float32)


@given(seed=st.integers(0, 10**6), size=st.sampled_from([(96, 64), (64, 96), (112, 80)]))
@settings(max_examples=40, deadline=None)
def test_a_changed_view_has_the_depth_of_its_own_camera(seed, size):
    c = _CAMERA
    depth = _bowl(c.fx, c.fy, c.cx, c.cy, c.width_px, c.height_px)
    image = np.full((c.height_px, c.width_px, 3), 90, np.uint8)
    people = (depth < 2.2).astype(np.uint8)
    rng = np.random.default_rng(seed)
    image, seen, people, camera = augmented(image, depth, people, c, size, rng)
    assert image.shape == (size[1], size[0], 3)
    assert image.dtype == np.uint8
    known = np.isfinite(seen)
    assert known.mean() > 0.75
    # Nearest neighbours are off by up to a pixel of the source.
    assert np.allclose(seen[known], _bowl(*camera, *size)[known], atol=0.11)
    assert np.array_equal(people[known] > 0, seen[known] < 2.2)


def _batch(seed=0, size=(64, 32)):
    rng = np.random.default_rng(seed)
    width, height = size
    depth = rng.uniform(1, 9, (height, width)).astype(np.float32)
    depth[:4] = 0
    people = np.zeros((height, width), np.uint8)
    people[10:20, 20:30] = 1
    image = rng.integers(0, 255, (height, width, 3), np.uint8)
    camera = Intrinsics(60.0, 60.0, width / 2, height / 2, width, height)
    return plain_batch(image, depth, people, camera)


def test_the_truth_costs_nothing_and_the_sky_is_far():
    batch = _batch()
    assert torch.allclose(batch.log_depth[batch.is_sky], torch.tensor(math.log(FARTHEST_M)))
    _, parts = depth_loss(batch.log_depth, torch.zeros_like(batch.log_depth), batch)
    assert parts == {"depth": 0.0, "shape": 0.0, "edges": 0.0, "error": 0.0}


def test_a_wrong_scale_is_no_wrong_shape():
    batch = _batch()
    zero = torch.zeros_like(batch.log_depth)
    _, parts = depth_loss(batch.log_depth + 0.3, zero, batch)
    assert parts["depth"] == pytest.approx(0.3, rel=1e-4)
    assert parts["shape"] == pytest.approx(0, abs=1e-5)
    assert parts["edges"] == pytest.approx(0, abs=1e-5)


def test_pixels_of_people_count_twice():
    batch = _batch()
    person, rest = (batch.is_person).float(), (~batch.is_person & ~batch.is_sky).float()
    zero = torch.zeros_like(batch.log_depth)
    on_person = depth_loss(batch.log_depth + 0.1 * person, zero, batch)[1]["depth"]
    elsewhere = depth_loss(batch.log_depth + 0.1 * rest, zero, batch)[1]["depth"]
    assert on_person / elsewhere == pytest.approx(2 * float(person.sum() / rest.sum()), rel=1e-3)


def test_the_expected_error_is_best_where_it_is_the_error():
    batch = _batch()
    off = batch.log_depth + 0.2

    def cost(expected):
        return depth_loss(off, torch.full_like(off, math.log(expected)), batch)[1]["error"]

    assert cost(0.2) < min(cost(0.15), cost(0.27))


def test_training_learns_and_goes_on_where_it_was(tmp_path):
    args = argparse.Namespace(out=tmp_path, trunk=None, start=None, minutes=60.0, lr=2e-3)
    torch.manual_seed(0)
    training, batch = Training(args), _batch()
    losses = [training.learn(batch)["depth"] for _ in range(8)]
    assert losses[-1] < losses[0]
    training.seconds = 30.0
    training.save()
    again = Training(args)
    assert (again.step, again.seconds) == (8, 30.0)
    assert again.learn(batch) == training.learn(batch)
    assert (tmp_path / "weights.safetensors").exists()
