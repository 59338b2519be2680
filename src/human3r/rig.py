"""Several cameras through one network, and their people in one world with one number each.

``RigPipeline`` is to several cameras what ``Pipeline`` is to one, and made of one for each:

    rig = RigPipeline.from_settings(Settings(), read_rig("cameras.yaml"))
    found = rig.step({"left": left_frame, "right": right_frame})
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from human3r.body.base import BodyModel
from human3r.config import Settings
from human3r.errors import InputError
from human3r.multiview.fuser import Fuser, MultiviewEstimate
from human3r.multiview.results import estimate_of_camera
from human3r.multiview.rig_file import RigCamera
from human3r.multiview.settings import FusionSettings
from human3r.multiview.upright import quarter_turns, turned_frame, turned_pose
from human3r.multiview.view import view_from_estimate
from human3r.pipeline import Pipeline
from human3r.types import Frame, FrameEstimate


@dataclass(frozen=True)
class RigEstimate:
    """Everything known from images of one moment."""

    fused: MultiviewEstimate
    """Each person once, in the shared world."""
    single: dict[str, FrameEstimate]
    """What each camera says by itself, in its own world."""
    cameras: dict[str, FrameEstimate]
    """Each camera's estimate in the shared world, with the people of all cameras."""
    frames: dict[str, Frame]
    """The frames as they were looked at: upright, with their calibration."""


class RigPipeline:
    """One network and body for several cameras, each with a stream of its own.

    Attributes:
        pipelines: of the cameras, by name; they share network and body model.
        cameras: as they were given.
    """

    def __init__(
        self,
        first: Pipeline,
        cameras: Mapping[str, RigCamera],
        fusion: FusionSettings | None = None,
    ) -> None:
        """Ready for the first images.

        Args:
            first: a pipeline whose network and body all cameras use; it becomes the first camera's.
            cameras: at least one.
            fusion: how views are fused.
        """
        if not cameras:
            raise InputError("no cameras are given; expected at least one. Name them with poses.")
        self.cameras = dict(cameras)
        self.pipelines: dict[str, Pipeline] = {}
        for name in self.cameras:
            is_first = not self.pipelines
            self.pipelines[name] = first if is_first else first.beside()
        self._turns = {n: quarter_turns(c.world_from_camera) for n, c in self.cameras.items()}
        self._poses = {
            name: turned_pose(camera.world_from_camera, self._turns[name])
            for name, camera in self.cameras.items()
        }
        self.fuser = Fuser(first.body_model.joint_parents, fusion)

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        cameras: Mapping[str, RigCamera],
        fusion: FusionSettings | None = None,
    ) -> "RigPipeline":
        """Load the network once; errors as of ``Pipeline.from_settings``."""
        return cls(Pipeline.from_settings(settings), cameras, fusion)

    @property
    def body_model(self) -> BodyModel:
        """Of all cameras."""
        return next(iter(self.pipelines.values())).body_model

    def step(self, frames: Mapping[str, Frame]) -> RigEstimate:
        """Images of one moment, one after the other through the network.

        Args:
            frames: by name of the camera; a camera that has nothing new is left out.

        Raises:
            InputError: no frame, an unknown camera, or as of ``Pipeline.step``.
            NonFiniteError: as of ``Pipeline.step``.
        """
        if unknown := sorted(set(frames) - set(self.cameras)):
            raise InputError(
                f"frames of {', '.join(unknown)}; expected of {', '.join(self.cameras)}. Give "
                "every camera its pose."
            )
        upright = {name: self._upright(name, frame) for name, frame in frames.items()}
        single = {name: self.pipelines[name].step(frame) for name, frame in upright.items()}
        views = [
            replace(
                view_from_estimate(name, estimate, self._poses[name]),
                stamp_ns=estimate.stamp_ns + self.offset_ns(name),
            )
            for name, estimate in single.items()
        ]
        fused = self.fuser.step(views)
        cameras = {
            name: estimate_of_camera(
                estimate, name, fused.people, self._poses[name], self.body_model
            )
            for name, estimate in single.items()
        }
        return RigEstimate(fused, single, cameras, upright)

    def pose(self, camera: str) -> np.ndarray:
        """world_from_camera (4, 4) of the upright image."""
        return self._poses[camera]

    def offset_ns(self, camera: str) -> int:
        """What is added to the stamps of a camera."""
        return round(self.cameras[camera].time_offset_s * 1e9)

    def _upright(self, name: str, frame: Frame) -> Frame:
        intrinsics = frame.intrinsics or self.cameras[name].intrinsics
        return turned_frame(replace(frame, intrinsics=intrinsics), self._turns[name])

    def close(self) -> None:
        """Give the device's memory back."""
        for pipeline in self.pipelines.values():
            pipeline.close()
