"""What is seen of each person: the visibility test of a body model's people, fed from estimates."""

import numpy as np
import torch

from human3r.body.base import BodyModel
from human3r.tracking.visibility import BodySurface, DepthView, Sight, body_surface, see_people
from human3r.types import FrameEstimate, Intrinsics

_NUM_ROTATIONS, _NUM_COEFFICIENTS = 53, 10


class Sights:
    """Looks at the people of a stream whose bodies one model makes."""

    def __init__(self, body_model: BodyModel, joint_indices: np.ndarray) -> None:
        """Look at the rest pose.

        Args:
            body_model: that makes the estimates' people.
            joint_indices: rows of ``joints_camera`` to look at, in skeleton order.
        """
        self._joint_indices = joint_indices
        self._surface = _rest_surface(body_model, joint_indices)

    def see(
        self, estimate: FrameEstimate, depth_camera: Intrinsics, mask_threshold: float
    ) -> list[Sight]:
        """What is seen of the estimate's people, in their order.

        Args:
            estimate: one frame's result.
            depth_camera: of its depth image.
            mask_threshold: person probability from which a pixel shows a person.
        """
        is_person = estimate.person_probability >= mask_threshold
        view = DepthView(estimate.depth, is_person, depth_camera)
        return see_people(estimate.people, self._joint_indices, self._surface, view)


def _rest_surface(body_model: BodyModel, joint_indices: np.ndarray) -> BodySurface:
    standing = torch.eye(3).expand(1, _NUM_ROTATIONS, 3, 3)
    average = torch.zeros(1, _NUM_COEFFICIENTS)
    with torch.inference_mode():
        mesh = body_model(standing, average, average, torch.zeros(1, 3))
    joints = mesh.joints[0, torch.from_numpy(joint_indices)]
    return body_surface(joints.cpu().numpy(), mesh.vertices[0].cpu().numpy())
