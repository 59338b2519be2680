"""Which patches of the two encoders show the same place of an image."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from human3r.errors import InputError
from human3r.geometry import network_from_square, square_offset_px
from human3r.model.layers import DINO_PATCH_PX


@dataclass(frozen=True)
class PatchMaps:
    """One image as the human encoder sees it, centred in a square, and as the scene encoder does.

    Places (u, v) count from the top left corner of the top left pixel. Nothing is clamped but
    tokens. Tokens are numbered row by row.

    Raises:
        InputError: sides that are no multiples of 14, or no image.
    """

    width_px: int
    """Of the image itself."""
    height_px: int
    human_px: int
    """Side of the human encoder's square."""
    scene_width_px: int
    scene_height_px: int

    def __post_init__(self) -> None:
        sides = (self.human_px, self.scene_width_px, self.scene_height_px)
        if min(self.width_px, self.height_px) < 1 or any(s < 1 or s % DINO_PATCH_PX for s in sides):
            raise InputError(
                f"{self}: expected an image, and network images with sides that are multiples of "
                f"{DINO_PATCH_PX}."
            )

    @property
    def human_grid(self) -> int:
        """Tokens per side of the square."""
        return self.human_px // DINO_PATCH_PX

    @property
    def scene_grid(self) -> tuple[int, int]:
        """Rows and columns of scene tokens."""
        return self.scene_height_px // DINO_PATCH_PX, self.scene_width_px // DINO_PATCH_PX

    def human_from_image(self, place: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Places of the image in the square."""
        margins = square_offset_px(self.width_px, self.height_px)
        longest = max(self.width_px, self.height_px)
        return (place + place.new_tensor(margins)) * (self.human_px / longest)

    def image_from_human(self, place: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Places of the square in the image; those in its margins lie outside."""
        return network_from_square(place, self.human_px, self.width_px, self.height_px)

    def scene_from_image(self, place: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Places of the image in the scene encoder's image."""
        ratios = (self.scene_width_px / self.width_px, self.scene_height_px / self.height_px)
        return place * place.new_tensor(ratios)

    def is_inside(self, place: Float[Tensor, "*batch 2"]) -> Tensor:
        """Whether places lie in the image."""
        size = place.new_tensor((self.width_px, self.height_px))
        return ((place >= 0) & (place < size)).all(dim=-1)

    def human_token(self, place: Float[Tensor, "*batch 2"]) -> Int[Tensor, "*batch"]:
        """The human token at a place of the image, or the nearest one."""
        return _token(self.human_from_image(place), self.human_grid, self.human_grid)

    def scene_token(self, place: Float[Tensor, "*batch 2"]) -> Int[Tensor, "*batch"]:
        """The scene token at a place of the image, or the nearest one."""
        return _token(self.scene_from_image(place), *self.scene_grid)

    def human_centre(self, token: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch 2"]:
        """Where the middle of a human token is in the square."""
        grid = self.human_grid
        return (torch.stack((token % grid, token // grid), dim=-1) + 0.5) * DINO_PATCH_PX

    def scene_token_of(self, human_token: Int[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
        """The scene token that shows what a human token's middle shows."""
        return self.scene_token(self.image_from_human(self.human_centre(human_token)))


def _token(place: Tensor, rows: int, columns: int) -> Tensor:
    column = (place[..., 0] / DINO_PATCH_PX).floor().long().clamp(0, columns - 1)
    row = (place[..., 1] / DINO_PATCH_PX).floor().long().clamp(0, rows - 1)
    return row * columns + column
