import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from human3r.errors import InputError, ShapeError
from human3r.streaming.preprocess import (
    crop_from_square,
    fit_geometry,
    normalise,
    pad_to_square,
    prepare,
    resize_and_crop,
)


def _image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("width", "height", "size", "expected"),
    [
        (1920, 1080, 512, (512, 288)),
        (1280, 720, 512, (512, 288)),
        (640, 480, 512, (512, 384)),
        (480, 640, 512, (384, 512)),
        (330, 200, 160, (160, 96)),
        (100, 60, 512, (512, 304)),
        (1000, 999, 512, (512, 496)),
        (10_000, 9_999, 512, (512, 384)),
        (512, 512, 512, (512, 384)),
        (64, 64, 512, (512, 384)),
        (300, 300, 160, (160, 112)),
        (17, 17, 224, (224, 160)),
        (640, 360, 100, (96, 48)),
    ],
)
def test_network_image_sizes(width, height, size, expected):
    geometry = fit_geometry(width, height, size)
    assert (geometry.width_px, geometry.height_px) == expected


@settings(max_examples=200, deadline=None)
@given(width=st.integers(1, 5000), height=st.integers(1, 5000), size=st.integers(16, 1024))
def test_every_size_is_either_legal_or_refused(width, height, size):
    try:
        geometry = fit_geometry(width, height, size)
    except InputError:
        assert min(width, height) / max(width, height) * size < 17 or size < 32
        return
    for side, resized, start in (
        (geometry.width_px, geometry.resized_width_px, geometry.crop_left_px),
        (geometry.height_px, geometry.resized_height_px, geometry.crop_top_px),
    ):
        assert side % 16 == 0
        assert side >= 16
        assert start >= 0
        assert start + side <= resized <= size


def test_shrinking_is_pillows_lanczos_and_a_centre_crop():
    image = _image(200, 330)
    got, geometry = resize_and_crop(image, 160)
    resized = Image.fromarray(image).resize((160, 97), Image.Resampling.LANCZOS)
    assert (geometry.crop_left_px, geometry.crop_top_px) == (0, 0)
    assert np.array_equal(got, np.asarray(resized)[:96])


def test_enlarging_is_pillows_bicubic():
    image = _image(60, 100)
    got, geometry = resize_and_crop(image, 512)
    resized = Image.fromarray(image).resize((512, 307), Image.Resampling.BICUBIC)
    top = geometry.crop_top_px
    assert np.array_equal(got, np.asarray(resized)[top : top + 304])


def test_an_image_of_the_right_size_is_taken_as_it_is():
    image = _image(96, 160)
    assert np.array_equal(resize_and_crop(image, 160)[0], image)


def test_views_of_larger_arrays_are_accepted():
    image = _image(200, 330)
    mirrored = image[:, ::-1]
    assert np.array_equal(
        resize_and_crop(mirrored, 160)[0], resize_and_crop(mirrored.copy(), 160)[0]
    )


@pytest.mark.parametrize(
    ("height", "width"), [(10, 1000), (1000, 10), (1, 4000)], ids=["wide", "tall", "line"]
)
def test_an_image_too_narrow_for_one_patch_is_refused(height, width):
    with pytest.raises(InputError, match=f"{width}x{height}.*at least 16"):
        resize_and_crop(_image(height, width), 512)


def test_an_input_size_too_small_for_a_square_is_refused():
    with pytest.raises(InputError, match="input_size"):
        resize_and_crop(_image(100, 100), 16)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 100, 3), np.uint8),
        np.zeros((100, 100), np.uint8),
        np.zeros((100, 100, 4), np.uint8),
        np.zeros((100, 100, 3), np.float32),
    ],
    ids=["empty", "grey", "alpha", "float"],
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ShapeError):
        resize_and_crop(image, 160)


def test_an_absurdly_large_image_is_refused_before_it_is_touched():
    huge = np.lib.stride_tricks.as_strided(
        np.zeros(1, np.uint8), (100_000, 100_000, 3), (0, 0, 0), writeable=False
    )
    with pytest.raises(ShapeError, match="100000x100000"):
        resize_and_crop(huge, 512)


def test_pixels_map_to_the_source_and_back():
    geometry = fit_geometry(1280, 720, 512)
    corners = np.array([[-0.5, -0.5], [1279.5, 719.5], [640.0, 12.0]])
    network = geometry.network_from_source(corners)
    assert np.allclose(network[0], [-0.5, -0.5])
    assert np.allclose(geometry.source_from_network(network), corners)


@pytest.mark.parametrize("name", ["land", "port"])
def test_padding_repeats_the_golden_numbers(unit_ops, name):
    image = torch.from_numpy(unit_ops[f"pad.{name}.in"])
    got = pad_to_square(image, 224)
    want = torch.from_numpy(unit_ops[f"pad.{name}.out_stride3"])
    assert (got[:, :, ::3, ::3] - want).abs().max() <= 1e-5 * want.square().mean().sqrt()
    mask = torch.from_numpy(unit_ops[f"pad.{name}.mask_in"])[0, 0]
    height, width = image.shape[-2:]
    cut = crop_from_square(mask, width, height)
    assert torch.equal(cut, torch.from_numpy(unit_ops[f"pad.{name}.mask_unpad"])[0, 0])


@pytest.mark.parametrize(("height", "width"), [(288, 512), (512, 288), (64, 64), (16, 512)])
def test_margins_of_the_square_are_black_and_even(height, width):
    square = pad_to_square(torch.ones(1, 3, height, width), 224)
    assert square.shape == (1, 3, 224, 224)
    is_image = square[0, 0] > 0
    inside = is_image.nonzero()
    (top, left), (bottom, right) = inside.min(0).values, inside.max(0).values
    assert is_image[top : bottom + 1, left : right + 1].all()
    assert torch.allclose(square[0, 0][is_image], torch.tensor(1.0))
    assert (square[0, 0][~is_image] == -1).all()
    assert 0 <= (223 - bottom) - top <= 1
    assert 0 <= (223 - right) - left <= 1


def test_normalised_pixels_run_from_minus_one_to_one():
    got = normalise(np.array([[[0, 255, 51]]], np.uint8), "cpu")
    assert got.shape == (1, 3, 1, 1)
    assert torch.allclose(got.flatten(), torch.tensor([-1.0, 1.0, -0.6]))


def test_prepare_gives_both_network_images():
    image, geometry, pixels, square = prepare(_image(480, 640), 160, 224)
    assert image.shape == (112, 160, 3)
    assert (geometry.height_px, geometry.width_px) == (112, 160)
    assert pixels.shape == (1, 3, 112, 160)
    assert square.shape == (1, 3, 224, 224)
