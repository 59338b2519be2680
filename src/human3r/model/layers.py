"""What the network is built of: the two encoders, the decoder, and the blocks that they share.

Shared are rotary positions, attention, MLPs and transformer blocks. One encoder makes tokens of
image patches, the other is DINOv2 for the human branch. The decoder has two interleaved streams and
the pose memory beside them.

Attribute names are those of the published checkpoints, because they are the state-dict keys. What
is computed in a short type, and what exactly, is said by ``bulk`` and ``exact``.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from human3r.model.variants import NetworkConfig

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


def random_values(*shape: int, spread: float = 1.0) -> Float[Tensor, "..."]:
    """Normally distributed numbers, for weights that are about to be loaded or learnt.

    On the meta device nothing is drawn: there it would load PyTorch's compiler, for seconds.
    """
    values = torch.empty(shape)
    return values if values.is_meta else values.normal_() * spread


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


POSE_POSITION = -1
"""Rotary position of the camera token, in y and x."""


@dataclass(frozen=True)
class StreamPositions:
    """Rotary tables of both token sets, for the head sizes of both streams."""

    image_for_image: RotaryTable
    state_for_image: RotaryTable
    image_for_state: RotaryTable
    state_for_state: RotaryTable


@dataclass(frozen=True)
class Decoded:
    """What the decoder hands to the heads."""

    state: Float[Tensor, "1 state width"]
    """Normed state stream."""
    image_layers: tuple[Tensor, ...]
    """The image stream [1, tokens, width] after each layer asked for; the last one is normed."""
    gate: Float[Tensor, "1 state"] | None
    """TTT3R's update gate in (0, 1) per state token; only when asked for."""


