"""Building blocks that encoder, decoder and heads share: rotary positions, attention, MLPs, blocks.

Attribute names are those of the published checkpoints, because they are the state-dict keys. What
is computed in a short type, and what exactly, is said by ``bulk`` and ``exact``.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

LAYER_NORM_EPS = 1e-6


@dataclass(frozen=True)
class RotaryTable:
    """Two-dimensional rotary position embedding of some tokens, for one head size.

    A head of size d is cut in two halves, rotated by the token's y and x; within a half, element
    j pairs with element j + d/4 and turns by ``position * base ** (-j / (d / 4))``.
    """

    cos: Float[Tensor, "*batch tokens size"]
    """Of the angle of every element."""
    sin: Float[Tensor, "*batch tokens size"]
    """Likewise; negative for the first element of each pair, which the second is taken from."""
    rounding: torch.dtype | None = None
    """Queries and keys are rounded to this type before and after the rotation."""

    @classmethod
    def at(
        cls,
        positions: Int[Tensor, "tokens 2"],
        head_size: int,
        base: float,
        rounding: torch.dtype | None = None,
    ) -> "RotaryTable":
        """The table for integer positions (y, x); negative ones turn the other way."""
        quarter = head_size // 4
        steps = torch.arange(quarter, device=positions.device, dtype=torch.float32)
        angles = positions.float()[..., None] * base ** (-steps / quarter)
        cos, sin = angles.cos(), angles.sin()
        return cls(
            torch.stack((cos, cos), dim=-2).flatten(-3),
            torch.stack((-sin, sin), dim=-2).flatten(-3),
            rounding,
        )

    def rows(self, index: Int[Tensor, " chosen"]) -> "RotaryTable":
        """The table of some of the tokens."""
        return RotaryTable(self.cos[index], self.sin[index], self.rounding)

    def then(self, *others: "RotaryTable") -> "RotaryTable":
        """The table of these tokens followed by others."""
        tables = (self, *others)
        return RotaryTable(
            torch.cat([table.cos for table in tables]),
            torch.cat([table.sin for table in tables]),
            self.rounding,
        )

    def rotate(
        self, x: Float[Tensor, "batch heads tokens size"]
    ) -> Float[Tensor, "batch heads tokens size"]:
        """Queries or keys turned by their tokens' positions."""
        dtype = x.dtype
        if self.rounding is not None:
            x = x.to(self.rounding).float()
        # Pieces joined in another order: several times faster on the CPU than a flipped view.
        y_first, y_second, x_first, x_second = x.chunk(4, dim=-1)
        partner = torch.cat((y_second, y_first, x_second, x_first), dim=-1)
        turned = torch.addcmul(x * self.cos, partner, self.sin)
        return turned if self.rounding is None else turned.to(self.rounding).to(dtype)


def rotate(x: Tensor, table: RotaryTable | None) -> Tensor:
    """``x`` turned by ``table``; without one, ``x`` itself."""
    return x if table is None else table.rotate(x)


def layer_norm(width: int) -> nn.LayerNorm:
    """The layer norm used everywhere in the network."""
    return nn.LayerNorm(width, eps=LAYER_NORM_EPS)


class Mlp(nn.Module):
    """Linear, exact GELU, Linear."""

    def __init__(self, width: int, hidden: int | None = None, out: int | None = None) -> None:
        super().__init__()
        hidden = hidden or 4 * width
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, out or width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SelfAttention(nn.Module):
    """Multi-head attention of tokens among themselves."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: Tensor, positions: RotaryTable | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Tokens x after reading each other; those where ``mask`` is False are not read."""
        qkv = self.qkv(x).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2)
        # Queries and keys lie side by side and are turned in one go.
        turned, v = qkv.split((2 * self.heads, self.heads), dim=1)
        q, k = rotate(turned, positions).chunk(2, dim=1)
        return self.proj(_merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))


