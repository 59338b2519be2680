"""The axes an export can be in, and which way is up in a result."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from human3r.export.result import Result
from human3r.geometry import transform_points
from human3r.mapping.ground import up_from_floor
from human3r.mapping.level import level_from_up

AXES = {
    "camera": "metres; x right, y down, z forward of the first camera; origin: the first camera",
    "level": "metres; x where the first camera looked, y left, z up; origin: the first camera",
    "yup": "metres; x right, y up, z backward of the first camera, levelled; origin: the first "
    "camera",
}
"""What each ``--world`` means, in the words that go into the files."""

_YUP_FROM_LEVEL = np.array([[0.0, -1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
_SOLES = ("left_heel", "right_heel", "left_big_toe", "right_big_toe")
_HEAD, _ANKLES = 15, (7, 8)
_LIFTED_M = 0.08
"""A foot this much above the lower one is not on the floor."""


@dataclass(frozen=True)
class World:
    """Axes of an export."""

    name: str
    """``camera``, ``level`` or ``yup``."""
    axes: str
    """The same in words, for files."""
    from_world: Float[np.ndarray, "4 4"]
    """Takes coordinates of the result's world into these axes."""
    up_source: str
    """What says where up is: ``floor``, ``camera`` or, where up does not matter, ``none``."""


def choose_world(result: Result, name: str, up: str = "auto") -> World:
    """The axes called ``name`` for a result.

    Args:
        result: of a run.
        name: a key of ``AXES``.
        up: ``floor``: normal of the plane under people's feet; ``camera``: as the settings of the
            run say; ``auto``: ``camera`` where the settings name a tilt, else ``floor`` where one
            was seen, else ``camera``.
    """
    if name == "camera":
        return World(name, AXES[name], np.eye(4), "none")
    floor = floor_up(result) if up == "floor" or (up == "auto" and not result.is_up_set) else None
    level = level_from_up(result.up_world if floor is None else floor)
    matrix = level if name == "level" else _YUP_FROM_LEVEL @ level
    return World(name, AXES[name], matrix, "camera" if floor is None else "floor")


def floor_up(result: Result) -> Float[np.ndarray, "3"] | None:
    """Unit vector opposite to gravity in the result's world; None where no floor can be told.

    The scene's points around people's feet say it, as in ``mapping.ground``.
    """
    joints = _joints_world(result)
    good = np.isfinite(joints).all(axis=(1, 2))
    joints = joints[good]
    if len(joints) == 0:
        return None
    lean = _lean(joints)
    return up_from_floor(result.points_world, _soles(joints, result.joint_names, lean), lean)


def _joints_world(result: Result) -> np.ndarray:
    pose = result.world_from_camera[result.frame]
    joints = result.joints_camera.astype(np.float64)
    return joints @ pose[:, :3, :3].transpose(0, 2, 1) + pose[:, None, :3, 3]


def _lean(joints: np.ndarray) -> np.ndarray:
    leans = joints[:, _HEAD] - joints[:, list(_ANKLES)].mean(axis=1)
    lean = np.median(leans / np.linalg.norm(leans, axis=1, keepdims=True).clip(1e-9), axis=0)
    return lean / max(float(np.linalg.norm(lean)), 1e-9)


def _soles(joints: np.ndarray, names: tuple[str, ...], lean: np.ndarray) -> np.ndarray:
    """Points of feet on the floor; a body model without landmarks offers its ankles."""
    numbers = [names.index(name) for name in _SOLES if name in names] or list(_ANKLES)
    feet = joints[:, numbers]
    height = feet @ lean
    return feet[height - height.min(axis=1, keepdims=True) < _LIFTED_M]


def moved(matrix: Float[np.ndarray, "4 4"], points: np.ndarray) -> np.ndarray:
    """Points (..., 3) in other axes, in double precision."""
    return transform_points(matrix, points.astype(np.float64))
