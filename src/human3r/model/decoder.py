"""The two interleaved streams of the decoder, the pose memory beside them, and where tokens are."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from human3r.model.layers import DecoderBlock, RotaryTable
from human3r.model.variants import NetworkConfig

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
        self.masked_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.mem = nn.Parameter(torch.randn(1, slots, 2 * width) * 0.02)
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
