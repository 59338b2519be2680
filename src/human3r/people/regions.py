"""Regions, the rotated squares that the landmark network looks at: making and comparing them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

REGION_SCALE = 1.25
"""Side of a region over the diameter of the circle about the hips that reaches above the head."""

_SHIFT, _SHIFT_PER_S = 0.08, 0.3
"""Standard deviation of a person's place in the image after some time, in sides of the region."""
_LOG_SIZE = 0.34
"""And of the logarithm of its size: a person comes nearer by a third, not twice as near."""
_SAME, _MOST_SHIFT = 7.5, 0.5
"""Squared standard deviations, and the shift, beyond which it is another person."""


@dataclass(frozen=True)
class Region:
    """A rotated square of the image that one person fills."""

    centre: np.ndarray
    """(2,) x and y in source image pixels, whole numbers at pixel centres."""
    side: float
    """Length of a side, source image pixels."""
    angle: float
    """Radians by which the person's up leans clockwise in the image; 0: upright."""

    def image_from_crop(self, size: int) -> np.ndarray:
        """(2, 3) affine map from pixels of a ``size`` x ``size`` crop to image pixels."""
        scale = self.side / size
        cos, sin = scale * np.cos(self.angle), scale * np.sin(self.angle)
        linear = np.array([[cos, -sin], [sin, cos]])
        offset = self.centre - linear @ np.full(2, (size - 1) / 2)
        return np.column_stack([linear, offset])

    def image_points(self, points_px: np.ndarray, size: int) -> np.ndarray:
        """(..., 2) source image pixels of points (..., 2) in a ``size`` x ``size`` crop."""
        matrix = self.image_from_crop(size)
        return points_px @ matrix[:, :2].T + matrix[:, 2]


def camera_axes(points: np.ndarray, region: Region) -> np.ndarray:
    """Points (..., 3) in the axes of a region's crop, turned into those of the camera."""
    cos, sin = np.cos(region.angle), np.sin(region.angle)
    turned = points.copy()
    turned[..., :2] = turned[..., :2] @ np.array([[cos, sin], [-sin, cos]])
    return turned


@dataclass(frozen=True)
class Detection:
    """A region that may hold a person."""

    region: Region
    score: float
    """0..1, as the detector gives it."""
    is_rough: bool = False
    """Whether to correct the region from the landmarks found in it, and to look again."""


def region_of_circle(centre: np.ndarray, end: np.ndarray) -> Region:
    """The square about a person's circle.

    Args:
        centre: (2,) middle of the hips, image pixels.
        end: (2,) the point of the circle above the head.
    """
    x, y = np.subtract(end, centre)
    side = 2 * REGION_SCALE * float(np.hypot(x, y))
    return Region(np.array(centre, np.float64), side, float(np.arctan2(x, -y)))


def upright_region(middle: np.ndarray, up: np.ndarray, side: float, shift: float = 0.0) -> Region:
    """The square about a part of a body.

    Args:
        middle: (2,) of the part, image pixels.
        up: (2,) what shall point up in the crop.
        side: length of a side.
        shift: how far the square lies beside the middle, upwards, of a side.
    """
    angle = float(np.arctan2(up[0], -up[1]))
    moved = middle + shift * side * np.array([np.sin(angle), -np.cos(angle)])
    return Region(np.asarray(moved, np.float64), side, angle)


def is_usable(region: Region, width: int, height: int, least_px: float = 8.0) -> bool:
    """Whether a region is finite, of a sane size and has its centre in or near the image."""
    numbers = [*region.centre, region.side, region.angle]
    if not np.isfinite(numbers).all():
        return False
    if not least_px < region.side < 8 * max(width, height):
        return False
    size = np.array([width, height])
    return bool(np.all(np.abs(2 * region.centre - size) < size + region.side))


def is_same_person(a: Region, b: Region) -> bool:
    """Whether two regions are so close and alike that they show one person."""
    near = np.hypot(*(a.centre - b.centre)) < 0.2 * max(a.side, b.side)
    return bool(near and 0.5 < a.side / b.side < 2)


def distinct(detections: list[Detection]) -> list[Detection]:
    """Detections by descending score, without duplicates."""
    kept: list[Detection] = []
    for found in sorted(detections, key=lambda d: -d.score):
        if not any(is_same_person(found.region, k.region) for k in kept):
            kept.append(found)
    return kept


def assigned(known: Sequence[Region], found: Sequence[Region], gap_s: float) -> dict[int, int]:
    """Which of the known people each found region shows, so that all fit best together.

    Size counts as well as place: of two who pass each other the nearer one is larger.

    Args:
        known: where people were.
        found: where somebody is now.
        gap_s: time between the two.

    Returns:
        Index into ``found`` by index into ``known``, of those who are found.
    """
    if not known or not found:
        return {}
    costs = np.array([[_mismatch(a, b, gap_s) for b in found] for a in known])
    rows, columns = linear_sum_assignment(np.minimum(costs, 10 * _SAME))
    return {int(k): int(n) for k, n in zip(rows, columns, strict=True) if costs[k, n] < _SAME}


def _mismatch(old: Region, new: Region, gap_s: float) -> float:
    """Squared standard deviations between two regions if they are one person's."""
    shift = float(np.hypot(*(old.centre - new.centre))) / max(old.side, new.side)
    if shift > _MOST_SHIFT:
        return np.inf
    size = float(np.log(old.side / new.side))
    return (shift / (_SHIFT + _SHIFT_PER_S * gap_s)) ** 2 + (size / _LOG_SIZE) ** 2
