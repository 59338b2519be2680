"""Constant bone lengths: everybody in the mean of the first shapes seen of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from human3r.body.base import BodyModel
from human3r.scale import resized
from human3r.tracking.shape import MeanShapes
from human3r.types import FrameEstimate


class ConstantShapes:
    """Poses the people of a stream anew, each in a shape that soon stands still."""

    def __init__(self, body_model: BodyModel) -> None:
        """Nobody's shape is known yet.

        Args:
            body_model: that makes the estimates' people.
        """
        self._body_model = body_model
        self._means = MeanShapes()

    def hold(self, estimate: FrameEstimate, numbers: Sequence[int]) -> FrameEstimate:
        """The estimate with mean shapes; heads stay in their places, limbs keep their angles.

        Args:
            estimate: of one frame.
            numbers: of its people's tracks, which last longer than the network's identities.
        """
        people = estimate.people
        if not people:
            return estimate
        rotations, measured, expression, head_camera = (
            np.stack([getattr(person.body, name) for person in people])
            for name in ("rotations", "betas", "expression", "head_camera")
        )
        betas = self._means.update(numbers, measured)
        with torch.inference_mode():
            given = (rotations, betas, expression, head_camera)
            mesh = self._body_model(*(torch.from_numpy(array) for array in given))
        joints, vertices = (
            resized(found.cpu().numpy(), head_camera, estimate.scale)
            for found in (mesh.joints, mesh.vertices)
        )
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
