"""The level frame of a session: where up is, as a rotation of the network's world.

Also gravity from the surfaces of the scene: floors and ceilings lie across it, walls stand along
it. One image is enough, and nobody need be in it. An image of a single wall says nothing, for
gravity may point anywhere within the wall; how firm the answer is shows in how the normals spread.
"""

import math
from collections import deque

import cv2
import numpy as np
from jaxtyping import Bool, Float

from human3r.config import Settings
from human3r.errors import InputError
from human3r.mapping.ground import FloorFinder
from human3r.types import Frame, FrameEstimate

_FORWARD = np.array([0.0, 0.0, 1.0])
_STEEP = 0.05
"""Length of the level part of the viewing direction below which it gives no heading (3 degrees)."""
_MEASURED = ("tf", "floor")
"""Values of ``level.source`` that know where up is; camera only assumes it."""
_LEVEL_FROM_UNTILTED = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Camera axes (x right, y down, z ahead) as level axes (x ahead, y left, z up)."""

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


class LevelFrame:
    """level_from_world, from whatever ``level.source`` names; found once, kept until a reset.

    Attributes:
        level_from_world: (4, 4); None until it is found.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.restart()

    def restart(self) -> None:
        """The network's world begins anew: what is level has to be found again."""
        self.level_from_world: np.ndarray | None = None
        self._floor = FloorFinder(self._settings.scene)
        self._gravity = GravityFinder()
        if self._settings.level.source == "camera":
            self.level_from_world = level_from_pitch(self._settings.level.pitch_rad)

    @property
    def source(self) -> str:
        """What the level frame rests on: camera, tf or floor; empty until it is found."""
        return "" if self.level_from_world is None else self._settings.level.source

    @property
    def is_measured(self) -> bool:
        """Whether the level frame is known, and not only assumed."""
        return self.level_from_world is not None and self._settings.level.source in _MEASURED

    @property
    def up_world(self) -> Float[np.ndarray, "3"] | None:
        """Unit vector opposite to gravity in the world frame; None while it is unknown.

        Of the level frame where that is measured, else as surfaces of the scene say.
        """
        if self.level_from_world is not None and self.is_measured:
            return self.level_from_world[2, :3]
        return self._gravity.up_world

    def up_camera(
        self, world_from_camera: Float[np.ndarray, "4 4"]
    ) -> Float[np.ndarray, "3"] | None:
        """Unit vector up in a camera's frame; None while it is unknown.

        Where nothing has shown it yet, as the level frame assumes it.
        """
        up_world = self.up_world
        if up_world is None and self.level_from_world is not None:
            up_world = self.level_from_world[2, :3]
        return None if up_world is None else world_from_camera[:3, :3].T @ up_world

    @property
    def waiting(self) -> str:
        """Why there is no level frame yet; empty when there is."""
        if self.level_from_world is not None:
            return ""
        if self._settings.level.source == "floor":
            return (
                f"level.source is floor and {self._floor.progress}; expected people standing in "
                "view, feet included. Show some, or use level.source camera or tf"
            )
        return "level.source is tf, and the robot's TF has not said yet where up is"

    def look_at_surfaces(self, estimate: FrameEstimate) -> None:
        """Let the scene of a frame say where up is, as long as nothing has measured it.

        Args:
            estimate: in any unit of length; its people need not be known yet.
        """
        if not self.is_measured:
            self._gravity.add(estimate)

    def update(self, frame: Frame, estimate: FrameEstimate) -> None:
        """Look at one more frame, as long as the level frame is not known.

        Args:
            frame: asks the robot, where ``level.source`` is tf.
            estimate: of the frame.
        """
        if self.level_from_world is not None:
            return
        if self._settings.level.source == "floor":
            up_world = self._floor.add(estimate)
            self.level_from_world = None if up_world is None else level_from_up(up_world)
        elif frame.anchor_from_camera is not None:
            anchor_from_camera = frame.anchor_from_camera()
            if anchor_from_camera is not None:
                world_from_camera = estimate.world_from_camera[:3, :3]
                world_from_anchor = world_from_camera @ anchor_from_camera[:3, :3].T
                self.level_from_world = level_from_up(world_from_anchor[:, 2])


def level_from_pitch(pitch_rad: float) -> Float[np.ndarray, "4 4"]:
    """level_from_world (4, 4), rotation only, of a first camera without roll.

    Args:
        pitch_rad: tilt of that camera, positive looks down.
    """
    cos, sin = math.cos(pitch_rad), math.sin(pitch_rad)
    tilt = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    matrix = np.eye(4)
    matrix[:3, :3] = tilt @ _LEVEL_FROM_UNTILTED
    return matrix


def level_from_up(up_world: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """level_from_world: rotation only; z along ``up_world``, x along the first camera's heading.

    A first camera that looks straight down or up has no heading; then the top of its image,
    seen from above, takes the place of it.

    Args:
        up_world: opposite of gravity in the world frame, any length.

    Raises:
        InputError: ``up_world`` is zero or not finite.
    """
    length = float(np.linalg.norm(up_world))
    if not np.isfinite(length) or length < 1e-9:
        raise InputError(f"up_world is {up_world}; expected a direction. Look for the floor again.")
    z = np.asarray(up_world, np.float64) / length
    heading = _FORWARD - z * (z @ _FORWARD)
    if np.linalg.norm(heading) < _STEEP:
        top = IMAGE_TOP if z @ _FORWARD < 0 else -IMAGE_TOP
        heading = top - z * (z @ top)
    x = heading / np.linalg.norm(heading)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([x, np.cross(z, x), z])
    return matrix


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


def _is_smooth(depth: np.ndarray, step: int) -> np.ndarray:
    """Where all depths around are known, and much the same."""
    around = np.ones((2 * step + 1, 2 * step + 1), np.uint8)
    nearest, farthest = cv2.erode(depth, around), cv2.dilate(depth, around)
    return (nearest > 0) & (farthest < (1 + _MAX_RELATIVE_STEP) * nearest)