def decode(
    image: Float[Tensor, "1 tokens width"],
    state: Float[Tensor, "1 state width"],
    image_blocks: nn.ModuleList,
    state_blocks: nn.ModuleList,
    image_norm: nn.LayerNorm,
    state_norm: nn.LayerNorm,
    positions: StreamPositions,
    *,
    with_gate: bool,
    image_mask: Tensor | None = None,
) -> Decoded:
    """Run both streams; each layer reads the other stream as it was before that layer.

    Args:
        image: pose token, patch tokens, prompts.
        state: recurrent state tokens.
        image_blocks: layers of the image stream.
        state_blocks: layers of the state stream.
        image_norm: last norm of the image stream.
        state_norm: last norm of the state stream.
        positions: rotary tables.
        with_gate: also compute TTT3R's gate; it counts the image tokens that are read.
        image_mask: [batch, 1, 1, tokens], False for image tokens that no other token reads; None:
            all are read.

    Returns:
        The image stream after half, three quarters and all of the layers, and the new state.

    Source: Human3R, arXiv 2510.06219; the gate: TTT3R, arXiv 2509.26645.
    """
    depth = len(image_blocks)
    kept = (depth * 2 // 4, depth * 3 // 4)
    layers = {}
    mean_logits: list[Tensor] | None = [] if with_gate else None
    for layer, (image_block, state_block) in enumerate(
        zip(image_blocks, state_blocks, strict=True), start=1
    ):
        image, state = (
            image_block(
                image,
                state,
                positions.image_for_image,
                positions.state_for_image,
                x_mask=image_mask,
            ),
            state_block(
                state,
                image,
                positions.state_for_state,
                positions.image_for_state,
                mean_logits,
                y_mask=image_mask,
            ),
        )
        if layer in kept:
            layers[layer] = image
    gate = torch.stack(mean_logits).mean(dim=0).sigmoid() if mean_logits else None
    image_layers = (layers[kept[0]], layers[kept[1]], image_norm(image))
    return Decoded(state_norm(state), image_layers, gate)


class PoseRetriever(nn.Module):
    """Memory of past camera poses, addressed by what the image looks like.

    A memory row is [key | value], each as wide as the decoder.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, slots = config.decoder_width, config.memory_slots
        self.proj_q = nn.Linear(config.encoder_width, width)
        self.masked_token = nn.Parameter(random_values(1, 1, width, spread=0.02))
        self.mem = nn.Parameter(random_values(1, slots, 2 * width, spread=0.02))
        self.write_blocks = _memory_blocks(config)
        self.read_blocks = _memory_blocks(config)

    def address(self, encoded: Float[Tensor, "1 tokens channels"]) -> Float[Tensor, "1 1 width"]:
        """The key of an image: its mean token, projected."""
        return self.proj_q(encoded.mean(dim=1, keepdim=True))

    def read(
        self, address: Float[Tensor, "1 1 width"], memory: Float[Tensor, "1 slots double"]
    ) -> Float[Tensor, "1 1 width"]:
        """The pose token that the memory suggests for an image."""
        x = torch.cat([address, self.masked_token.expand_as(address)], dim=-1)
        for block in self.read_blocks:
            x = block(x, memory)
        return x[..., address.shape[-1] :]

    def write(
        self,
        address: Float[Tensor, "1 1 width"],
        pose: Float[Tensor, "1 1 width"],
        memory: Float[Tensor, "1 slots double"],
    ) -> Float[Tensor, "1 slots double"]:
        """The memory after seeing an image whose decoded pose token is ``pose``."""
        entry = torch.cat([address, pose], dim=-1)
        for block in self.write_blocks:
            memory = block(memory, entry)
        return memory


@dataclass(frozen=True)
class SizeConstants:
    """Rotary tables of one image size, without prompts."""

    encoder: RotaryTable
    patches: RotaryTable
    pose: RotaryTable
    patches_for_state: RotaryTable
    pose_for_state: RotaryTable
    state_for_image: RotaryTable
    state_for_state: RotaryTable

    @classmethod
    def at(
        cls,
        config: NetworkConfig,
        grid: tuple[int, int],
        device: torch.device,
        rounding: torch.dtype | None,
    ) -> "SizeConstants":
        """The tables of images with so many rows and columns of patches.

        Args:
            config: sizes of the network.
            grid: rows and columns.
            device: where the tables go.
            rounding: of the image encoder's queries and keys.
        """
        image_size = config.decoder_width // config.decoder_heads
        state_size = config.decoder_width // config.state_heads
        encoder_size = config.encoder_width // config.encoder_heads
        patches = patch_positions(grid).to(device)
        state = state_positions(config.state_tokens).to(device)
        pose = torch.full((1, 2), POSE_POSITION, device=device)

        def table(
            positions: Tensor, head_size: int, rounding: torch.dtype | None = None
        ) -> RotaryTable:
            return RotaryTable.at(positions, head_size, config.rope_base, rounding)

        return cls(
            encoder=table(patches, encoder_size, rounding),
            patches=table(patches, image_size),
            pose=table(pose, image_size),
            patches_for_state=table(patches, state_size),
            pose_for_state=table(pose, state_size),
            state_for_image=table(state, image_size),
            state_for_state=table(state, state_size),
        )

    def with_prompts(self, patch_index: Tensor) -> StreamPositions:
        """Tables of [pose | patches | prompts]; a prompt sits where its patch (people,) does."""
        patches, patches_for_state = self.patches, self.patches_for_state
        return StreamPositions(
            image_for_image=self.pose.then(patches, patches.rows(patch_index)),
            state_for_image=self.state_for_image,
            image_for_state=self.pose_for_state.then(
                patches_for_state, patches_for_state.rows(patch_index)
            ),
            state_for_state=self.state_for_state,
        )


def patch_positions(grid: tuple[int, int]) -> Tensor:
    """Rotary positions (y, x) of the patches, row by row, [rows * columns, 2]."""
    y, x = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    return torch.stack((y, x), dim=-1).flatten(0, 1)


def state_positions(num_tokens: int) -> Tensor:
    """Rotary positions (y, x) of the state tokens, laid out in rows of an even length."""
    width = math.isqrt(num_tokens)
    width += width % 2
    index = torch.arange(num_tokens)
    return torch.stack((index // width, index % width), dim=-1)


def _memory_blocks(config: NetworkConfig) -> nn.ModuleList:
    return nn.ModuleList(
        DecoderBlock(2 * config.decoder_width, config.decoder_heads)
        for _ in range(config.memory_blocks)
    )
