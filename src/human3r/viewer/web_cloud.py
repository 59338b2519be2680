"""Clouds as pages show them: closed surfaces, and nothing left over in front of people."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from human3r.body.skeleton import JOINT_PARENTS

_SIZES_M = (0.01, 0.12)
_OVER_GAPS = 1.3
"""Points are drawn so many times as large as they are apart, so that surfaces close."""
_REACH_M = 0.3
"""Hair, clothes, and a depth that lies a little before the body."""
_ABOVE_FEET_M = 0.12
"""The floor stays."""
_AROUND_FEET_M, _THICK_M = 0.45, 0.15
"""A floor of points is so thick that feet would be in it."""
_BODY = np.arange(1, 22)
_PARENTS = np.array(JOINT_PARENTS)[_BODY]


def point_size_m(points: Float[np.ndarray, "points 3"]) -> float:
    """From how far the points of a cloud are apart."""
    if len(points) < 2:
        return _SIZES_M[0]
    some = points[:: max(1, len(points) // 2000)]
    gaps, _ = cKDTree(points).query(some, k=2)
    return float(np.clip(_OVER_GAPS * np.median(gaps[:, 1]), *_SIZES_M))


def is_away_from_people(
    points: Float[np.ndarray, "points 3"], joints: Float[np.ndarray, "bodies 55 3"]
) -> Bool[np.ndarray, " points"]:
    """Which points are no remains of people: away from all bodies, or at their feet.

    Masks of people are never complete. What they miss would stand in front of the bodies for good.

    Args:
        points: z up, metres.
        joints: of all people at every moment, in the same axes.
    """
    away = np.ones(len(points), bool)
    if not len(joints) or not len(points):
        return away
    body = joints[:, _BODY]
    places = np.concatenate([body, (body + joints[:, _PARENTS]) / 2], axis=1).reshape(-1, 3)
    feet_m = np.median(joints[:, _BODY, 2].min(axis=1))
    high = np.flatnonzero(points[:, 2] > feet_m + _ABOVE_FEET_M)
    distance_m, _ = cKDTree(places).query(points[high], distance_upper_bound=_REACH_M)
    away[high] = ~np.isfinite(distance_m)
    return away


def below_soles(
    points: Float[np.ndarray, "points 3"], soles: Float[np.ndarray, "places 3"], size_m: float
) -> Float[np.ndarray, "points 3"]:
    """The points, with the floor that people stand on no higher than their soles.

    A floor of points is some centimetres thick, and people are placed as precisely: their feet
    would be hidden in it.

    Args:
        points: z up, metres.
        soles: where people stood: below the pelvis, at the height of the soles, in the same axes.
        size_m: of the points as they are drawn.
    """
    if not len(points) or not len(soles):
        return points
    distance_m, nearest = cKDTree(soles[:, :2]).query(
        points[:, :2], distance_upper_bound=_AROUND_FEET_M
    )
    near = np.flatnonzero(np.isfinite(distance_m))
    top = soles[nearest[near], 2] - size_m / 2
    height = points[near, 2]
    lowered = np.array(points)
    lowered[near, 2] = np.where(height < top + _THICK_M, np.minimum(height, top), height)
    return lowered
