"""The level frame of the running world: found once, kept until the next reset of the world."""

import numpy as np
from human3r_msgs.msg import FrameStatus

from human3r.config import Settings
from human3r.mapping.ground import FloorFinder
from human3r.mapping.level import level_from_up
from human3r.types import FrameEstimate
from human3r_ros import transforms

_SOURCES = {
    "camera": FrameStatus.LEVEL_CAMERA,
    "tf": FrameStatus.LEVEL_TF,
    "floor": FrameStatus.LEVEL_FLOOR,
}


class Level:
    """level_from_world, from whatever ``level.source`` names."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.begin_world()

    def begin_world(self) -> None:
        """The network's world begins anew: what is level has to be found again."""
        self.level_from_world: np.ndarray | None = None
        """(4, 4); None until it is found."""
        self._floor = FloorFinder(self._settings.scene)
        if self._settings.level.source == "camera":
            self.level_from_world = transforms.level_from_world(self._settings.level.pitch_rad)

    @property
    def source(self) -> int:
        """FrameStatus.LEVEL_*: what the level frame rests on; LEVEL_NONE until it is found."""
        if self.level_from_world is None:
            return FrameStatus.LEVEL_NONE
        return _SOURCES[self._settings.level.source]

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

    def see(self, estimate: FrameEstimate, anchor_from_camera: np.ndarray | None) -> None:
        """Look at one more frame, as long as the level frame is not known.

        Args:
            estimate: of the frame.
            anchor_from_camera: (4, 4) pose of the camera in ``frames.anchor`` at its stamp, where
                TF knows it.
        """
        if self.level_from_world is not None:
            return
        if self._settings.level.source == "floor":
            up_world = self._floor.see(estimate)
            self.level_from_world = None if up_world is None else level_from_up(up_world)
        elif anchor_from_camera is not None:
            world_from_anchor = estimate.world_from_camera[:3, :3] @ anchor_from_camera[:3, :3].T
            self.level_from_world = level_from_up(world_from_anchor[:, 2])
