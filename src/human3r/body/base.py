"""What a body model is: parameters of several people to joints and vertices."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor, device


@dataclass(frozen=True)
class BodyMesh:
    """Posed bodies, metres, in the frame of the root rotations and of ``head_camera``."""

    vertices: Float[Tensor, "people vertices 3"]
    """Skin vertices."""
    joints: Float[Tensor, "people joints 3"]
    """55 rotating joints, then landmarks, as ``BodyModel.joint_names`` says."""


@runtime_checkable
class BodyModel(Protocol):
    """Parameters to joints and vertices; any number of people at once, none included."""

    name: str
    """For example ``smplx_neutral``."""
    faces: np.ndarray
    """(faces, 3) int64 vertex numbers, counter-clockwise from outside."""
    num_vertices: int
    joint_names: tuple[str, ...]
    """55 rotating joints, then the landmarks the file offers (72 in SMPL-X)."""
    joint_parents: tuple[int, ...]
    """Per joint the joint it moves with; -1 for the root."""
    device: device

    def __call__(
        self,
        rotations: Float[Tensor, "people 53 3 3"],
        betas: Float[Tensor, "people 10"],
        expression: Float[Tensor, "people 10"],
        head_camera: Float[Tensor, "people 3"],
    ) -> BodyMesh:
        """Posed bodies.

        Args:
            rotations: root (body to camera), 21 body, 15 left hand, 15 right hand joints, jaw;
                each child in parent. Eyes do not rotate.
            betas: shape coefficients.
            expression: face coefficients.
            head_camera: where the head joint is, camera frame, metres.

        Returns:
            Vertices and joints in the camera frame.
        """
        ...

    def stature(self, betas: Float[Tensor, "people 10"]) -> Float[Tensor, " people"]:
        """Vertical extent of the rest pose in metres."""
        ...

    def rest_joints(self, betas: Float[Tensor, "people 10"]) -> Float[Tensor, "people 55 3"]:
        """The 55 rotating joints before posing, metres, body frame: x left, y up, z forward."""
        ...
