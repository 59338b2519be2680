"""SMPL-X bodies as REP-155 frames, boxes and joint arrays. NumPy only, no messages.

Axes: SMPL-X has x to the person's left, y up, z forward; REP-155 has x forward, y left, z up.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.errors import BodyModelError
from human3r.types import BodyParameters, Intrinsics

PixelMap = Callable[[np.ndarray], np.ndarray]
"""Pixels (n, 2) to pixels (n, 2)."""
NUM_ROTATING = 55
LANDMARKS = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")
"""Published after the rotating joints, in this order."""

_SMPLX_FROM_REP155 = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
_LEFT_HIP, _RIGHT_HIP, _LEFT_EYEBALL, _RIGHT_EYEBALL = 1, 2, 23, 24
_HEAD_CHAIN = (0, 3, 6, 9, 12, 15)
"""Pelvis, three spine joints, neck, head."""
_NEAREST_M = 1e-6
"""What is nearer to the camera's plane, or behind it, has no pixel."""


@dataclass(frozen=True)
class BodyFrames:
    """Where a body is, as REP-155 says it; the camera frame throughout."""

    camera_from_body: np.ndarray
    """(4, 4): origin midway between the hip joints, x out of the belly, z to the head."""
    camera_from_head: np.ndarray
    """(4, 4): origin midway between the eyes, x out of the face, z to the scalp."""
    box_center: np.ndarray
    """(3,) metres in the body frame."""
    box_size: np.ndarray
    """(3,) metres along the body frame's axes: depth, width, height."""


def skeleton_rotations(body: BodyParameters) -> np.ndarray:
    """All 55 joints' rotations (55, 3, 3), child in parent, in skeleton order.

    The network's order is root, 21 body, 30 fingers, jaw; the skeleton has jaw and eyes before
    the fingers. Eyes do not rotate.
    """
    rotations = np.tile(np.eye(3), (NUM_ROTATING, 1, 1))
    rotations[:22] = body.rotations[:22]
    rotations[22] = body.rotations[52]
    rotations[25:55] = body.rotations[22:52]
    return rotations


def quaternions_xyzw(rotations: np.ndarray) -> np.ndarray:
    """Rotation matrices (n, 3, 3) as unit quaternions (n, 4), w not negative.

    In one call for all joints: tf_transformations takes one matrix at a time, 0.7 ms for a
    person's 55 against 0.07 ms here, which exceeds 2 ms per frame from three people on.
    """
    return Rotation.from_matrix(np.asarray(rotations, np.float64)).as_quat(canonical=True)


def body_frames(body: BodyParameters, joints: np.ndarray, vertices: np.ndarray) -> BodyFrames:
    """REP-155 frames and the box of one body.

    Args:
        body: rotations are used.
        joints: (joints, 3) metres, camera frame; the first 55 are the skeleton's.
        vertices: (vertices, 3) metres, camera frame.
    """
    head_rotation = np.eye(3)
    for joint in _HEAD_CHAIN:
        head_rotation = head_rotation @ body.rotations[joint]
    camera_from_body = _pose(body.rotations[0], (joints[_LEFT_HIP] + joints[_RIGHT_HIP]) / 2)
    eyes = (joints[_LEFT_EYEBALL] + joints[_RIGHT_EYEBALL]) / 2
    # Rotate first: subtracting the origin from two corners is cheaper than from every vertex.
    body_from_camera = camera_from_body[:3, :3].T
    turned = body_from_camera.astype(vertices.dtype) @ vertices.T
    origin = body_from_camera @ camera_from_body[:3, 3]
    low, high = turned.min(axis=1) - origin, turned.max(axis=1) - origin
    return BodyFrames(camera_from_body, _pose(head_rotation, eyes), (low + high) / 2.0, high - low)


def _pose(camera_from_smplx: np.ndarray, origin: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = np.asarray(camera_from_smplx, np.float64) @ _SMPLX_FROM_REP155
    pose[:3, 3] = origin
    return pose


def project(
    points: np.ndarray, camera: Intrinsics, raw_from_image: PixelMap | None = None
) -> np.ndarray:
    """Pixels (n, 2) of camera-frame points (n, 3); NaN at or behind the camera's plane.

    Args:
        points: metres.
        camera: without distortion.
        raw_from_image: to the pixels of a distorted picture, where those are wanted.
    """
    pixels = np.full((len(points), 2), np.nan)
    front = points[:, 2] > _NEAREST_M
    seen = points[front]
    pixels[front, 0] = camera.fx * seen[:, 0] / seen[:, 2] + camera.cx
    pixels[front, 1] = camera.fy * seen[:, 1] / seen[:, 2] + camera.cy
    return pixels if raw_from_image is None else raw_from_image(pixels)


def pixel_box(
    vertices: np.ndarray, camera: Intrinsics, raw_from_image: PixelMap | None = None
) -> tuple[tuple[float, float, float, float], bool]:
    """Box around the projected vertices, clipped to the image, and whether it touches the border.

    Args:
        vertices: (n, 3) metres, camera frame.
        camera: without distortion.
        raw_from_image: to the pixels of a distorted picture, where those are wanted.

    Returns:
        (u_min, v_min, u_max, v_max) in pixels, NaN when all of the body is behind the camera.
    """
    # By column: reducing an (n, 2) array along its long axis is many times slower.
    x, y, z = np.ascontiguousarray(vertices.T)
    is_cut = bool((z <= _NEAREST_M).any())
    if is_cut:
        x, y, z = (column[z > _NEAREST_M] for column in (x, y, z))
    if len(z) == 0:
        return (np.nan, np.nan, np.nan, np.nan), False
    u, v = camera.fx * (x / z) + camera.cx, camera.fy * (y / z) + camera.cy
    if raw_from_image is not None:
        u, v = np.ascontiguousarray(raw_from_image(np.stack([u, v], -1)).T)
    low, high = np.array([u.min(), v.min()]), np.array([u.max(), v.max()])
    border = np.array([camera.width_px - 1.0, camera.height_px - 1.0])
    truncated = bool((low <= 0).any() or (high >= border).any() or is_cut)
    low, high = np.clip(low, 0, border), np.clip(high, 0, border)
    return (float(low[0]), float(low[1]), float(high[0]), float(high[1])), truncated


def published_joints(joint_names: tuple[str, ...]) -> np.ndarray:
    """Indices into a body model's joints of the 60 published ones.

    Raises:
        BodyModelError: the model has no nose, eyes or ears.
    """
    missing = [name for name in LANDMARKS if name not in joint_names]
    if missing:
        raise BodyModelError(
            f"body model: no joints called {', '.join(missing)}; expected the SMPL-X landmarks "
            f"after its {NUM_ROTATING} joints. Use a body model file with them."
        )
    return np.array([*range(NUM_ROTATING), *(joint_names.index(name) for name in LANDMARKS)])
