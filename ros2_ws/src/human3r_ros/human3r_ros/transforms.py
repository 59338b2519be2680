"""Frames: the level frame of a session, the base that moves with the camera, and who owns what.

Transforms read ``a_from_b``. The robot's frames are kept in a tree of our own, because tf2's
buffer does not say which edges are static.
"""

import math
import threading
import time

import numpy as np
from geometry_msgs.msg import TransformStamped, Vector3
from scipy.spatial.transform import Rotation
from tf2_msgs.msg import TFMessage
from tf_transformations import quaternion_matrix

from human3r.errors import ConfigError
from human3r_ros import convert

_LEVEL_FROM_UNTILTED = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Optical axes (x right, y down, z forward) of a camera that looks level, in body axes."""
_MAX_FRAMES = 10_000
_LIMIT = 128


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


def check_frame_names(level: str, base: str) -> None:
    """Nothing, when the configured frame names can be used.

    Raises:
        ConfigError: empty level, leading slash, too long, or both the same.
    """
    if not level:
        raise ConfigError("frames.level is empty; expected a frame name such as human3r_odom.")
    for name, value in (("frames.level", level), ("frames.base", base)):
        if value.startswith("/"):
            raise ConfigError(
                f"{name} is {value!r}; expected a name without leading slash. Use {value[1:]!r}."
            )
        if len(value) > _LIMIT or any(c.isspace() or not c.isprintable() for c in value):
            raise ConfigError(
                f"{name} is {value[:40]!r}; expected at most {_LIMIT} printable characters without "
                "blanks. Choose another name."
            )
    if level == base:
        raise ConfigError(
            f"frames.level and frames.base are both {level!r}; expected two frames. Change one."
        )


class FrameTree:
    """Parents of all frames heard on /tf and /tf_static; safe to use from several threads."""

    def __init__(self, level: str) -> None:
        """An empty tree.

        Args:
            level: our own frame; moving edges below it are our broadcasts coming back, which
                must not hide a foreign parent of the same child.
        """
        self._level = level
        self._lock = threading.Lock()
        self._parents: dict[str, str] = {}
        self._static: dict[str, tuple[str, np.ndarray]] = {}
        self._static_version = 0
        self._since_s = time.monotonic()

    @property
    def static_version(self) -> int:
        """Changes whenever a static edge is new or differs from before."""
        with self._lock:
            return self._static_version

    def age_s(self) -> float:
        """Seconds for which the tree has been listening."""
        return time.monotonic() - self._since_s

    def hear(self, message: TFMessage, *, is_static: bool) -> None:
        """Take over the edges of a message; broken ones are left out."""
        edges = [(stamped, _matrix(stamped)) for stamped in message.transforms]
        with self._lock:
            for stamped, parent_from_child in edges:
                child, parent = stamped.child_frame_id, stamped.header.frame_id
                is_ours = parent == self._level and not is_static
                is_too_many = child not in self._parents and len(self._parents) >= _MAX_FRAMES
                if parent_from_child is None or is_ours or is_too_many:
                    continue
                self._parents[child] = parent
                if is_static:
                    self._hear_static(child, parent, parent_from_child)

    def _hear_static(self, child: str, parent: str, parent_from_child: np.ndarray) -> None:
        known = self._static.get(child)
        is_same = known is not None and known[0] == parent
        if not (is_same and np.array_equal(known[1], parent_from_child)):
            self._static[child] = (parent, parent_from_child)
            self._static_version += 1

    def forget_moving(self) -> None:
        """Time jumped: moving edges are of before, static ones stay true."""
        with self._lock:
            self._parents = {child: parent for child, (parent, _) in self._static.items()}

    def parent(self, frame: str) -> str | None:
        """The frame's parent, None for a root or an unknown frame."""
        with self._lock:
            return self._parents.get(frame)

    def ancestors(self, frame: str) -> list[str]:
        """The frame itself, its parent, and so on to the root."""
        with self._lock:
            return _climb(frame, self._parents)

    def static_ancestors(self, frame: str) -> list[str]:
        """As ``ancestors``, along static edges only."""
        with self._lock:
            return _climb(frame, {child: parent for child, (parent, _) in self._static.items()})

    def camera_from_base(self, optical: str, base: str) -> np.ndarray:
        """The static transform from a static ancestor (4, 4)."""
        base_from_camera = np.eye(4)
        frame = optical
        with self._lock:
            while frame != base:
                frame, parent_from_child = self._static[frame]
                base_from_camera = parent_from_child @ base_from_camera
        return np.linalg.inv(base_from_camera)


def find_base(tree: FrameTree, optical: str, wanted: str) -> str:
    """The frame that moves rigidly with the camera.

    Args:
        tree: what was heard on TF.
        optical: frame of the image.
        wanted: ``frames.base``; empty climbs static edges as far as they go.

    Raises:
        ConfigError: ``wanted`` is not reached from the optical frame along static edges.
    """
    chain = tree.static_ancestors(optical)
    if not wanted:
        return chain[-1]
    if wanted not in chain:
        raise ConfigError(
            f"frames.base is {wanted!r}, but the static transforms above {optical!r} lead to "
            f"{' -> '.join(chain)} only; expected an ancestor. Publish the camera's static "
            "transforms, or change frames.base."
        )
    return wanted


def conflict(tree: FrameTree, level: str, base: str) -> str:
    """Why broadcasting level -> base would break the robot's tree; empty when it would not."""
    parent = tree.parent(base)
    if parent is not None and parent != level:
        return (
            f"{base} already has parent {parent}; expected a frame that nobody else moves. Use "
            "tf.mode none, or set frames.base to a frame without a parent."
        )
    chain = tree.ancestors(level)
    if base in chain:
        return (
            f"broadcasting {level} -> {base} would close the loop {' -> '.join([*chain, level])}; "
            "expected a tree. Use tf.mode none, or another frames.level."
        )
    return ""


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


def _matrix(stamped: TransformStamped) -> np.ndarray | None:
    """parent_from_child; None for what tf2 would reject."""
    t, q = stamped.transform.translation, stamped.transform.rotation
    numbers = np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])
    names = (stamped.child_frame_id, stamped.header.frame_id)
    is_named = all(0 < len(name) <= _LIMIT for name in names) and names[0] != names[1]
    if not is_named or not np.isfinite(numbers).all() or np.linalg.norm(numbers[3:]) < 1e-6:
        return None
    matrix = quaternion_matrix(numbers[3:])
    matrix[:3, 3] = numbers[:3]
    return matrix
