"""DINOv2 with registers, for images and for depth."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from human3r.model.layers import DinoBlock, PatchEmbed, layer_norm
from human3r.multiview.pi3x.config import PATCH_PX, Pi3XConfig

_GRID = 37
"""Tokens per side of the stored position embedding."""


class RegisterEncoder(nn.Module):
    """Planes of any size in multiples of 14 to one normed token per patch."""

    def __init__(self, config: Pi3XConfig, channels: int) -> None:
        super().__init__()
        width = config.encoder_width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _GRID**2, width))
        self.register_tokens = nn.Parameter(torch.zeros(1, config.encoder_registers, width))
        self.patch_embed = PatchEmbed(channels, PATCH_PX, width)
        self.blocks = nn.ModuleList(
            DinoBlock(width, config.encoder_heads) for _ in range(config.encoder_depth)
        )
        self.norm = layer_norm(width)

    def forward(
        self, image: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images tokens features"]:
        """Tokens of the patches, row by row."""
        grid = image.shape[-2] // PATCH_PX, image.shape[-1] // PATCH_PX
        count = image.shape[0]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(count, -1, -1)
        patches = self.patch_embed(image) + self._positions(grid)
        registers = self.register_tokens.expand(count, -1, -1)
        x = torch.cat((cls, registers, patches), dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 1 + registers.shape[1] :]

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """The embedding of the patches resampled to rows and columns.

        Models with registers were trained with a resampling that smooths, without offset.
        """
        stored = self.pos_embed[:, 1:]
        if grid == (_GRID, _GRID):
            return stored
        image = stored.unflatten(1, (_GRID, _GRID)).permute(0, 3, 1, 2)
        image = F.interpolate(image, size=grid, mode="bicubic", antialias=True)
        return image.flatten(2).transpose(1, 2)
