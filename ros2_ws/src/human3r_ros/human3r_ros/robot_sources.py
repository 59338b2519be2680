"""What a robot knows about metres: its poses and frames on TF, and a depth camera."""

from collections.abc import Callable

import numpy as np

from human3r.config import Settings
from human3r.scale import ScaleSources
from human3r.types import Frame
from human3r_ros.depth_images import DepthImages
from human3r_ros.placement import Placement
from human3r_ros.transforms import FrameTree


class RobotSources:
    """Answers the questions of ``human3r.scale`` about one stream, on the worker thread.

    Attributes:
        depths: what has come on topic depth.
    """

    def __init__(self, tree: FrameTree, placement: Placement, settings: Settings) -> None:
        """Nothing is known before the first ``see``.

        Args:
            tree: what is heard on TF.
            placement: knows where up is.
            settings: names of the robot's frames, and the largest image.
        """
        self._tree = tree
        self._placement = placement
        self.depths = DepthImages(settings.input.max_pixels)
        self._frames = settings.frames
        self._optical = ""
        self._source_size = (1, 1)
        self._raw_from_image: Callable[[np.ndarray], np.ndarray] | None = None
        self._lookup_reason = ""

    def see(self, frame: Frame) -> None:
        """The next frame, before it is scaled."""
        self._optical = frame.frame_id
        self._source_size = (frame.image.shape[1], frame.image.shape[0])
        self._raw_from_image = frame.raw_from_image

    def sources(self) -> ScaleSources:
        """The answers as callables."""
        return ScaleSources(
            pose_at=self._pose_at,
            depth_at=self._depth_at,
            camera_height_m=self._camera_height_m,
            up_camera=self._up_camera,
            trouble=lambda: self.depths.refusal or self._lookup_reason,
        )

    def _pose_at(self, stamp_ns: int) -> np.ndarray | None:
        found = self._tree.lookup(self._frames.anchor, self._optical, stamp_ns)
        self._lookup_reason = ""
        if found.reason:
            self._lookup_reason = (
                f"{found.reason}; expected the robot's odometry on TF. Check frames.anchor."
            )
        return found.target_from_source

    def _depth_at(self, stamp_ns: int) -> Callable[[np.ndarray], np.ndarray] | None:
        measure = self.depths.at(stamp_ns, self._optical, self._source_size)
        bend = self._raw_from_image
        if measure is None or bend is None:
            return measure
        return lambda pixels: measure(bend(pixels))

    def _camera_height_m(self) -> float:
        chain = self._tree.static_ancestors(self._optical)
        base = self._frames.base or chain[-1]
        if base == self._optical or base not in chain:
            return 0.0
        base_from_camera = np.linalg.inv(self._tree.camera_from_base(self._optical, base))
        return float(base_from_camera[2, 3])

    def _up_camera(self, world_from_camera: np.ndarray) -> np.ndarray | None:
        level_from_camera = self._placement.level_from_camera(world_from_camera)
        up = level_from_camera[2, :3]
        return up if np.isfinite(up).all() else None
