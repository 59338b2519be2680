"""Preparation on the device against preparation by Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from human3r.streaming.device_resize import resize
from human3r.streaming.preprocess import prepare, prepare_on_device


def _noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("lanczos", [True, False], ids=["lanczos", "bicubic"])
@pytest.mark.parametrize("new_px", [(128, 72), (97, 31), (400, 300), (320, 240)])
def test_resize_repeats_pillow(new_px, lanczos):
    """Noise is the hardest case: every sum rounds anew, and many are cut at 0 or 255."""
    image = _noise(240, 320)
    method = Image.Resampling.LANCZOS if lanczos else Image.Resampling.BICUBIC
    want = np.asarray(Image.fromarray(image).resize(new_px, method)).astype(int)
    got = resize(torch.from_numpy(image), *new_px, lanczos=lanczos).numpy().astype(int)
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 1
    assert (got != want).mean() < 1e-3


@pytest.mark.parametrize("size", [(240, 320), (320, 240), (90, 120), (200, 200)])
def test_preparation_on_the_device_is_the_same(size):
    image = _noise(*size, seed=1)
    want, geometry, pixels, square = prepare(image, 160, 224)
    got, same, other_pixels, other_square = prepare_on_device(image, 160, 224, "cpu")
    assert same == geometry
    assert np.abs(got.numpy().astype(int) - want).max() <= 1
    step = 2.001 / 255
    assert (other_pixels - pixels).abs().max() <= step
    assert (other_square - square).abs().max() <= step
    assert (other_pixels != pixels).float().mean() < 1e-3


def test_a_view_of_a_larger_array_is_taken():
    image = _noise(240, 640)[:, ::2]
    got = prepare_on_device(image, 160, 224, "cpu")[0]
    want = prepare_on_device(image.copy(), 160, 224, "cpu")[0]
    assert torch.equal(got, want)