class CrossAttention(nn.Module):
    """Multi-head attention of tokens x to tokens y."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projq = nn.Linear(width, width)
        self.projk = nn.Linear(width, width)
        self.projv = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        x_positions: RotaryTable | None = None,
        y_positions: RotaryTable | None = None,
        mean_logits: list[Tensor] | None = None,
        y_mask: Tensor | None = None,
    ) -> Tensor:
        """Tokens x after reading y.

        Args:
            x: [batch, queries, width].
            y: [batch, keys, width].
            x_positions: rotary table of x.
            y_positions: rotary table of y.
            mean_logits: where given, [batch, queries] is appended: the scaled attention logits of
                each query, averaged over heads and the keys that are read.
            y_mask: [batch, 1, 1, keys], False for tokens of y that are not read; None: all are
                read.
        """
        is_single = y.shape[1] == 1 and mean_logits is None and y_mask is None
        if is_single and not torch.is_grad_enabled():
            # There is only one value to attend to: its weight is 1, whatever the query.
            return self.proj(self.projv(y)).expand_as(x)
        has_places = x_positions is not None or y_positions is not None
        if x.shape[1] == 1 and not has_places and mean_logits is None and y_mask is None:
            return self.proj(self._ask(self._split_heads(self.projq(x)), y))
        q = rotate(self._split_heads(self.projq(x)), x_positions)
        k = rotate(self._split_heads(self.projk(y)), y_positions)
        v = self._split_heads(self.projv(y))
        if mean_logits is not None:
            # The mean of the logits is the logit of the mean key, so that the attention matrix
            # itself is never needed and fused attention stays usable.
            logits = (q * _mean_key(k, y_mask)).sum(-1) * q.shape[-1] ** -0.5
            mean_logits.append(logits.mean(dim=1))
        return self.proj(_merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=y_mask)))

    def _ask(
        self, q: Float[Tensor, "batch heads 1 size"], y: Float[Tensor, "batch keys width"]
    ) -> Float[Tensor, "batch 1 width"]:
        """What one query reads, without a key and a value for every y.

        Both are linear in y: a logit q . (K y + k) is (K' q) . y and a number that all logits
        share, and the mean of V y + v is V of the mean y, and v.
        """
        keys, values = (
            layer.weight.unflatten(0, (self.heads, -1)) for layer in (self.projk, self.projv)
        )
        y = y[:, None]
        shares = (q @ keys @ y.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)
        return _merge_heads(shares @ y @ values.transpose(-1, -2)) + self.projv.bias

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class EncoderBlock(nn.Module):
    """Pre-norm transformer block: self-attention, then MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = layer_norm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, positions: RotaryTable | None = None) -> Tensor:
        x = x + self.attn(self.norm1(x), positions)
        return x + self.mlp(self.norm2(x))


class DecoderBlock(nn.Module):
    """Pre-norm transformer block: tokens x attend to themselves, then to y; y stays as it is."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = SelfAttention(width, heads)
        self.cross_attn = CrossAttention(width, heads)
        self.norm2 = layer_norm(width)
        self.norm3 = layer_norm(width)
        self.mlp = Mlp(width)
        self.norm_y = layer_norm(width)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        x_positions: RotaryTable | None = None,
        y_positions: RotaryTable | None = None,
        mean_logits: list[Tensor] | None = None,
        x_mask: Tensor | None = None,
        y_mask: Tensor | None = None,
    ) -> Tensor:
        """Tokens x after one layer; arguments as in ``CrossAttention``, masks as ``y_mask``."""
        x = x + self.attn(self.norm1(x), x_positions, x_mask)
        x = x + self.cross_attn(
            self.norm2(x), self.norm_y(y), x_positions, y_positions, mean_logits, y_mask
        )
        return x + self.mlp(self.norm3(x))


def bulk(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Products of matrices in ``dtype`` from here on."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def exact(device: torch.device) -> AbstractContextManager:
    """Everything in the type of its arguments from here on."""
    return torch.autocast(device.type, enabled=False)


def _merge_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def _mean_key(k: Tensor, mask: Tensor | None) -> Tensor:
    """Mean [batch, heads, 1, size] over the keys that are read."""
    if mask is None:
        return k.mean(dim=2, keepdim=True)
    is_read = mask.transpose(-1, -2)
    return torch.where(is_read, k, 0).sum(dim=2, keepdim=True) / is_read.sum(dim=2, keepdim=True)
