"""The two encoders: image patches with rotary positions, and DINOv2 for the human branch."""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from human3r.model.layers import EncoderBlock, Mlp, RotaryTable, SelfAttention, layer_norm

DINO_PATCH_PX = 14
_DINO_GRID = 37  # tokens per side of the stored position embedding
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class PatchEmbed(nn.Module):
    """Image to one token per square patch, row by row."""

    def __init__(self, channels: int, patch_px: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch_px, stride=patch_px)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch tokens features"]:
        return self.proj(image).flatten(2).transpose(1, 2)


def run_blocks(blocks: nn.ModuleList, tokens: Tensor, positions: RotaryTable | None) -> Tensor:
    """Tokens after a stack of encoder blocks."""
    for block in blocks:
        tokens = block(tokens, positions)
    return tokens


def image_blocks(width: int, depth: int, heads: int) -> nn.ModuleList:
    """The transformer blocks of an image or ray-map encoder."""
    return nn.ModuleList(EncoderBlock(width, heads) for _ in range(depth))


class LayerScale(nn.Module):
    """A learnt factor per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class DinoBlock(nn.Module):
    """DINOv2's transformer block: an encoder block with layer scale."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = SelfAttention(width, heads)
        self.ls1 = LayerScale(width)
        self.norm2 = layer_norm(width)
        self.mlp = Mlp(width)
        self.ls2 = LayerScale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class DinoEncoder(nn.Module):
    """DINOv2 ViT/14 without registers; image with ImageNet statistics to normed patch tokens."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _DINO_GRID**2, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = PatchEmbed(3, DINO_PATCH_PX, width)
        self.blocks = nn.ModuleList(DinoBlock(width, heads) for _ in range(depth))
        self.norm = layer_norm(width)
        self._resampled: tuple[tuple[object, ...], Tensor] | None = None

    def forward(
        self,
        image: Float[Tensor, "batch 3 side side"],
        positions: Float[Tensor, "1 tokens features"] | None = None,
    ) -> Float[Tensor, "batch tokens features"]:
        """Normed patch tokens; ``positions`` as from ``positions``, which None asks itself."""
        patches = self.patch_embed(image)
        cls = self.cls_token.expand(patches.shape[0], -1, -1)
        if positions is None:
            positions = self.positions(image.shape[-1] // DINO_PATCH_PX)
        x = torch.cat([cls, patches], dim=1) + positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 1:]

    def positions(self, grid: int) -> Tensor:
        """The position embedding resampled to a grid x grid image, kept until weights change."""
        if grid == _DINO_GRID:
            return self.pos_embed
        if torch.is_grad_enabled() and self.pos_embed.requires_grad:
            return self._resample(grid)
        version = 0 if self.pos_embed.is_inference() else self.pos_embed._version
        key = (grid, self.pos_embed.data_ptr(), version)
        found = self._resampled
        if found is None or found[0] != key:
            # An ordinary tensor serves training as well; one born in inference mode would not.
            with torch.inference_mode(False), torch.no_grad():
                found = self._resampled = (key, self._resample(grid))
        return found[1]

    def _resample(self, grid: int) -> Tensor:
        cls, patches = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        image = patches.unflatten(1, (_DINO_GRID, _DINO_GRID)).permute(0, 3, 1, 2)
        # DINOv2 adds 0.1 to the grid before dividing; coordinates then map by that very factor,
        # not by the ratio of the sizes, and trained weights rely on it.
        factor = (grid + 0.1) / _DINO_GRID
        image = F.interpolate(
            image, scale_factor=(factor, factor), mode="bicubic", recompute_scale_factor=False
        )
        return torch.cat([cls, image.flatten(2).transpose(1, 2)], dim=1)


class HumanBackbone(nn.Module):
    """The human branch's encoder: square image in [-1, 1] to one token per 14-pixel patch."""

    def __init__(self, width: int, depth: int, heads: int, side_px: int) -> None:
        super().__init__()
        self.encoder = DinoEncoder(width, depth, heads)
        self._grid = side_px // DINO_PATCH_PX

    def positions(self) -> Float[Tensor, "1 tokens features"]:
        """The position embedding of its images, kept until weights change."""
        return self.encoder.positions(self._grid)

    def forward(
        self,
        image: Float[Tensor, "batch 3 side side"],
        positions: Float[Tensor, "1 tokens features"] | None = None,
    ) -> Float[Tensor, "batch tokens features"]:
        """Tokens of the patches; ``positions`` as in ``DinoEncoder``."""
        # Channel by channel, so that the statistics need no buffer: buffers would add keys to the
        # published state dict, or stay on the meta device when the network is built there.
        channels = [
            (channel * 0.5 + 0.5 - mean) / std
            for channel, mean, std in zip(
                image.unbind(1), _IMAGENET_MEAN, _IMAGENET_STD, strict=True
            )
        ]
        return self.encoder(torch.stack(channels, dim=1), positions)


def beside(
    first: Callable[[], Tensor], second: Callable[[], Tensor], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Both results; on a CUDA device computed at the same time. Not yet measured on one."""
    if device.type != "cuda" or torch.compiler.is_compiling():
        return first(), second()
    here, there = torch.cuda.current_stream(device), _second_stream(device)
    there.wait_stream(here)
    with torch.cuda.stream(there):
        late = second()
    early = first()
    here.wait_stream(there)
    late.record_stream(here)
    return early, late


@cache
def _second_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
