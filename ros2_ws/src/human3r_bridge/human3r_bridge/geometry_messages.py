"""Poses and headers as messages and matrices. NumPy only, so that the bridge stays small."""

import math
from collections.abc import Iterable

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import (
    Point,
    Pose,
    Quaternion,
    Transform,
    TransformStamped,
    Vector3,
)
from std_msgs.msg import Header

_SECOND_NS = 1_000_000_000


_UNKNOWN_VARIANCE = 1e6
"""In square metres and square radians."""


def ns_from_time(stamp: Time) -> int:
    """A message's time as nanoseconds."""
    return stamp.sec * _SECOND_NS + stamp.nanosec


def point(xyz: Iterable[float]) -> Point:
    """Three numbers as a point."""
    x, y, z = xyz.tolist() if isinstance(xyz, np.ndarray) else xyz
    return Point(x=float(x), y=float(y), z=float(z))


def vector(xyz: Iterable[float]) -> Vector3:
    """Three numbers as a vector."""
    x, y, z = xyz.tolist() if isinstance(xyz, np.ndarray) else xyz
    return Vector3(x=float(x), y=float(y), z=float(z))


def matrix_from_pose(pose: Pose) -> np.ndarray | None:
    """A pose as rigid transform (4, 4); None where it is not one."""
    p, q = pose.position, pose.orientation
    numbers = np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w])
    length = np.linalg.norm(numbers[3:])
    if not (np.isfinite(numbers).all() and length > 1e-6):
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = rotations_from_quaternions(numbers[None, 3:] / length)[0]
    matrix[:3, 3] = numbers[:3]
    return matrix


def rotations_from_quaternions(quaternions_xyzw: np.ndarray) -> np.ndarray:
    """Unit quaternions (n, 4) as rotation matrices (n, 3, 3)."""
    x, y, z, w = np.asarray(quaternions_xyzw, np.float64).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def quaternion(rotation: np.ndarray) -> Quaternion:
    """A rotation matrix (3, 3) as unit quaternion, w not negative."""
    # Plain numbers: this runs for every frame of every person, and NumPy's scalars are slow.
    r = rotation.tolist()
    trace = r[0][0] + r[1][1] + r[2][2]
    best = max(range(3), key=lambda i: r[i][i])
    # The largest component comes first, so that nothing is divided by a small number.
    if trace >= r[best][best]:
        q = [r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1], 1.0 + trace]
    else:
        i, j, k = best, (best + 1) % 3, (best + 2) % 3
        q = [0.0, 0.0, 0.0, r[k][j] - r[j][k]]
        q[i] = 1.0 + 2.0 * r[i][i] - trace
        q[j] = r[j][i] + r[i][j]
        q[k] = r[k][i] + r[i][k]
    length = math.copysign(math.hypot(*q), q[3])
    x, y, z, w = (v / length for v in q)
    return Quaternion(x=x, y=y, z=z, w=w)


def pose_from_matrix(a_from_b: np.ndarray) -> Pose:
    """A rigid transform (4, 4) as position and unit quaternion."""
    return Pose(position=point(a_from_b[:3, 3]), orientation=quaternion(a_from_b[:3, :3]))


def covariance_at(covariance: np.ndarray | None, arm: np.ndarray) -> np.ndarray:
    """The covariance (36,) of the pose of a point that a body carries, row-major as in ROS.

    Args:
        covariance: (6, 6) of the body's pose: x, y, z, rotation about x, y, z; None when unknown:
            then its diagonal is so large that a filter gives the pose no weight.
        arm: (3,) metres from the body's origin to the point, along the covariance's axes.
    """
    if covariance is None:
        return (_UNKNOWN_VARIANCE * np.eye(6)).ravel()
    x, y, z = arm
    # A small rotation r moves the point by r x arm.
    moved = np.eye(6)
    moved[:3, 3:] = [[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]]
    return (moved @ covariance @ moved.T).ravel()


def transform_message(
    stamp: Time, parent: str, child: str, parent_from_child: np.ndarray
) -> TransformStamped:
    """One edge of the tree of frames."""
    return TransformStamped(
        header=Header(stamp=stamp, frame_id=parent),
        child_frame_id=child,
        transform=Transform(
            translation=vector(parent_from_child[:3, 3]),
            rotation=quaternion(parent_from_child[:3, :3]),
        ),
    )
