"""Fused people as the people of one camera, so that every writer and view takes them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from human3r.body import skeleton
from human3r.body.base import BodyModel
from human3r.geometry import invert, transform_points
from human3r.multiview.fuser import FusedPerson
from human3r.types import (
    BodyParameters,
    FrameEstimate,
    Intrinsics,
    PersonEstimate,
    TrackedPerson,
    TrackState,
)


def estimate_of_camera(
    estimate: FrameEstimate,
    view: str,
    people: Sequence[FusedPerson],
    world_from_camera: np.ndarray,
    body_model: BodyModel,
) -> FrameEstimate:
    """A camera's estimate in the shared world with the people of all cameras.

    Args:
        estimate: of this camera alone.
        view: its name.
        people: fused; whoever only this camera knows keeps the mesh they have.
        world_from_camera: (4, 4) pose in the shared world, whose z is up.
        body_model: of the streams.
    """
    tracked = tracked_in(people, world_from_camera, body_model, estimate.body_scale, view=view)
    tracked = [_with_head_px(one, estimate.source_camera) for one in tracked]
    level_from_world = np.eye(4)
    return replace(
        estimate,
        world_from_camera=np.asarray(world_from_camera, np.float64),
        level_from_world=level_from_world,
        tracked=tuple(tracked),
        people=tuple(one.person for one in tracked if one.is_measured),
        camera_covariance=None,
    )


def _with_head_px(tracked: TrackedPerson, camera: Intrinsics) -> TrackedPerson:
    """With the head's pixel, where it is unknown and the head in front of the camera."""
    person = tracked.person
    if np.isfinite(person.head_px).all() or person.body.head_camera[2] <= 0:
        return tracked
    head_px = camera.project(person.body.head_camera).astype(np.float32)
    return replace(tracked, person=replace(person, head_px=head_px))


def tracked_in(
    people: Sequence[FusedPerson],
    world_from_camera: np.ndarray,
    body_model: BodyModel,
    body_scale: float = 1.0,
    *,
    view: str = "",
) -> list[TrackedPerson]:
    """Fused people in the frame of a camera, or of anything else that has a pose.

    Args:
        people: fused.
        world_from_camera: (4, 4); the identity gives them in the world.
        body_model: makes their meshes.
        body_scale: size of bodies relative to what their shape coefficients mean.
        view: people whom only this view knows are passed on as they are, but for their number.
    """
    made = [one for one in people if not _is_own(one, view)]
    meshes = iter(_meshes(made, world_from_camera, body_model, body_scale))
    found = []
    for one in people:
        if _is_own(one, view) and one.origin is not None:
            person = replace(one.origin.person, track_id=one.number)
            found.append(replace(one.origin, number=one.number, person=person))
        else:
            found.append(_tracked(one, world_from_camera, next(meshes)))
    measured = [one for one in found if one.is_measured]
    return measured + [one for one in found if not one.is_measured]


def _is_own(person: FusedPerson, view: str) -> bool:
    return person.origin is not None and person.members[0][0] == view


def _meshes(
    people: Sequence[FusedPerson], world_from_camera: np.ndarray, body: BodyModel, scale: float
) -> list[np.ndarray]:
    """Vertices (vertices, 3) of each in the camera frame."""
    if not people:
        return []
    camera_from_world = invert(np.asarray(world_from_camera, np.float64))
    rotations = np.stack([one.rotations for one in people])
    rotations[:, 0] = camera_from_world[:3, :3] @ rotations[:, 0]
    heads = np.stack([transform_points(camera_from_world, one.head_world) for one in people])
    given = (
        rotations,
        np.stack([one.betas for one in people]),
        np.stack([one.expression for one in people]),
        heads,
    )
    with torch.inference_mode():
        tensors = [torch.from_numpy(np.asarray(x, np.float32)).to(body.device) for x in given]
        vertices = body(*tensors).vertices.cpu().numpy()
    return list(heads[:, None] + scale * (vertices - heads[:, None]))


def _tracked(
    person: FusedPerson, world_from_camera: np.ndarray, vertices: np.ndarray
) -> TrackedPerson:
    camera_from_world = invert(np.asarray(world_from_camera, np.float64))
    turn = camera_from_world[:3, :3]
    rotations = person.rotations.copy()
    rotations[0] = turn @ rotations[0]
    joints = transform_points(camera_from_world, person.joints_world)
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = turn @ person.covariance[:3, :3] @ turn.T
    covariance[3:, 3:] = turn @ person.covariance[3:, 3:] @ turn.T
    velocity = person.velocity_world
    return TrackedPerson(
        number=person.number,
        state=TrackState(person.state),
        person=PersonEstimate(
            track_id=person.number,
            score=person.score,
            head_px=np.full(2, np.nan, np.float32),
            body=BodyParameters(
                rotations.astype(np.float32),
                person.betas.astype(np.float32),
                person.expression.astype(np.float32),
                joints[skeleton.HEAD].astype(np.float32),
            ),
            joints_camera=joints.astype(np.float32),
            vertices_camera=vertices.astype(np.float32),
        ),
        velocity_camera=None if velocity is None else turn @ velocity,
        first_seen_ns=person.first_seen_ns,
        last_seen_ns=person.last_seen_ns,
        age_frames=person.age_frames,
        stature_m=person.stature_m,
        covariance=covariance.astype(np.float32).ravel(),
    )
