"""Where tokens are: rotary tables of one image size, made once and kept."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.model.decoder import StreamPositions
from human3r.model.layers import RotaryTable
from human3r.model.variants import NetworkConfig

POSE_POSITION = -1
"""Rotary position of the camera token, in y and x."""


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
