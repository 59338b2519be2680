"""One factor on every length of an estimate."""

from dataclasses import replace

import numpy as np

from human3r.types import FrameEstimate, PersonEstimate


def scaled(
    estimate: FrameEstimate, factor: float, camera_world: np.ndarray, *, with_people: bool = True
) -> FrameEstimate:
    """The estimate in metres: points, people and camera; shape coefficients stay.

    Args:
        estimate: in network units.
        factor: metres per unit.
        camera_world: (3,) metres, where the camera is; ``factor`` times the network's place while
            the factor has not changed.
        with_people: False where people are in metres already; then ``body_scale``, which
            says how large bodies are, stays as it is.
    """
    pose = estimate.world_from_camera.copy()
    pose[:3, 3] = camera_world
    points_world = estimate.points_world
    if points_world is not None:
        from_camera = points_world - estimate.world_from_camera[:3, 3]
        points_world = (from_camera * factor + camera_world).astype(np.float32)
    covariance = estimate.camera_covariance
    if covariance is not None:
        metres = np.repeat([factor, 1.0], 3)
        covariance = covariance * np.outer(metres, metres)
    return replace(
        estimate,
        camera_covariance=covariance,
        points_camera=estimate.points_camera * np.float32(factor),
        points_world=points_world,
        world_from_camera=pose,
        people=tuple(scaled_person(person, factor) for person in estimate.people)
        if with_people
        else estimate.people,
        scale=estimate.scale * factor,
        body_scale=estimate.body_scale * factor if with_people else estimate.body_scale,
    )


def resized(points: np.ndarray, head_camera: np.ndarray, factor: float) -> np.ndarray:
    """A body of the model's own size made ``factor`` times as large about its head.

    Args:
        points: (people, points, 3) joints or vertices, their heads in metres already.
        head_camera: (people, 3) metres.
        factor: metres per unit of the network.
    """
    if factor == 1.0:
        return points
    heads = head_camera[:, None]
    return heads + (points - heads) * np.float32(factor)


def scaled_person(person: PersonEstimate, factor: float) -> PersonEstimate:
    """A body ``factor`` times as large and as far away; its image is the same."""
    size = np.float32(factor)
    return replace(
        person,
        body=replace(person.body, head_camera=person.body.head_camera * size),
        joints_camera=person.joints_camera * size,
        vertices_camera=person.vertices_camera * size,
    )
