"""What is read off the decoded tokens: maps with a value per pixel, and cameras."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_GROUP = 32
"""Channels per group of a group norm of hidden channels."""


class ResidualConvolutions(nn.Module):
    """Norm, ReLU, 3x3 to twice the width, norm, ReLU, 3x3 back.

    How many groups its norms have is not described; these are those of the head it comes from
    (MoGe, arXiv 2410.19115): one before, groups of 32 channels inside.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 2 * width
        self.layers = nn.Sequential(
            nn.GroupNorm(1, width),
            nn.ReLU(),
            _convolution(width, hidden),
            nn.GroupNorm(max(1, hidden // _GROUP), hidden),
            nn.ReLU(),
            _convolution(hidden, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ConvolutionHead(nn.Module):
    """Tokens to maps of the image's size: three doublings, a resize, an output block per map."""

    _CHUNK = 64
    """Images at a time."""

    def __init__(
        self, width: int, widths: tuple[int, ...], output_width: int, outputs: tuple[int, ...]
    ) -> None:
        super().__init__()
        stages = zip((width, *widths[:-1]), widths, strict=True)
        self.upsample_blocks = nn.ModuleList(
            nn.Sequential(
                nn.Sequential(
                    nn.ConvTranspose2d(before + 2, after, 2, stride=2), _convolution(after, after)
                ),
                ResidualConvolutions(after),
                ResidualConvolutions(after),
            )
            for before, after in stages
        )
        self.output_block = nn.ModuleList(
            nn.Sequential(
                _convolution(widths[-1] + 2, output_width),
                nn.ReLU(),
                nn.Conv2d(output_width, channels, 1),
            )
            for channels in outputs
        )

    def forward(
        self,
        tokens: Float[Tensor, "images tokens features"],
        grid: tuple[int, int],
        size_px: tuple[int, int],
    ) -> list[Float[Tensor, "images channels height width"]]:
        """One map per output.

        Args:
            tokens: of the patches, row by row.
            grid: rows and columns.
            size_px: height and width of the image.
        """
        chunks = [self._maps(part, grid, size_px) for part in tokens.split(self._CHUNK)]
        return [torch.cat(parts) for parts in zip(*chunks, strict=True)]

    def _maps(self, tokens: Tensor, grid: tuple[int, int], size_px: tuple[int, int]) -> list:
        aspect = size_px[1] / size_px[0]
        x = tokens.transpose(1, 2).unflatten(2, grid)
        for block in self.upsample_blocks:
            x = block(_with_places(x, aspect))
        x = F.interpolate(x, size=size_px, mode="bilinear", align_corners=False)
        x = _with_places(x, aspect)
        return [block(x) for block in self.output_block]


def _convolution(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1, padding_mode="replicate")


def _with_places(x: Tensor, aspect: float) -> Tensor:
    """Two more channels: where pixels are in the view, whose half diagonal is 1."""
    rows, columns = x.shape[-2:]
    half_width, half_height = aspect / math.hypot(aspect, 1), 1 / math.hypot(aspect, 1)
    u = half_width * _centres(columns, x)
    v = half_height * _centres(rows, x)
    places = torch.stack((u.expand(rows, -1), v[:, None].expand(-1, columns)))
    return torch.cat((x, places.expand(len(x), -1, -1, -1)), dim=1)


def _centres(count: int, like: Tensor) -> Tensor:
    """Centres of so many equal parts of [-1, 1]."""
    steps = torch.arange(count, device=like.device, dtype=like.dtype)
    return (2 * steps + 1) / count - 1


class ResidualMlp(nn.Module):
    """Three linear layers with ReLU, added to what goes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.res_conv1 = nn.Linear(width, width)
        self.res_conv2 = nn.Linear(width, width)
        self.res_conv3 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.res_conv2(F.relu(self.res_conv1(x))))
        return x + F.relu(self.res_conv3(hidden))


class CameraHead(nn.Module):
    """Tokens of the patches to world_from_camera."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.res_conv = nn.ModuleList(ResidualMlp(width) for _ in range(2))
        self.more_mlps = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.fc_t = nn.Linear(width, 3)
        self.fc_rot = nn.Linear(width, 9)

    def forward(
        self, tokens: Float[Tensor, "images tokens features"]
    ) -> Float[Tensor, "images 4 4"]:
        for layer in self.res_conv:
            tokens = layer(tokens)
        x = self.more_mlps(tokens.mean(dim=1)).float()
        pose = torch.eye(4, device=x.device).repeat(len(x), 1, 1)
        pose[:, :3, :3] = nearest_rotation(self.fc_rot(x).unflatten(-1, (3, 3)))
        pose[:, :3, 3] = self.fc_t(x)
        return pose


def nearest_rotation(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation nearest to a matrix whose rows are normalised first (orthogonal Procrustes)."""
    u, _, vt = torch.linalg.svd(F.normalize(matrix, dim=-1))
    sign = torch.ones_like(matrix[..., 0])
    sign[..., 2] = torch.linalg.det(u @ vt)
    return (u * sign[..., None, :]) @ vt
