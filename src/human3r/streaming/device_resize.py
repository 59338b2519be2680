"""Pillow's resize as two matrix products, for images that are on a GPU already."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

_COEFFICIENT_BITS = 22
"""Pillow computes 8-bit images with whole-number coefficients of so many binary places."""


def resize(
    image: UInt8[Tensor, "height width 3"], width_px: int, height_px: int, *, lanczos: bool
) -> UInt8[Tensor, "new_height new_width 3"]:
    """The image as ``PIL.Image.resize`` gives it, Lanczos or bicubic.

    Occasionally a value differs by one, where a sum falls halfway between two.

    Source: the two passes (width, then height, rounded in between) of Pillow's resampling.
    """
    height, width = image.shape[:2]
    name, device = ("lanczos" if lanczos else "bicubic"), str(image.device)
    rows = torch.einsum("ow,hwc->hoc", resize_matrix(width, width_px, name, device), image.float())
    pixels = torch.einsum(
        "oh,hwc->owc", resize_matrix(height, height_px, name, device), _rounded(rows)
    )
    return _rounded(pixels).to(torch.uint8)


def _rounded(values: Tensor) -> Tensor:
    return (values + 0.5).floor().clamp(0, 255)


@lru_cache(maxsize=8)
def resize_matrix(
    old_px: int, new_px: int, filter_name: str, device: str
) -> Float[Tensor, "new old"]:
    """What each new pixel takes of each old one, along one side."""
    kernel, support = _FILTERS[filter_name]
    scale = old_px / new_px
    stretch = max(scale, 1.0)
    matrix = np.zeros((new_px, old_px))
    for row in range(new_px):
        centre = (row + 0.5) * scale
        first = max(0, int(centre - support * stretch + 0.5))
        end = min(old_px, int(centre + support * stretch + 0.5))
        shares = kernel((np.arange(first, end) - centre + 0.5) / stretch)
        matrix[row, first:end] = shares / shares.sum()
    whole = 1 << _COEFFICIENT_BITS
    matrix = np.trunc(matrix * whole + np.copysign(0.5, matrix)) / whole
    # An ordinary tensor, since it outlives the call that happens to make it.
    with torch.inference_mode(False):
        return torch.from_numpy(matrix.astype(np.float32)).to(device)


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def _bicubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


_FILTERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "lanczos": (_lanczos, 3.0),
    "bicubic": (_bicubic, 2.0),
}
