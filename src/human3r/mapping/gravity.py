"""Gravity from the surfaces of the scene: floors and ceilings lie across it, walls stand along it.

One image is enough, and nobody need be in it. An image of a single wall says nothing, for gravity
may point anywhere within the wall; how firm the answer is shows in how the normals spread.
"""

import math
from collections import deque

import cv2
import numpy as np
from jaxtyping import Bool, Float

from human3r.types import FrameEstimate

IMAGE_TOP = np.array([0.0, -1.0, 0.0])
"""Up of a camera that is held level, where the search begins."""
_TOLERANCES_RAD = (math.radians(45),) * 4 + (math.radians(15),) * 4
"""How far a normal may be from level or upright to have a say, from round to round."""
_MIN_FIRMNESS = 0.3
"""Of 14 rendered rooms and lots, those firmer than this were 0.4 to 3.7 degrees off, and one 11."""
_STEPS_PER_HEIGHT = 40
"""Neighbours that span a normal are this share of the image's height apart."""
_STRIDE = 3
"""Pixels from one normal to the next."""
_NORMALS_PER_FRAME, _MIN_NORMALS = 200, 50
_MEMORY_FRAMES, _EVERY_FRAMES = 12, 3
_PERSON_PROBABILITY = 0.3
_MAX_RELATIVE_STEP = 0.25
"""Depth that varies more than this around a pixel is an edge, and no surface."""


class GravityFinder:
    """Collects normals of the scene and tells where up is.

    Attributes:
        up_world: (3,) unit vector opposite to gravity, world frame; None while surfaces do not
            say it.
    """

    def __init__(self) -> None:
        """Nothing was seen."""
        self.up_world: np.ndarray | None = None
        self._normals: deque[np.ndarray] = deque(maxlen=_MEMORY_FRAMES)
        self._frames = 0

    def add(self, estimate: FrameEstimate) -> None:
        """One more frame; of a few in a row with a scene only the first is looked at."""
        if not estimate.has_scene:
            return
        self._frames += 1
        if (self._frames - 1) % _EVERY_FRAMES:
            return
        is_scene = estimate.person_probability < _PERSON_PROBABILITY
        normals = surface_normals(estimate.points_camera, is_scene)
        normals = normals[:: max(1, len(normals) // _NORMALS_PER_FRAME)]
        if len(normals) < _MIN_NORMALS:
            return
        world_from_camera = estimate.world_from_camera[:3, :3]
        self._normals.append(normals @ world_from_camera.T)
        level_up = world_from_camera @ IMAGE_TOP
        start = level_up if self.up_world is None else self.up_world
        up, firmness = up_from_normals(np.concatenate(self._normals), start)
        self.up_world = up if firmness > _MIN_FIRMNESS else None


def surface_normals(
    points_camera: Float[np.ndarray, "height width 3"], usable: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "normals 3"]:
    """Unit normals where the points make a smooth surface, towards the camera or away from it.

    Args:
        points_camera: one per pixel, any unit; a depth of zero or NaN where there is none.
        usable: where a point belongs to the scene.
    """
    step = max(1, len(points_camera) // _STEPS_PER_HEIGHT)
    points = np.nan_to_num(points_camera, posinf=0.0, neginf=0.0)
    rows, columns = (np.arange(step, size - step, _STRIDE)[:, None] for size in usable.shape)
    columns = columns.T
    right = points[rows, columns + step] - points[rows, columns - step]
    down = points[rows + step, columns] - points[rows - step, columns]
    normals = np.cross(right, down)
    lengths = np.linalg.norm(normals, axis=-1)
    smooth = _is_smooth(np.where(usable, points[..., 2], 0.0), step)
    keep = smooth[rows, columns] & (lengths > 0)
    return normals[keep] / lengths[keep, None]


def _is_smooth(depth: np.ndarray, step: int) -> np.ndarray:
    """Where all depths around are known, and much the same."""
    around = np.ones((2 * step + 1, 2 * step + 1), np.uint8)
    nearest, farthest = cv2.erode(depth, around), cv2.dilate(depth, around)
    return (nearest > 0) & (farthest < (1 + _MAX_RELATIVE_STEP) * nearest)


def up_from_normals(
    normals: Float[np.ndarray, "normals 3"], start: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "3"], float]:
    """The direction along which most normals lie, or across which they lie.

    Args:
        normals: unit.
        start: unit, within 45 degrees of the answer.

    Returns:
        Unit vector, on the side of ``start``, and how firm it is: 0 where another direction would
        do as well, 1 where all normals are along it.

    Source: Gupta, Arbelaez and Malik 2013 (Perceptual organization and recognition of indoor
    scenes from RGB-D images), section 3.2.
    """
    up, firmness = np.asarray(start, np.float64), 0.0
    for tolerance_rad in _TOLERANCES_RAD:
        along = np.abs(normals @ up)
        level = normals[along > math.cos(tolerance_rad)]
        upright = normals[along < math.sin(tolerance_rad)]
        scatter = (upright.T @ upright - level.T @ level) / len(normals)
        values, axes = np.linalg.eigh(scatter)
        up = axes[:, 0] if axes[:, 0] @ up > 0 else -axes[:, 0]
        firmness = float(values[1] - values[0])
    return up, firmness
