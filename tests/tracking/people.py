"""Made-up people and frames for the tests of tracking."""

import dataclasses

import numpy as np

from human3r.config import PeopleSettings
from human3r.types import (
    BodyParameters,
    FrameEstimate,
    ImageGeometry,
    Intrinsics,
    PersonEstimate,
)

FRAME_NS = 100_000_000
SETTINGS = PeopleSettings()
CAMERA = Intrinsics(200.0, 200.0, 160.0, 120.0, 320, 240)


def with_settings(**changes) -> PeopleSettings:
    return dataclasses.replace(SETTINGS, **changes)


def person_at(place, track_id: int = 0, score: float = 0.9) -> PersonEstimate:
    """Somebody whose body's origin is at ``place``; hips 20 cm apart, head half a metre above."""
    place = np.asarray(place, np.float32)
    joints = np.tile(place, (60, 1))
    joints[1, 0] -= 0.1
    joints[2, 0] += 0.1
    body = BodyParameters(
        np.tile(np.eye(3, dtype=np.float32), (53, 1, 1)),
        np.zeros(10, np.float32),
        np.zeros(10, np.float32),
        place - np.array([0.0, 0.5, 0.0], np.float32),
    )
    return PersonEstimate(
        track_id, score, np.zeros(2, np.float32), body, joints, np.tile(place, (4, 1))
    )


def estimate_of(people, frame: int, world_from_camera=None, **changes) -> FrameEstimate:
    """Frame number ``frame``, ten per second."""
    pixels = np.zeros((2, 2, 3), np.float32)
    values = {
        "stamp_ns": 1_700_000_000_000_000_000 + frame * FRAME_NS,
        "session": 0,
        "frame_index": frame,
        "geometry": ImageGeometry(2, 2, 2, 2, 0, 0, 2, 2),
        "image": pixels.astype(np.uint8),
        "points_camera": pixels,
        "confidence": pixels[..., 0],
        "person_probability": pixels[..., 0],
        "world_from_camera": np.eye(4) if world_from_camera is None else world_from_camera,
        "intrinsics": CAMERA,
        "people": tuple(people),
    }
    return FrameEstimate(**{**values, **changes})
