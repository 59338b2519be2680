"""Velocities by least squares, and people moved on by them."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from human3r.geometry.rigid import invert, transform_points
from human3r.types import PersonEstimate


def fit_velocity(
    stamps_ns: Int[np.ndarray, " samples"], places_m: Float[np.ndarray, "samples 3"]
) -> Float[np.ndarray, "3"]:
    """The velocity of the straight line that fits places over time best, in m/s.

    Args:
        stamps_ns: at least two different stamps.
        places_m: where it was then, in one frame that stands still.

    Source: ordinary least squares; the slope of a line.
    """
    # Relative to the last stamp first: absolute nanoseconds do not fit a float.
    times_s = (stamps_ns - stamps_ns[-1]) * 1e-9
    times_s = times_s - times_s.mean()
    return times_s @ (places_m - places_m.mean(axis=0)) / (times_s @ times_s)


def camera_from_past(
    world_from_camera: Float[np.ndarray, "4 4"],
    world_from_past_camera: Float[np.ndarray, "4 4"],
    moved_world_m: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "4 4"]:
    """Takes what a camera saw then to where it should be for the camera of now.

    Args:
        world_from_camera: pose now.
        world_from_past_camera: pose then.
        moved_world_m: how far it went since, along the world's axes; it does not turn.
    """
    world_from_past = world_from_past_camera.copy()
    world_from_past[:3, 3] += moved_world_m
    return invert(world_from_camera) @ world_from_past


def move(person: PersonEstimate, a_from_b: Float[np.ndarray, "4 4"]) -> PersonEstimate:
    """A person in b as a person in a, unchanged in pose; the head's pixel is unknown then."""
    body = person.body
    rotations = body.rotations.copy()
    rotations[0] = a_from_b[:3, :3] @ rotations[0]
    return replace(
        person,
        head_px=np.full(2, np.nan, np.float32),
        body=replace(
            body, rotations=rotations, head_camera=transform_points(a_from_b, body.head_camera)
        ),
        joints_camera=transform_points(a_from_b, person.joints_camera),
        vertices_camera=transform_points(a_from_b, person.vertices_camera),
    )
