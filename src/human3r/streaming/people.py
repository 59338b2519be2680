"""People over time: from the people measured in single frames to everything published of them."""

from dataclasses import replace

import numpy as np
import torch

from human3r.body import skeleton
from human3r.body.base import BodyModel
from human3r.config import Settings
from human3r.scale.apply import resized
from human3r.tracking.shape import MeanShapes
from human3r.tracking.tracks import Tracker
from human3r.tracking.uncertainty import CovarianceModel, PoseUncertainty
from human3r.tracking.visibility import BodySurface, DepthView, body_surface, joint_visibility
from human3r.types import FrameEstimate, PersonEstimate, TrackedPerson

_NUM_ROTATIONS, _NUM_COEFFICIENTS = 53, 10


class StreamPeople:
    """Numbers, constant shapes, visibility and covariances of one stream's people."""

    def __init__(
        self, body_model: BodyModel, tracker: Tracker, covariance: CovarianceModel | None
    ) -> None:
        """Start without people, but for the numbers that the tracker has given out.

        Args:
            body_model: makes the estimates' people.
            tracker: numbers people; may outlive the stream.
            covariance: of the network in use; without one every covariance is unknown.
        """
        self._body_model = body_model
        self._tracker = tracker
        self._shapes = MeanShapes()
        self._joint_indices = skeleton.published_joints(tuple(body_model.joint_names))
        self._surface = _rest_surface(body_model, self._joint_indices)
        self._uncertainty = PoseUncertainty(covariance)

    def update(self, estimate: FrameEstimate, settings: Settings) -> FrameEstimate:
        """One more frame, with all people known after it in ``tracked``.

        Args:
            estimate: newer than the one before, in metres; people carry the network's identities.
            settings: as of now.

        Returns:
            The estimate; its people carry their numbers, shapes that soon stand still, and the
            pose of the camera that saw them.
        """
        if settings.people.constant_shape:
            numbers = self._tracker.assign(estimate, settings.people)
            estimate = self._with_constant_shapes(estimate, numbers)
        pose = estimate.world_from_camera
        tracked = [
            replace(one, person=replace(one.person, track_id=one.number, world_from_camera=pose))
            for one in self._tracker.update(estimate, settings.people)
        ]
        tracked = self._with_statures(tracked, estimate.body_scale)
        if settings.people.visibility:
            tracked = self._with_visibility(tracked, estimate, settings)
        found = self._uncertainty.covariances(tracked, estimate)
        tracked = [replace(one, covariance=c) for one, c in zip(tracked, found, strict=True)]
        people = tuple(one.person for one in tracked if one.is_measured)
        return replace(estimate, people=people, tracked=tuple(tracked))

    def forget(self) -> None:
        """A reset of the world: whoever comes next is new."""
        self._tracker.forget()

    def _with_constant_shapes(self, estimate: FrameEstimate, numbers: list[int]) -> FrameEstimate:
        """Bones of one length: heads stay in their places, limbs keep their angles."""
        people = estimate.people
        if not people:
            return estimate
        rotations, measured, expression, head_camera = (
            np.stack([getattr(person.body, name) for person in people])
            for name in ("rotations", "betas", "expression", "head_camera")
        )
        betas = self._shapes.update(numbers, measured)
        with torch.inference_mode():
            given = (rotations, betas, expression, head_camera)
            mesh = self._body_model(*(torch.from_numpy(array) for array in given))
        joints, vertices = (
            resized(found.cpu().numpy(), head_camera, estimate.body_scale)
            for found in (mesh.joints, mesh.vertices)
        )
        posed = (_posed(*one) for one in zip(people, betas, joints, vertices, strict=True))
        return replace(estimate, people=tuple(posed))

    def _with_statures(self, tracked: list[TrackedPerson], scale: float) -> list[TrackedPerson]:
        if not tracked:
            return []
        betas = np.stack([one.person.body.betas for one in tracked])
        with torch.inference_mode():
            statures = self._body_model.stature(torch.from_numpy(betas)) * scale
        return [
            replace(one, stature_m=stature)
            for one, stature in zip(tracked, statures.tolist(), strict=True)
        ]

    def _with_visibility(
        self, tracked: list[TrackedPerson], estimate: FrameEstimate, settings: Settings
    ) -> list[TrackedPerson]:
        measured = [one.person for one in tracked if one.is_measured]
        is_person = estimate.person_probability >= settings.scene.mask_threshold
        view = DepthView(estimate.depth, is_person, estimate.intrinsics)
        found = joint_visibility(measured, self._joint_indices, self._surface, view)
        seen = [replace(one, visibility=v) for one, v in zip(tracked, found, strict=False)]
        return seen + tracked[len(seen) :]


def _posed(
    person: PersonEstimate, betas: np.ndarray, joints: np.ndarray, vertices: np.ndarray
) -> PersonEstimate:
    body = replace(person.body, betas=betas)
    return replace(person, body=body, joints_camera=joints, vertices_camera=vertices)


def _rest_surface(body_model: BodyModel, joint_indices: np.ndarray) -> BodySurface:
    standing = torch.eye(3).expand(1, _NUM_ROTATIONS, 3, 3)
    average = torch.zeros(1, _NUM_COEFFICIENTS)
    with torch.inference_mode():
        mesh = body_model(standing, average, average, torch.zeros(1, 3))
    joints = mesh.joints[0, torch.from_numpy(joint_indices)]
    return body_surface(joints.cpu().numpy(), mesh.vertices[0].cpu().numpy())
