"""Constant bone lengths: everybody in the mean of all shapes seen of them."""

from dataclasses import replace

import numpy as np
import torch

from human3r.body.base import BodyModel
from human3r.tracking.shape import MeanShapes
from human3r.types import FrameEstimate


class ConstantShapes:
    """Poses the people of a stream anew, each in a shape that hardly changes any more."""

    def __init__(self, body_model: BodyModel) -> None:
        """Nobody's shape is known yet.

        Args:
            body_model: that makes the estimates' people.
        """
        self._body_model = body_model
        self._means = MeanShapes()

    def hold(self, estimate: FrameEstimate) -> FrameEstimate:
        """The estimate with mean shapes; heads stay in their places, limbs keep their angles."""
        people = estimate.people
        if not people:
            return estimate
        rotations, measured, expression, head_camera = (
            np.stack([getattr(person.body, name) for person in people])
            for name in ("rotations", "betas", "expression", "head_camera")
        )
        betas = self._means.update([person.track_id for person in people], measured)
        with torch.inference_mode():
            given = (rotations, betas, expression, head_camera)
            mesh = self._body_model(*(torch.from_numpy(array) for array in given))
        joints, vertices = mesh.joints.cpu().numpy(), mesh.vertices.cpu().numpy()
        posed = [
            replace(
                person,
                body=replace(person.body, betas=betas[i]),
                joints_camera=joints[i],
                vertices_camera=vertices[i],
            )
            for i, person in enumerate(people)
        ]
        return replace(estimate, people=tuple(posed))
