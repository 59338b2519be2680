"""Rotations as tf_transformations writes them: quaternions are x, y, z, w; matrices are 4x4."""

import math
from collections.abc import Sequence

import numpy as np

Vector = Sequence[float] | np.ndarray


def quaternion_multiply(quaternion1: Vector, quaternion0: Vector) -> np.ndarray:
    """The rotation ``quaternion0`` followed by ``quaternion1``."""
    x1, y1, z1, w1 = (float(v) for v in quaternion1)
    x0, y0, z0, w0 = (float(v) for v in quaternion0)
    return np.array(
        [
            w1 * x0 + x1 * w0 + y1 * z0 - z1 * y0,
            w1 * y0 - x1 * z0 + y1 * w0 + z1 * x0,
            w1 * z0 + x1 * y0 - y1 * x0 + z1 * w0,
            w1 * w0 - x1 * x0 - y1 * y0 - z1 * z0,
        ]
    )


def quaternion_conjugate(quaternion: Vector) -> np.ndarray:
    """The vector part negated."""
    q = np.array(quaternion, dtype=np.float64)
    q[:3] = -q[:3]
    return q


def quaternion_inverse(quaternion: Vector) -> np.ndarray:
    """The inverse rotation."""
    q = np.asarray(quaternion, dtype=np.float64)
    return quaternion_conjugate(q) / float(q @ q)


def rotate_vector(quaternion: Vector, vector: Vector) -> np.ndarray:
    """A vector turned by a unit quaternion."""
    q, v = np.asarray(quaternion, np.float64), np.asarray(vector, np.float64)
    axis, w = q[:3], q[3]
    twice = 2.0 * np.cross(axis, v)
    return v + w * twice + np.cross(axis, twice)


def quaternion_slerp(quat0: Vector, quat1: Vector, fraction: float) -> np.ndarray:
    """Between two rotations along the shorter way (Shoemake 1985)."""
    q0 = np.asarray(quat0, np.float64)
    q1 = np.asarray(quat1, np.float64)
    q0, q1 = q0 / np.linalg.norm(q0), q1 / np.linalg.norm(q1)
    cosine = float(q0 @ q1)
    if cosine < 0.0:
        q1, cosine = -q1, -cosine
    if cosine > 0.9995:
        mixed = q0 + fraction * (q1 - q0)
        return mixed / np.linalg.norm(mixed)
    angle = math.acos(min(1.0, cosine))
    return (math.sin((1 - fraction) * angle) * q0 + math.sin(fraction * angle) * q1) / math.sin(
        angle
    )


def quaternion_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """The unit quaternion of a 4x4 (or 3x3) rotation matrix (Shepperd 1978)."""
    m = np.asarray(matrix, np.float64)[:3, :3]
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    largest = int(np.argmax([m[0, 0], m[1, 1], m[2, 2], trace]))
    if largest == 3:
        q = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1.0 + trace])
    else:
        i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
        q = np.empty(4)
        q[i] = 1.0 + m[i, i] - m[j, j] - m[k, k]
        q[j] = m[j, i] + m[i, j]
        q[k] = m[k, i] + m[i, k]
        q[3] = m[k, j] - m[j, k]
    return q / np.linalg.norm(q)


def quaternion_matrix(quaternion: Vector) -> np.ndarray:
    """The 4x4 rotation matrix of a quaternion; identity for a zero quaternion."""
    q = np.asarray(quaternion, np.float64)
    made = np.identity(4)
    squared = float(q @ q)
    if squared < np.finfo(float).eps:
        return made
    x, y, z, w = q / math.sqrt(squared)
    made[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return made


def _require_sxyz(axes: str) -> None:
    if axes != "sxyz":
        raise NotImplementedError(f"tf_transformations with axes {axes!r}; only 'sxyz'")


def quaternion_about_axis(angle: float, axis: Vector) -> np.ndarray:
    """The rotation by ``angle`` (rad) about ``axis``."""
    a = np.asarray(axis, np.float64)
    return np.append(a / np.linalg.norm(a) * math.sin(angle / 2), math.cos(angle / 2))


def quaternion_from_euler(ai: float, aj: float, ak: float, axes: str = "sxyz") -> np.ndarray:
    """Roll, pitch, yaw (rad) about fixed x, y, z."""
    _require_sxyz(axes)
    about = [quaternion_about_axis(a, np.eye(3)[i]) for i, a in enumerate((ai, aj, ak))]
    return quaternion_multiply(about[2], quaternion_multiply(about[1], about[0]))


def euler_from_matrix(matrix: np.ndarray, axes: str = "sxyz") -> tuple[float, float, float]:
    """Roll, pitch, yaw (rad) of a rotation matrix."""
    _require_sxyz(axes)
    m = np.asarray(matrix, np.float64)[:3, :3]
    cosine = math.hypot(m[0, 0], m[1, 0])
    pitch = math.atan2(-m[2, 0], cosine)
    if cosine > 4 * np.finfo(float).eps:
        return math.atan2(m[2, 1], m[2, 2]), pitch, math.atan2(m[1, 0], m[0, 0])
    return math.atan2(-m[1, 2], m[1, 1]), pitch, 0.0


def euler_from_quaternion(quaternion: Vector, axes: str = "sxyz") -> tuple[float, float, float]:
    """Roll, pitch, yaw (rad) of a quaternion."""
    return euler_from_matrix(quaternion_matrix(quaternion), axes)


def euler_matrix(ai: float, aj: float, ak: float, axes: str = "sxyz") -> np.ndarray:
    """The 4x4 matrix of roll, pitch, yaw (rad)."""
    return quaternion_matrix(quaternion_from_euler(ai, aj, ak, axes))


def identity_matrix() -> np.ndarray:
    """4x4."""
    return np.identity(4)


def translation_matrix(direction: Vector) -> np.ndarray:
    """4x4 of a translation."""
    made = np.identity(4)
    made[:3, 3] = np.asarray(direction, np.float64)[:3]
    return made


def translation_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """The translation of a 4x4 matrix."""
    return np.array(matrix, copy=True)[:3, 3]


def concatenate_matrices(*matrices: np.ndarray) -> np.ndarray:
    """Their product."""
    made = np.identity(4)
    for matrix in matrices:
        made = made @ matrix
    return made


def inverse_matrix(matrix: np.ndarray) -> np.ndarray:
    """The inverse."""
    return np.linalg.inv(matrix)
