"""Frames: transforms heard on TF, look-ups at a stamp, and checks that keep TF a tree.

Transforms read ``a_from_b``. Parents are kept in a tree of our own beside tf2's buffer, because
the buffer does not say which edges are static, nor which of them are ours.
"""

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import TransformStamped, Vector3
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, TransformException
from tf_transformations import quaternion_matrix

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r_ros import convert

_LEVEL_FROM_UNTILTED = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Optical axes (x right, y down, z forward) of a camera that looks level, in body axes."""
_MAX_FRAMES = 10_000
_NAME_LIMIT = 128
_CACHE_S = 10.0
_OUR_STAMPS = 1000
_NORM_TOLERANCE = 1e-2
"""As tf2's own: of the squared length of a quaternion."""


def level_from_world(pitch_rad: float) -> np.ndarray:
    """Level frame from the session's first camera (4, 4): rotation only.

    Args:
        pitch_rad: tilt of the first camera, positive looks down.
    """
    cos, sin = math.cos(pitch_rad), math.sin(pitch_rad)
    tilt = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    matrix = np.eye(4)
    matrix[:3, :3] = tilt @ _LEVEL_FROM_UNTILTED
    return matrix


def twist_between(
    level_from_before: np.ndarray, level_from_now: np.ndarray, dt_s: float
) -> np.ndarray:
    """Mean linear (m/s) and angular (rad/s) velocity (6,), in the frame of ``now``."""
    if dt_s <= 0:
        return np.zeros(6)
    rotation_now = level_from_now[:3, :3]
    linear = rotation_now.T @ (level_from_now[:3, 3] - level_from_before[:3, 3])
    turned = Rotation.from_matrix(level_from_before[:3, :3].T @ rotation_now).as_rotvec()
    return np.concatenate([linear, turned]) / dt_s


@dataclass(frozen=True)
class LookUp:
    """The answer of ``FrameTree.lookup``."""

    target_from_source: np.ndarray | None
    """(4, 4) float64, metres; None when it is not known."""
    reason: str = ""
    """Why it is not known, naming both frames and the stamp; empty when it is."""


