"""Where people may be: what the scenery tells those who place people and cameras in it.

World frame: x and y along the floor, z up, metres, floor at z = 0.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Seat:
    """Something one person can sit on."""

    place_m: np.ndarray
    """(3,) float64: centre of the seat's surface."""
    heading_rad: float
    """Where a sitter faces, about z; 0 is +x."""


class Obstacle(NamedTuple):
    """An axis-aligned box from the floor up, to stay out of."""

    low_m: np.ndarray
    """(2,) float64: smallest x and y."""
    high_m: np.ndarray
    """(2,) float64: largest x and y."""
    height_m: float


@dataclass(frozen=True)
class Stage:
    """The free floor of a scene and what stands on it."""

    low_m: np.ndarray
    """(2,) float64: smallest x and y of the walkable rectangle."""
    high_m: np.ndarray
    """(2,) float64: largest x and y of the walkable rectangle."""
    obstacles: tuple[Obstacle, ...]
    """Furniture and the like, seats included."""
    seats: tuple[Seat, ...]
    ceiling_m: float | None = None
    """Height of the ceiling; None outdoors."""
