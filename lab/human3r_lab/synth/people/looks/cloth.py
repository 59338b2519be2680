"""Textures of clothes; all repeat, one tile is a given number of tiles per metre."""

import cv2
import numpy as np

from human3r_lab.synth.people.looks.paint import cloud_noise, random_color

SIDE = 128


def cloth_color(rng: np.random.Generator) -> np.ndarray:
    """(3,) 0..255: often white, grey, black or navy, else any."""
    kind = rng.random()
    if kind < 0.15:
        return np.full(3, rng.uniform(215, 245)) + rng.normal(0, 4, 3)
    if kind < 0.38:
        return np.full(3, rng.uniform(25, 150)) + rng.normal(0, 5, 3)
    if kind < 0.5:
        return np.array([35, 45, 75]) * rng.uniform(0.7, 1.5)
    return random_color(rng, (0.15, 0.85), (0.25, 0.95))


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side
    return rows, columns


def _finish(rng: np.random.Generator, face: np.ndarray, grain: float) -> np.ndarray:
    side = len(face)
    face = face * (1 + 0.03 * cloud_noise(rng, side, (4, 8, 16, 32))[..., None])
    face = face + rng.standard_normal((side, side, 1), np.float32) * grain
    return np.clip(face, 0, 255).astype(np.uint8)


def plain(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """One colour, slightly uneven."""
    return _finish(rng, np.tile(color, (64, 64, 1)), 2.5)


def stripes(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Level or upright stripes of two or three colours."""
    rows, columns = _grid(SIDE)
    along = rows if rng.random() < 0.75 else columns
    count, share = rng.integers(2, 9), rng.uniform(0.15, 0.6)
    second = cloth_color(rng)
    face = np.where(((along * count) % 1 < share)[..., None], second, color)
    if rng.random() < 0.3:
        face = np.where(((along * count + 0.3) % 1 < 0.1)[..., None], cloth_color(rng), face)
    return _finish(rng, face, 2.5)


def plaid(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Crossing bands."""
    rows, columns = _grid(SIDE)
    count = int(rng.integers(2, 7))
    mix = ((columns * count) % 1 < 0.4) * 0.5 + ((rows * count) % 1 < 0.4) * 0.5
    face = color + (cloth_color(rng) - color) * mix[..., None]
    thin = ((columns * count + 0.3) % 1 < 0.07) | ((rows * count + 0.3) % 1 < 0.07)
    face[thin] = cloth_color(rng)
    return _finish(rng, face, 3)


def dots(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Spots in a shifted grid."""
    rows, columns = _grid(SIDE)
    count = int(rng.integers(3, 8))
    shifted = columns * count + 0.5 * (np.floor(rows * 2 * count) % 2)
    away = np.hypot(shifted % 1 - 0.5, (rows * 2 * count % 1 - 0.5) / 2)
    face = np.where((away < rng.uniform(0.1, 0.22))[..., None], cloth_color(rng), color)
    return _finish(rng, face, 2.5)


def camouflage(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Large irregular patches; flowers when the colours happen to be bright."""
    noise = cloud_noise(rng, SIDE, (4, 8, 16))
    palette = np.stack([color, cloth_color(rng), cloth_color(rng), color * 0.6])
    return _finish(rng, palette[np.digitize(noise, [-0.5, 0.3, 1.0])], 3)


def denim(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Blue or black twill with worn places."""
    base = np.array([62, 80, 122]) * rng.uniform(0.45, 1.5)
    if rng.random() < 0.25:
        base = np.full(3, rng.uniform(30, 80))
    rows, columns = _grid(SIDE)
    twill = np.sin(2 * np.pi * 32 * (rows + columns))[..., None] * 5
    worn = 1 + 0.06 * cloud_noise(rng, SIDE, (4, 8))[..., None]
    return _finish(rng, base * worn + twill, 5)


def knit(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Ribs."""
    rows, columns = _grid(SIDE)
    count = int(rng.integers(10, 24))
    ribs = np.sin(2 * np.pi * count * columns) * 14 + np.sin(2 * np.pi * 2 * count * rows) * 5
    return _finish(rng, color + ribs[..., None], 4)


def printed(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """A picture or lettering on the chest; one tile is a metre, its middle column in front."""
    face = np.tile(color, (256, 256, 1)).astype(np.float32)
    ink = cloth_color(rng)
    top, width = int(rng.integers(18, 40)), int(rng.integers(30, 64))
    height = int(rng.integers(14, 70))
    left, right = 128 - width // 2, 128 + width // 2
    kind = rng.integers(3)
    if kind == 0:
        cv2.rectangle(face, (left, top), (right, top + height), ink.tolist(), -1)
        cv2.circle(face, (128, top + height // 2), height // 3, cloth_color(rng).tolist(), -1)
    elif kind == 1:
        cv2.ellipse(face, (128, top + 30), (width // 2, height // 2), 0, 0, 360, ink.tolist(), -1)
    else:
        for row in range(top, top + height, int(rng.integers(7, 13))):
            start = left
            while start < right:
                end = min(right, start + int(rng.integers(4, 14)))
                cv2.rectangle(face, (start, row), (end, row + 4), ink.tolist(), -1)
                start = end + 3
    return _finish(rng, face, 2.5)


PATTERNS = (plain, plain, plain, stripes, stripes, plaid, dots, camouflage, knit)