class FrameTree:
    """Everything heard on /tf and /tf_static; safe to use from several threads."""

    def __init__(self) -> None:
        # Without a node, which could not take the buffer's service and clock watch back at
        # cleanup; ``forget_moving`` does what the watch is for.
        self._buffer = Buffer(cache_time=Duration(seconds=_CACHE_S))
        self._changed = threading.Condition()
        self._moving: dict[str, tuple[str, float]] = {}
        self._static: dict[str, tuple[str, np.ndarray]] = {}
        self._ours: dict[tuple[str, str], deque[int]] = {}
        self._static_version = 0
        self._since_s = time.monotonic()

    # -- filling ---------------------------------------------------------------------------------

    def update(self, message: TFMessage, *, is_static: bool) -> None:
        """Take over the edges of a message; broken ones and our own are left out."""
        for stamped in message.transforms:
            stamped.header.frame_id = stamped.header.frame_id.lstrip("/")
            stamped.child_frame_id = stamped.child_frame_id.lstrip("/")
            parent_from_child = _matrix(stamped)
            if parent_from_child is not None:
                self._hear_edge(stamped, parent_from_child, is_static)
        with self._changed:
            self._changed.notify_all()

    def _hear_edge(
        self, stamped: TransformStamped, parent_from_child: np.ndarray, is_static: bool
    ) -> None:
        child, parent = stamped.child_frame_id, stamped.header.frame_id
        with self._changed:
            sent_ns = self._ours.get((parent, child), ())
            is_ours = not is_static and convert.ns_from_time(stamped.header.stamp) in sent_ns
            is_new = child not in self._moving and child not in self._static
            is_too_many = is_new and len(self._moving) + len(self._static) >= _MAX_FRAMES
            if is_ours or is_too_many:
                return
            if is_static:
                self._moving.pop(child, None)
                self._hear_static(child, parent, parent_from_child)
                self._buffer.set_transform_static(stamped, "human3r")
            else:
                self._moving[child] = (parent, time.monotonic())
                self._buffer.set_transform(stamped, "human3r")

    def _hear_static(self, child: str, parent: str, parent_from_child: np.ndarray) -> None:
        known = self._static.get(child)
        is_same = known is not None and known[0] == parent
        if not (is_same and np.array_equal(known[1], parent_from_child)):  # pyright: ignore[reportOptionalSubscript]
            self._static[child] = (parent, parent_from_child)
            self._static_version += 1

    def will_send(self, parent: str, child: str, stamp_ns: int) -> None:
        """Announce an edge of ours: when it comes back it is not another node's."""
        with self._changed:
            self._ours.setdefault((parent, child), deque(maxlen=_OUR_STAMPS)).append(stamp_ns)

    def forget_moving(self) -> None:
        """Time jumped: moving edges are of before, static ones stay true."""
        with self._changed:
            self._moving = {}
            self._buffer.clear()

    def forget_silent(self, silent_s: float = _CACHE_S) -> None:
        """Leave out the parents of moving frames that were not heard of for this long."""
        end_s = time.monotonic() - silent_s
        with self._changed:
            self._moving = {k: known for k, known in self._moving.items() if known[1] >= end_s}

    # -- asking ----------------------------------------------------------------------------------

    @property
    def static_version(self) -> int:
        """Changes whenever a static edge is new or differs from before."""
        with self._changed:
            return self._static_version

    def age_s(self) -> float:
        """Seconds for which the tree has been listening."""
        return time.monotonic() - self._since_s

    def lookup(self, target: str, source: str, stamp_ns: int, timeout_s: float = 0.0) -> LookUp:
        """target_from_source at a stamp, interpolated between neighbours, never extrapolated.

        Args:
            target: frame of the result.
            source: frame of what is to be transformed, for example the image's optical frame.
            stamp_ns: when; 0 means the newest that is known.
            timeout_s: how long to wait for it on the wall clock, which runs while a simulation
                is paused.
        """
        end_s = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = self._look_up(target, source, stamp_ns)
                left_s = end_s - time.monotonic()
                if found.target_from_source is not None or left_s <= 0:
                    return found
                self._changed.wait(left_s)

    def _look_up(self, target: str, source: str, stamp_ns: int) -> LookUp:
        try:
            stamped = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
        except TransformException as error:
            when = f"at {stamp_ns / 1e9:.3f} s" if stamp_ns else "at any time"
            # tf2 leaves the text of some errors empty; their class says what it is.
            why = str(error).strip() or type(error).__name__
            return LookUp(None, f"no transform from {source!r} to {target!r} {when} ({why})")
        return LookUp(_matrix(stamped, is_answer=True))

    def parent(self, frame: str) -> str | None:
        """The frame's parent, None for a root or an unknown frame."""
        with self._changed:
            return self._parents().get(frame)

    def ancestors(self, frame: str) -> list[str]:
        """The frame itself, its parent, and so on to the root."""
        with self._changed:
            return _climb(frame, self._parents())

    def static_ancestors(self, frame: str) -> list[str]:
        """As ``ancestors``, along static edges only."""
        with self._changed:
            return _climb(frame, {child: parent for child, (parent, _) in self._static.items()})

    def _parents(self) -> dict[str, str]:
        known = {child: parent for child, (parent, _) in self._static.items()}
        known.update({child: parent for child, (parent, _) in self._moving.items()})
        return known

    def camera_from_base(self, optical: str, base: str) -> np.ndarray:
        """The static transform from a static ancestor (4, 4)."""
        base_from_camera = np.eye(4)
        frame = optical
        with self._changed:
            while frame != base:
                frame, parent_from_child = self._static[frame]
                base_from_camera = parent_from_child @ base_from_camera
        return np.linalg.inv(base_from_camera)


def transform_message(
    stamp_ns: int, parent: str, child: str, parent_from_child: np.ndarray
) -> TransformStamped:
    """One edge, its rotation normalised."""
    pose = convert.pose_from_matrix(parent_from_child)
    message = TransformStamped(header=convert.header(stamp_ns, parent), child_frame_id=child)
    p = pose.position
    message.transform.translation = Vector3(x=p.x, y=p.y, z=p.z)
    message.transform.rotation = pose.orientation
    return message


def _climb(frame: str, parents: dict[str, str]) -> list[str]:
    chain = [frame]
    while (parent := parents.get(chain[-1])) is not None and parent not in chain:
        chain.append(parent)
    return chain


