"""Noise and colours that skin, hair and cloth are painted with."""

import cv2
import numpy as np


def cloud_noise(rng: np.random.Generator, side: int, cells: tuple[int, ...]) -> np.ndarray:
    """(side, side) float32 noise of several sizes, mean 0, deviation 1, seamless.

    Args:
        rng: source of chance.
        side: pixels, a multiple of every size.
        cells: how many cells of noise lie along a side, from coarse to fine.
    """
    total = np.zeros((side, side), np.float32)
    for count in cells:
        coarse = np.pad(rng.random((count, count), np.float32), 2, mode="wrap")
        scale = side // count
        fine = cv2.resize(coarse, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += fine[2 * scale : 2 * scale + side, 2 * scale : 2 * scale + side] * count**-0.6
    return (total - total.mean()) / (total.std() + 1e-6)


def random_color(
    rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]
) -> np.ndarray:
    """(3,) 0..255, any hue."""
    hue, s, v = rng.random() * 6, rng.uniform(*saturation), rng.uniform(*value)
    wheel = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return 255 * v * (1 - s + s * wheel)
