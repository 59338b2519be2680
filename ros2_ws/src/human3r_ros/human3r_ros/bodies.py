"""SMPL-X bodies as REP-155 frames, boxes and joint arrays. NumPy only, no messages.

Axes: SMPL-X has x to the person's left, y up, z forward; REP-155 has x forward, y left, z up.
"""

from collections.abc import Callable

import numpy as np

from human3r.types import Intrinsics

PixelMap = Callable[[np.ndarray], np.ndarray]
"""Pixels (..., 2) to pixels (..., 2)."""
NUM_ROTATING = 55

_SMPLX_FROM_REP155 = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
_LEFT_HIP, _RIGHT_HIP, _LEFT_EYEBALL, _RIGHT_EYEBALL = 1, 2, 23, 24
_HEAD_CHAIN = (0, 3, 6, 9, 12, 15)
"""Pelvis, three spine joints, neck, head."""
_NEAREST_M = 1e-6
"""What is nearer to the camera's plane, or behind it, has no pixel."""


def skeleton_rotations(rotations: np.ndarray) -> np.ndarray:
    """All 55 joints' rotations (people, 55, 3, 3), child in parent, in skeleton order.

    The network's order is root, 21 body, 30 fingers, jaw; the skeleton has jaw and eyes before
    the fingers. Eyes do not rotate.

    Args:
        rotations: (people, 53, 3, 3), as the network says them.
    """
    found = np.empty((len(rotations), NUM_ROTATING, 3, 3))
    found[:, :22] = rotations[:, :22]
    found[:, 22] = rotations[:, 52]
    found[:, 23:25] = np.eye(3)
    found[:, 25:55] = rotations[:, 22:52]
    return found


def quaternions_xyzw(rotations: np.ndarray) -> np.ndarray:
    """Rotation matrices (n, 3, 3) as unit quaternions (n, 4), w not negative.

    In one call for all joints, and without SciPy, whose check that every matrix is a rotation
    costs twenty times the conversion.

    Source: Shepperd 1978, "Quaternion from rotation matrix".
    """
    r = np.asarray(rotations, np.float64)
    trace = r[:, 0, 0] + r[:, 1, 1] + r[:, 2, 2]
    # Four times the outer product of the quaternion with itself: each row is a multiple of it.
    products = np.empty((len(r), 4, 4))
    products[:, :3, :3] = r + r.transpose(0, 2, 1)
    products[:, [0, 1, 2], [0, 1, 2]] += (1.0 - trace)[:, None]
    products[:, :3, 3] = products[:, 3, :3] = (
        r[:, [2, 0, 1], [1, 2, 0]] - r[:, [1, 2, 0], [2, 0, 1]]
    )
    products[:, 3, 3] = 1.0 + trace
    # The row with the largest number on the diagonal loses least to rounding.
    best = products.diagonal(axis1=1, axis2=2).argmax(axis=1)
    found = products[np.arange(len(r)), best]
    length = np.sqrt((found * found).sum(axis=1))
    return found / np.where(found[:, 3] < 0.0, -length, length)[:, None]


def body_poses(rotations: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """REP-155's body and head frames: camera_from_body and camera_from_head, (people, 4, 4) each.

    The body's origin is midway between the hip joints, x out of the belly, z to the head. The
    head's is midway between the eyes, x out of the face, z to the scalp.

    Args:
        rotations: (people, 53, 3, 3), as the network says them.
        joints: (people, joints, 3) metres, camera frame; the first 55 are the skeleton's.
    """
    head = np.eye(3)
    for joint in _HEAD_CHAIN:
        head = head @ rotations[:, joint]
    hips = (joints[:, _LEFT_HIP] + joints[:, _RIGHT_HIP]) / 2
    eyes = (joints[:, _LEFT_EYEBALL] + joints[:, _RIGHT_EYEBALL]) / 2
    return _poses(rotations[:, 0], hips), _poses(head, eyes)


def _poses(camera_from_smplx: np.ndarray, origins: np.ndarray) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(origins), 1, 1))
    poses[:, :3, :3] = np.asarray(camera_from_smplx, np.float64) @ _SMPLX_FROM_REP155
    poses[:, :3, 3] = origins
    return poses


def body_box(columns: np.ndarray, camera_from_body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Center and size (3,) in metres of the box around a body, in and along its own frame.

    Args:
        columns: (3, vertices) metres, camera frame: x, y and z, each in one piece.
        camera_from_body: (4, 4).
    """
    # Rotate first: subtracting the origin from two corners is cheaper than from every vertex.
    body_from_camera = camera_from_body[:3, :3].T
    turned = body_from_camera.astype(columns.dtype) @ columns
    origin = body_from_camera @ camera_from_body[:3, 3]
    low, high = turned.min(axis=1) - origin, turned.max(axis=1) - origin
    return (low + high) / 2.0, high - low


def project(
    points: np.ndarray, camera: Intrinsics, raw_from_image: PixelMap | None = None
) -> np.ndarray:
    """Pixels (..., 2) of camera-frame points (..., 3); NaN at or behind the camera's plane.

    Args:
        points: metres.
        camera: without distortion.
        raw_from_image: to the pixels of a distorted picture, where those are wanted.
    """
    pixels = np.full((*points.shape[:-1], 2), np.nan)
    front = points[..., 2] > _NEAREST_M
    seen = points[front]
    focal, center = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
    pixels[front] = focal * seen[:, :2] / seen[:, 2:] + center
    return pixels if raw_from_image is None else raw_from_image(pixels)


def pixel_box(
    columns: np.ndarray, camera: Intrinsics, raw_from_image: PixelMap | None = None
) -> tuple[np.ndarray, bool]:
    """Box around the projected vertices, clipped to the image, and whether it touches the border.

    Args:
        columns: (3, vertices) metres, camera frame: x, y and z, each in one piece.
        camera: without distortion.
        raw_from_image: to the pixels of a distorted picture, where those are wanted.

    Returns:
        (4,) float32 u_min, v_min, u_max, v_max in pixels, NaN when all of the body is behind the
        camera.
    """
    is_cut = bool((columns[2] <= _NEAREST_M).any())
    if is_cut:
        columns = columns[:, columns[2] > _NEAREST_M]
    if not columns.shape[1]:
        return np.full(4, np.nan, np.float32), False
    slopes = columns[:2] / columns[2]
    focal, center = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
    if raw_from_image is None:
        # Focal lengths are positive, so the outermost slopes are the outermost pixels.
        low, high = (focal * slope + center for slope in (slopes.min(axis=1), slopes.max(axis=1)))
    else:
        pixels = raw_from_image((focal[:, None] * slopes + center[:, None]).T)
        # By column: reducing an (n, 2) array along its long axis is many times slower.
        pixels = np.ascontiguousarray(pixels.T)
        low, high = pixels.min(axis=1), pixels.max(axis=1)
    border = np.array([camera.width_px - 1.0, camera.height_px - 1.0])
    truncated = bool((low <= 0).any() or (high >= border).any() or is_cut)
    box = np.concatenate([low, high]).clip(0.0, np.tile(border, 2))
    return box.astype(np.float32), truncated
