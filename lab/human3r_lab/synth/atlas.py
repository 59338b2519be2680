"""Many square textures with their mip levels in one array that a kernel can read."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from human3r.errors import InputError
from human3r_lab.synth.compiler import kernel

MAX_LEVELS = 9
"""From 256 texels a side down to one."""

_STEPS = np.arange(256) / 255.0
LINEAR_FROM_SRGB = np.where(
    _STEPS <= 0.04045, _STEPS / 12.92, ((_STEPS + 0.055) / 1.055) ** 2.4
).astype(np.float32)
"""(256,) linear light of an sRGB byte (IEC 61966-2-1)."""


def srgb_from_linear(light: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] as sRGB bytes, same shape (IEC 61966-2-1)."""
    light = np.clip(light, 0.0, 1.0)
    curve = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (curve * 255.0 + 0.5).astype(np.uint8)


SRGB_FROM_LINEAR = srgb_from_linear(np.linspace(0, 1, 4096))
"""(4096,) uint8: the sRGB byte of linear light in equal steps from 0 to 1."""


class Atlas(NamedTuple):
    """Textures one after the other, each level after the next larger one."""

    texels: np.ndarray
    """(texels,) uint32: red, green and blue sRGB bytes from the lowest up; as small as can be,
    because reading them is mostly waiting for memory."""
    first: np.ndarray
    """(textures, MAX_LEVELS) int32: where a level begins; past the last level, the last."""
    size: np.ndarray
    """(textures,) int32: texels per side of level 0."""
    last: np.ndarray
    """(textures,) int32: the level of one texel."""


def pack_textures(textures: Sequence[np.ndarray]) -> Atlas:
    """Build the levels of every texture; halving averages light, not sRGB numbers.

    Raises:
        InputError: a texture is not (S, S, 3) uint8 with S a power of two up to 256.
    """
    levels: list[np.ndarray] = []
    first = np.zeros((len(textures), MAX_LEVELS), np.int32)
    size = np.zeros(len(textures), np.int32)
    place = 0
    for index, texture in enumerate(textures):
        side = len(texture)
        if texture.shape != (side, side, 3) or texture.dtype != np.uint8 or not _is_side(side):
            raise InputError(
                f"texture {index}: expected (S, S, 3) uint8 with S a power of two up to 256, got "
                f"{texture.shape} {texture.dtype}. Resize it."
            )
        size[index] = side
        for level in range(MAX_LEVELS):
            if side >> level > 0:
                if level > 0:
                    half = np.empty((side >> level, side >> level, 3), np.uint8)
                    _halve(texture, LINEAR_FROM_SRGB, SRGB_FROM_LINEAR, half)
                    texture = half
                levels.append(_packed(texture))
                first[index, level] = place
                place += len(levels[-1])
            else:
                first[index, level] = first[index, level - 1]
    return Atlas(np.concatenate(levels), first, size, np.log2(size).astype(np.int32))


def _packed(texture: np.ndarray) -> np.ndarray:
    bytes_ = np.zeros((texture.shape[0] * texture.shape[1], 4), np.uint8)
    bytes_[:, :3] = texture.reshape(-1, 3)
    return bytes_.view("<u4")[:, 0]


def _is_side(side: int) -> bool:
    return 1 <= side <= 2 ** (MAX_LEVELS - 1) and side & (side - 1) == 0


@kernel()
def _halve(texture, linear, curve, half):
    """Fill ``half`` with the means of two by two texels, in linear light."""
    steps = len(curve) - 1
    for row in range(half.shape[0]):
        for column in range(half.shape[1]):
            for c in range(3):
                light = (
                    linear[texture[2 * row, 2 * column, c]]
                    + linear[texture[2 * row, 2 * column + 1, c]]
                    + linear[texture[2 * row + 1, 2 * column, c]]
                    + linear[texture[2 * row + 1, 2 * column + 1, c]]
                )
                half[row, column, c] = curve[int(light * (steps / 4.0) + 0.5)]
