"""People and estimates for the tests of the conversion."""

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.mapping.level import level_from_pitch
from human3r.types import (
    BodyParameters,
    FrameEstimate,
    ImageGeometry,
    Intrinsics,
    PersonEstimate,
)


def make_person(body_model, seed: int = 0, track_id: int = 0, depth_m: float = 3.0):
    """A person in a random pose, placed by the real body model."""
    import torch

    rng = np.random.default_rng(seed)
    rotations = Rotation.from_rotvec(0.3 * rng.standard_normal((53, 3))).as_matrix()
    # Upright in front of the camera: the body's up is the camera's -y.
    rotations[0] = Rotation.from_euler("xyz", [np.pi, 0.4, 0.1]).as_matrix()
    body = BodyParameters(
        rotations.astype(np.float32),
        (0.5 * rng.standard_normal(10)).astype(np.float32),
        (0.5 * rng.standard_normal(10)).astype(np.float32),
        np.array([0.2, -0.3, depth_m], np.float32),
    )
    parts = (body.rotations, body.betas, body.expression, body.head_camera)
    mesh = body_model(*(torch.from_numpy(part)[None] for part in parts))
    return PersonEstimate(
        track_id,
        0.8,
        np.array([100.0, 50.0], np.float32),
        body,
        mesh.joints[0].numpy(),
        mesh.vertices[0].numpy(),
    )


def make_estimate(people=(), stamp_ns: int = 1_000_000_000, **changes) -> FrameEstimate:
    """An estimate at 16x12 of a 64x48 image."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (12, 16, 3)).astype(np.float32)
    points[..., 2] += 3.0
    values = {
        "stamp_ns": stamp_ns,
        "session": 0,
        "frame_index": 0,
        "geometry": ImageGeometry(64, 48, 16, 12, 0, 0, 16, 12),
        "image": rng.integers(0, 255, (12, 16, 3), np.uint8),
        "points_camera": points,
        "confidence": np.full((12, 16), 3.0, np.float32),
        "person_probability": np.zeros((12, 16), np.float32),
        "world_from_camera": np.eye(4),
        "intrinsics": Intrinsics(15.0, 15.0, 8.0, 6.0, 16, 12),
        "people": tuple(people),
        "estimated_focal_px": 15.0,
        "level_from_world": level_from_pitch(0.0),
    }
    return FrameEstimate(**{**values, **changes})
