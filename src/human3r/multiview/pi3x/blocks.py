"""Transformer blocks of Pi3X. Attribute names are the keys of the published weights."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from human3r.model.layers import (
    EncoderBlock,
    LayerScale,
    Mlp,
    RotaryTable,
    SelfAttention,
    layer_norm,
    rotate,
)


class NormedAttention(SelfAttention):
    """Self-attention with a layer norm of every head's queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.q_norm = layer_norm(width // heads)
        self.k_norm = layer_norm(width // heads)

    def forward(
        self, x: Tensor, positions: RotaryTable | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Tokens x after reading each other; those where ``mask`` is False are not read."""
        q, k, v = self._heads(x)
        q, k = rotate(self.q_norm(q), positions), rotate(self.k_norm(k), positions)
        return self._joined(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def _joined(self, x: Tensor) -> Tensor:
        return self.proj(x.transpose(1, 2).flatten(2))


class PosedAttention(NormedAttention):
    """Attention between images whose relative poses are known.

    Half of each head's channels are rotated by places in the image, as everywhere. The others are
    groups of four, coordinates that are moved from the camera's frame into the world before the
    tokens meet, and back afterwards, so that only relative poses count.

    Source: geometric transform attention (arXiv 2310.10375) and its form with cameras
    (arXiv 2507.10496). How the published network lets poses in is not described: that it has no
    weights for it beyond those of such a block is all that is known, so with published weights this
    prior is an experiment.
    """

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        x: Float[Tensor, "1 tokens width"],
        positions: RotaryTable,
        world_from_camera: Float[Tensor, "tokens 4 4"],
    ) -> Tensor:
        """Tokens after reading each other.

        Args:
            x: of all images that have a pose.
            positions: rotary table for half a head.
            world_from_camera: pose of every token's image.
        """
        q, k, v = self._heads(x)
        camera_from_world = _inverse(world_from_camera)
        # (D^T q) . (D^-1 k) of two images has their relative pose only.
        q = self._moved(self.q_norm(q), positions, camera_from_world.transpose(-1, -2))
        k = self._moved(self.k_norm(k), positions, world_from_camera)
        v = self._moved(v, None, world_from_camera)
        found = F.scaled_dot_product_attention(q, k, v)
        return self._joined(self._moved(found, None, camera_from_world))

    @staticmethod
    def _moved(x: Tensor, positions: RotaryTable | None, move: Tensor) -> Tensor:
        placed, coordinates = x.chunk(2, dim=-1)
        groups = coordinates.unflatten(-1, (-1, 4))
        moved = torch.einsum("tij,bhtgj->bhtgi", move.to(x.dtype), groups)
        return torch.cat((rotate(placed, positions), moved.flatten(-2)), dim=-1)


def _inverse(pose: Float[Tensor, "tokens 4 4"]) -> Float[Tensor, "tokens 4 4"]:
    turn = pose[:, :3, :3].transpose(-1, -2)
    inverse = torch.zeros_like(pose)
    inverse[:, :3, :3] = turn
    inverse[:, :3, 3] = -(turn @ pose[:, :3, 3:])[..., 0]
    inverse[:, 3, 3] = 1.0
    return inverse


class ScaledBlock(nn.Module):
    """Pre-norm block with layer scale, and norms of queries and keys."""

    attention: type[NormedAttention] = NormedAttention

    def __init__(self, width: int, heads: int, scale: float) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = self.attention(width, heads)
        self.ls1 = LayerScale(width)
        self.norm2 = layer_norm(width)
        self.mlp = Mlp(width)
        self.ls2 = LayerScale(width)
        with torch.no_grad():
            self.ls1.gamma.fill_(scale)
            self.ls2.gamma.fill_(scale)

    def forward(self, x: Tensor, *where: Tensor | RotaryTable) -> Tensor:
        """Tokens after the block; ``where`` as of its attention."""
        x = x + self.ls1(self.attn(self.norm1(x), *where))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PosedBlock(ScaledBlock):
    """The block that lets known poses in."""

    attention = PosedAttention


class TokenDecoder(nn.Module):
    """Linear, some blocks inside each image, linear."""

    def __init__(self, width_in: int, width: int, width_out: int, depth: int, heads: int) -> None:
        super().__init__()
        self.projects = nn.Linear(width_in, width)
        self.blocks = nn.ModuleList(EncoderBlock(width, heads) for _ in range(depth))
        self.linear_out = nn.Linear(width, width_out)

    def forward(self, x: Float[Tensor, "images tokens features"], positions: RotaryTable) -> Tensor:
        x = self.projects(x)
        for block in self.blocks:
            x = block(x, positions)
        return self.linear_out(x)


class Query(nn.Module):
    """Attention of tokens x to tokens y."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor, y_positions: RotaryTable) -> Tensor:
        """Tokens x, which sit at position 0, after reading y."""
        q, k, v = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, tokens in ((self.q_proj, x), (self.k_proj, y), (self.v_proj, y))
        )
        found = F.scaled_dot_product_attention(q, rotate(k, y_positions), v)
        return self.proj(found.transpose(1, 2).flatten(2))


class QueryBlock(nn.Module):
    """Pre-norm block: tokens x read y, then MLP; y stays as it is."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm2 = layer_norm(width)
        self.norm_y = layer_norm(width)
        self.cross_attn = Query(width, heads)
        self.norm3 = layer_norm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, y: Tensor, y_positions: RotaryTable) -> Tensor:
        x = x + self.cross_attn(self.norm2(x), self.norm_y(y), y_positions)
        return x + self.mlp(self.norm3(x))


class MetricDecoder(nn.Module):
    """One query to all tokens of all images."""

    def __init__(self, width_in: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.projects_x = nn.Linear(width_in, width)
        self.projects_y = nn.Linear(width_in, width)
        self.blocks = nn.ModuleList(QueryBlock(width, heads) for _ in range(depth))
        self.linear_out = nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor, y_positions: RotaryTable) -> Tensor:
        x, y = self.projects_x(x), self.projects_y(y)
        for block in self.blocks:
            x = block(x, y, y_positions)
        return self.linear_out(x)
