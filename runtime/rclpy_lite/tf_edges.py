"""One edge of the tree of frames over time, and its way to and from messages."""

import bisect
from typing import Any

import numpy as np

from rclpy_lite.compat.tf_transformations import (
    quaternion_inverse,
    quaternion_multiply,
    quaternion_slerp,
    rotate_vector,
)
from rclpy_lite.messages import get_message
from rclpy_lite.tf_exceptions import ExtrapolationException, InvalidArgumentException

TransformStamped = get_message("geometry_msgs/msg/TransformStamped")

Rigid = tuple[np.ndarray, np.ndarray]
"""Translation in metres and quaternion xyzw."""
IDENTITY: Rigid = (np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))


def compose(left: Rigid, right: Rigid) -> Rigid:
    """a_from_b and b_from_c give a_from_c."""
    return left[0] + rotate_vector(left[1], right[0]), quaternion_multiply(left[1], right[1])


def invert(rigid: Rigid) -> Rigid:
    inverse = quaternion_inverse(rigid[1])
    return -rotate_vector(inverse, rigid[0]), inverse


class Edge:
    """parent_from_child over time, oldest first."""

    def __init__(self, is_static: bool) -> None:
        self.is_static = is_static
        self.stamps: list[int] = []
        self.entries: list[tuple[str, Rigid]] = []
        self.authority = "default_authority"

    def insert(self, stamp_ns: int, parent: str, rigid: Rigid, cache_ns: int) -> bool:
        if self.is_static:
            self.stamps, self.entries = [0], [(parent, rigid)]
            return True
        if self.stamps and stamp_ns + cache_ns < self.stamps[-1]:
            return False
        at = bisect.bisect_left(self.stamps, stamp_ns)
        if at < len(self.stamps) and self.stamps[at] == stamp_ns:
            self.entries[at] = (parent, rigid)
        else:
            self.stamps.insert(at, stamp_ns)
            self.entries.insert(at, (parent, rigid))
        keep_from = bisect.bisect_left(self.stamps, self.stamps[-1] - cache_ns)
        del self.stamps[:keep_from], self.entries[:keep_from]
        return True

    def at(self, stamp_ns: int, child: str) -> tuple[str, Rigid]:
        """Parent and transform; stamp 0 means the newest.

        Raises:
            ExtrapolationException: outside of what is known.
        """
        if self.is_static or stamp_ns == 0:
            return self.entries[-1]
        at = bisect.bisect_left(self.stamps, stamp_ns)
        if at < len(self.stamps) and self.stamps[at] == stamp_ns:
            return self.entries[at]
        requested = stamp_ns / 1e9
        if len(self.stamps) == 1:
            raise ExtrapolationException(
                f"Lookup would require extrapolation at time {requested:.6f}, but only time "
                f"{self.stamps[0] / 1e9:.6f} is in the buffer, for frame [{child}]"
            )
        if at == len(self.stamps):
            raise ExtrapolationException(
                f"Lookup would require extrapolation into the future. Requested time "
                f"{requested:.6f} but the latest data is at time {self.stamps[-1] / 1e9:.6f}, "
                f"for frame [{child}]"
            )
        if at == 0:
            raise ExtrapolationException(
                f"Lookup would require extrapolation into the past. Requested time "
                f"{requested:.6f} but the earliest data is at time {self.stamps[0] / 1e9:.6f}, "
                f"for frame [{child}]"
            )
        (parent, before), (other_parent, after) = self.entries[at - 1], self.entries[at]
        if parent != other_parent:
            return parent, before
        span = self.stamps[at] - self.stamps[at - 1]
        part = (stamp_ns - self.stamps[at - 1]) / span
        translation = before[0] + part * (after[0] - before[0])
        return parent, (translation, quaternion_slerp(before[1], after[1], part))


def stamp_ns_of(time: Any) -> int:
    if hasattr(time, "nanoseconds"):
        return time.nanoseconds
    if hasattr(time, "nanosec"):
        return time.sec * 10**9 + time.nanosec
    raise TypeError(f"time: got {type(time).__name__}; expected rclpy.time.Time.")


def rigid_from_msg(transform: Any) -> Rigid:
    t, r = transform.translation, transform.rotation
    return np.array([t.x, t.y, t.z]), np.array([r.x, r.y, r.z, r.w])


def transform_msg(target: str, source: str, stamp_ns: int, rigid: Rigid) -> Any:
    made = TransformStamped(child_frame_id=source)
    made.header.frame_id = target
    made.header.stamp.sec, made.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    t, r = made.transform.translation, made.transform.rotation
    t.x, t.y, t.z = (float(v) for v in rigid[0])
    r.x, r.y, r.z, r.w = (float(v) for v in rigid[1])
    return made


def check_transform(parent: str, child: str, rigid: Rigid) -> None:
    if not parent or not child:
        raise InvalidArgumentException("TF_NO_FRAME_ID: frame_id and child_frame_id must be set.")
    if parent == child:
        raise InvalidArgumentException(f"TF_SELF_TRANSFORM: frame [{child}] is its own parent.")
    if not (np.isfinite(rigid[0]).all() and np.isfinite(rigid[1]).all()):
        raise InvalidArgumentException(f"TF_NAN_INPUT: frame [{child}] has a nan value.")
    if abs(float(rigid[1] @ rigid[1]) - 1.0) > 1e-2:
        raise InvalidArgumentException(
            f"TF_DENORMALIZED_QUATERNION: frame [{child}] has a quaternion of length other than 1."
        )