def _matrix(stamped: TransformStamped, *, is_answer: bool = False) -> np.ndarray | None:
    """parent_from_child; None for what tf2 would reject. An answer may be of a frame to itself."""
    t, q = stamped.transform.translation, stamped.transform.rotation
    numbers = np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])
    names = (stamped.child_frame_id, stamped.header.frame_id)
    is_named = all(0 < len(name) <= _NAME_LIMIT for name in names) and names[0] != names[1]
    is_finite = bool(np.isfinite(numbers).all())
    is_rotation = is_finite and abs(numbers[3:] @ numbers[3:] - 1.0) <= _NORM_TOLERANCE
    if not is_rotation or not (is_named or is_answer):
        return None
    matrix = quaternion_matrix(numbers[3:])
    matrix[:3, 3] = numbers[:3]
    return matrix


_REMEDY = {
    "odometry": "Use tf.mode anchored or none, or set frames.base to a frame without a parent.",
    "inverse": "Give frames.level a name of its own, or use tf.mode none.",
    "anchored": "Give frames.level a name of its own, or use tf.mode none.",
}


def needs_tf(settings: Settings) -> bool:
    """Whether the node has to listen to TF at all."""
    is_used = settings.tf.mode != "none" or bool(settings.frames.base)
    is_measured = settings.scale.mode in ("odometry", "camera_height")
    return is_used or is_measured or settings.needs_anchor


def find_base(tree: FrameTree, optical: str, wanted: str, anchor: str = "") -> str:
    """The frame that moves rigidly with the camera.

    Args:
        tree: what was heard on TF.
        optical: frame of the image.
        wanted: ``frames.base``; empty climbs static edges as far as they go.
        anchor: the robot's fixed frame, at which climbing ends; empty where there is none.

    Raises:
        ConfigError: ``wanted`` is not reached from the optical frame along static edges.
    """
    chain = tree.static_ancestors(optical)
    if not wanted:
        return chain[max(chain.index(anchor) - 1, 0)] if anchor in chain else chain[-1]
    if wanted not in chain:
        raise ConfigError(
            f"frames.base is {wanted!r}, but the static transforms above {optical!r} lead to "
            f"{' -> '.join(chain)} only; expected an ancestor. Publish the camera's static "
            "transforms, or change frames.base."
        )
    return wanted


@dataclass(frozen=True)
class Base:
    """The frame that moves with the camera, as far as it is known."""

    name: str = ""
    """Empty when it is not known."""
    camera_from_base: np.ndarray = field(default_factory=lambda: np.eye(4))
    """(4, 4)"""
    missing: str = ""
    """Why it is not known."""


def look_up_base(tree: FrameTree, optical: str, settings: Settings) -> Base:
    """The base of the camera now, or why there is none."""
    frames = settings.frames
    if not optical:
        return Base(
            missing="header.frame_id of the image is empty; expected the optical frame's name. TF "
            "and odometry are withheld: set the frame name in the camera driver."
        )
    # The level frame stands still; one that moves with the camera would be its own parent.
    if frames.level in tree.static_ancestors(optical):
        return Base(
            missing=f"frames.level is {frames.level!r}, which moves with the image's frame "
            f"{optical!r}; expected a name of its own. TF and odometry are withheld: change "
            "frames.level, or the frame name in the camera driver."
        )
    anchor = frames.anchor if settings.needs_anchor else ""
    try:
        name = find_base(tree, optical, frames.base, anchor)
    except ConfigError as error:
        return Base(missing=f"{error} Until then TF and odometry are withheld.")
    return Base(name, tree.camera_from_base(optical, name))


def conflict(tree: FrameTree, parent: str, child: str, mode: str) -> str:
    """Why broadcasting parent -> child would break the robot's tree; empty when it would not.

    Args:
        tree: what others broadcast; our own edges are not in it.
        parent: of our edge.
        child: of our edge.
        mode: ``tf.mode``, for the advice.
    """
    other = tree.parent(child)
    if other is not None:
        return (
            f"{child} already has parent {other}; expected a frame that no other node moves. "
            f"{_REMEDY[mode]}"
        )
    chain = tree.ancestors(parent)
    if child in chain:
        loop = [parent, *chain[1 : chain.index(child) + 1], parent]
        return (
            f"broadcasting {parent} -> {child} would close the loop {' -> '.join(loop)}; expected "
            f"a tree. {_REMEDY[mode]}"
        )
    return ""
