"""From pixels to patches of both encoders and back, for images of odd sizes."""

import pytest
import torch

from human3r.chromm.patch_maps import PatchMaps
from human3r.errors import InputError

HALF_PATCH = 7.0
SIZES = [
    # width, height, human square, scene width, scene height
    (640, 480, 672, 588, 434),
    (641, 479, 896, 588, 434),
    (481, 853, 672, 378, 672),
    (333, 333, 98, 518, 518),
    (1921, 1079, 896, 672, 378),
    (37, 11, 56, 70, 14),
]


@pytest.mark.parametrize("size", SIZES)
def test_a_pixel_its_human_patch_and_its_scene_patch_are_half_a_patch_apart_at_most(size):
    maps = PatchMaps(*size)
    generator = torch.Generator().manual_seed(0)
    extent = torch.tensor([maps.width_px, maps.height_px], dtype=torch.float64)
    place = torch.rand(2000, 2, generator=generator, dtype=torch.float64) * extent
    # The pixel and its human patch, in pixels of the human encoder.
    token = maps.human_token(place)
    centre = maps.human_centre(token)
    assert (maps.human_from_image(place) - centre).abs().max() <= HALF_PATCH + 1e-6
    # That patch and its scene patch, in pixels of the scene encoder; where the middle of the human
    # patch lies in the margin, the nearest place of the image counts.
    there = maps.image_from_human(centre.double())
    inside = torch.minimum(there.clamp(min=0), extent - 1e-6)
    scene_token = maps.scene_token_of(token)
    assert torch.equal(scene_token, maps.scene_token(inside))
    rows, columns = maps.scene_grid
    middle = (torch.stack((scene_token % columns, scene_token // columns), -1) + 0.5) * 14
    assert (maps.scene_from_image(inside) - middle).abs().max() <= HALF_PATCH + 1e-6
    # Back again.
    back = maps.human_token(maps.image_from_human(centre))
    assert torch.equal(back, token)
    assert scene_token.max() < rows * columns


@pytest.mark.parametrize("size", SIZES)
def test_places_come_back(size):
    maps = PatchMaps(*size)
    place = torch.rand(100, 2, dtype=torch.float64) * max(size)
    assert torch.allclose(maps.image_from_human(maps.human_from_image(place)), place, atol=1e-9)


def test_the_margins_of_the_square_are_outside_of_the_image():
    maps = PatchMaps(640, 480, 672, 588, 434)
    corner = maps.image_from_human(torch.tensor([[0.5, 0.5], [336.0, 336.0]]))
    assert maps.is_inside(corner).tolist() == [False, True]


@pytest.mark.parametrize("size", [(640, 480, 670, 588, 434), (0, 480, 672, 588, 434)])
def test_sizes_that_cannot_be_are_refused(size):
    with pytest.raises(InputError, match="multiples of 14"):
        PatchMaps(*size)
