"""What the surroundings of a stream know about metres: the robot's poses, depth, its height."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def _unknown(stamp_ns: int) -> None:
    return None


def _no_height() -> float:
    return 0.0


def _nothing_wrong() -> str:
    return ""


@dataclass(frozen=True)
class ScaleSources:
    """Callables that a node fills in; by default nothing is known."""

    pose_at: Callable[[int], np.ndarray | None] = _unknown
    """(4, 4) anchor_from_camera in metres at a stamp, by the robot's own odometry; None while it is
    not known. Never extrapolated."""
    depth_at: Callable[[int], Callable[[np.ndarray], np.ndarray] | None] = _unknown
    """What measures depth in the image of a stamp: takes pixels (n, 2) of the source image, gives
    metres (n,) along the optical axis, NaN where there is none. None while no depth has come."""
    camera_height_m: Callable[[], float] = _no_height
    """Height of the camera above the floor by the robot's own model; 0 while it is not known."""
    trouble: Callable[[], str] = _nothing_wrong
    """Why ``pose_at`` or ``depth_at`` answers None, where that is known."""
