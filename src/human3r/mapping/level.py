"""The level frame of a session: where up is, as a rotation of the network's world."""

import math

import numpy as np
from jaxtyping import Float

from human3r.config import Settings
from human3r.errors import InputError
from human3r.mapping.gravity import IMAGE_TOP, GravityFinder
from human3r.mapping.ground import FloorFinder
from human3r.types import Frame, FrameEstimate

_FORWARD = np.array([0.0, 0.0, 1.0])
_STEEP = 0.05
"""Length of the level part of the viewing direction below which it gives no heading (3 degrees)."""
_MEASURED = ("tf", "floor")
"""Values of ``level.source`` that know where up is; camera only assumes it."""
_LEVEL_FROM_UNTILTED = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Camera axes (x right, y down, z ahead) as level axes (x ahead, y left, z up)."""


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
