"""What a robot knows of places: frames on TF, and a depth camera beside the one that is used.

Transforms heard on TF, look-ups at a stamp, and checks that keep TF a tree. Transforms read
``a_from_b``. Parents are kept in a tree of our own beside tf2's buffer, because the buffer does not
say which edges are static, nor which of them are ours.

Of these ``RobotSources`` answers the questions that ``human3r.scale`` asks about metres.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import TransformStamped, Vector3
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, TransformException
from tf_transformations import quaternion_matrix

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.scale import ScaleSources
from human3r.types import Frame
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


_TOLERANCE_NS = 25_000_000
"""Half a frame of a 20 Hz depth camera."""
_KEPT = 300
"""Ten seconds at 30 Hz, about 15 MB: a frame's answer may take that long on a slow machine."""
_LONG_SIDE = 128
_TYPES = {"16UC1": ("u2", 0.001), "mono16": ("u2", 0.001), "32FC1": ("f4", 1.0)}
"""Encoding to number type and metres per unit (REP 118)."""
_SHAPE_TOLERANCE = 0.02
_ON_FLOOR = "base_footprint"
"""REP 120."""
_READABLE = "sensor_msgs/msg/Image"
COMPRESSED_SUFFIXES = ("/compressedDepth", "/compressed", "/zstd")
"""What image_transport appends to the name of a topic for images that cannot be read here."""


class _Kept:
    """One depth image, subsampled."""

    def __init__(self, message: Image, max_pixels: int) -> None:
        """Thin out ``message``.

        Raises:
            ValueError: it cannot be a depth image; the message says why.
        """
        self.stamp_ns = convert.ns_from_time(message.header.stamp)
        self.frame_id = message.header.frame_id
        self.size = (message.width, message.height)
        self._values, self._step = _thinned(message, max_pixels)
        self._metres = _TYPES[message.encoding][1]

    def at(self, pixels: np.ndarray, source_size: tuple[int, int]) -> np.ndarray:
        """Metres (n,) at pixels (n, 2) of an aligned image of ``source_size``; NaN: unknown."""
        ratio = np.array(self.size) / source_size
        cells = ((np.asarray(pixels) + 0.5) * ratio - 0.5 - self._step // 2) / self._step
        # NaN pixels have no cell.
        cells = np.nan_to_num(np.round(cells), nan=-1.0, posinf=-1.0, neginf=-1.0).astype(np.int64)
        rows, cols = self._values.shape
        inside = (cells >= 0).all(axis=1) & (cells < [cols, rows]).all(axis=1)
        found = np.full(len(cells), np.nan)
        seen = self._values[cells[inside, 1], cells[inside, 0]].astype(np.float64) * self._metres
        found[inside] = np.where(seen > 0, seen, np.nan)
        return found


class DepthImages:
    """Takes depth images in one thread and measures in another."""

    def __init__(self, max_pixels: int) -> None:
        """Nothing has come yet.

        Args:
            max_pixels: larger images are refused.
        """
        self._max_pixels = max_pixels
        self._kept: deque[_Kept] = deque(maxlen=_KEPT)
        self.refusal = ""
        """Why the last depth image was of no use; empty when it was."""

    def store(self, message: Image) -> None:
        """Keep what is needed of ``message``; what is no depth image is refused."""
        try:
            self._kept.append(_Kept(message, self._max_pixels))
            self.refusal = ""
        except ValueError as error:
            self.refusal = f"depth image: {error}"

    def check_topic(self, topic: str, kinds: Sequence[str], beside: Sequence[str]) -> None:
        """Refuse a topic on which nothing can arrive, as the graph shows it.

        Args:
            topic: full name of the topic that is read.
            kinds: message types of its publishers.
            beside: topics of compressed images of the same camera that are published.
        """
        if _READABLE in kinds or not (kinds or beside):
            return
        found = f"{topic} carries {kinds[0]}" if kinds else f"{beside[0]} is published, {topic} not"
        self.refusal = (
            f"depth image: {found}; expected {_READABLE}, for depth is not read compressed. "
            "Republish it as raw (docs/scale-and-calibration.md has the command) and remap depth "
            "to that."
        )

    def at(
        self, stamp_ns: int, frame_id: str, source_size: tuple[int, int]
    ) -> Callable[[np.ndarray], np.ndarray] | None:
        """What measures depth at pixels of the image of this stamp; None where nothing does.

        Args:
            stamp_ns: of the image.
            frame_id: its optical frame, which must be the depth image's.
            source_size: width and height of the image in pixels.
        """
        # A copy in one step: the other thread may store meanwhile.
        kept = self._kept.copy()
        nearest = min(kept, key=lambda one: abs(one.stamp_ns - stamp_ns), default=None)
        if nearest is None or abs(nearest.stamp_ns - stamp_ns) > _TOLERANCE_NS:
            return None
        self.refusal = _not_aligned(nearest, frame_id, source_size)
        return None if self.refusal else lambda pixels: nearest.at(pixels, source_size)


def _not_aligned(depth: _Kept, frame_id: str, source_size: tuple[int, int]) -> str:
    remedy = "Use the topic that the camera driver aligns to the colour image."
    if depth.frame_id != frame_id:
        return (
            f"depth image: it is in frame {depth.frame_id[:128]!r}, the image in {frame_id!r}; "
            f"expected it aligned to the image. {remedy}"
        )
    ratio = depth.size[0] * source_size[1] / (depth.size[1] * source_size[0])
    if abs(ratio - 1.0) > _SHAPE_TOLERANCE:
        return (
            f"depth image: it is {depth.size[0]}x{depth.size[1]}, the image "
            f"{source_size[0]}x{source_size[1]}; expected the same shape. {remedy}"
        )
    return ""


def _thinned(message: Image, max_pixels: int) -> tuple[np.ndarray, int]:
    """The pixels of every n-th row and column, and n."""
    width, height = message.width, message.height
    if message.encoding not in _TYPES:
        raise ValueError(
            f"encoding {message.encoding[:40]!r}; expected 16UC1 in millimetres or 32FC1 in "
            "metres. Remap depth to an image that is not compressed."
        )
    number = np.dtype(_TYPES[message.encoding][0]).newbyteorder(
        ">" if message.is_bigendian else "<"
    )
    row_bytes = width * number.itemsize
    is_whole = message.step >= row_bytes > 0 and len(message.data) == message.step * height > 0
    if not is_whole or width * height > max_pixels:
        raise ValueError(
            f"{width}x{height}, step {message.step}, {len(message.data)} bytes; expected rows of "
            f"at least {row_bytes} bytes, all of them, and at most {max_pixels} pixels. Check the "
            "driver, or raise input.max_pixels."
        )
    step = max(1, max(width, height) // _LONG_SIDE)
    rows = np.frombuffer(message.data, np.uint8).reshape(height, message.step)
    chosen = np.ascontiguousarray(rows[step // 2 :: step, :row_bytes])
    return np.ascontiguousarray(chosen.view(number)[:, step // 2 :: step]), step


class RobotSources:
    """Answers the questions of ``human3r.scale`` about one stream, on the worker thread.

    Attributes:
        depths: what has come on topic depth.
    """

    def __init__(self, tree: FrameTree, settings: Settings) -> None:
        """Nothing is known before the first ``update``.

        Args:
            tree: what is heard on TF.
            settings: names of the robot's frames, and the largest image.
        """
        self._tree = tree
        self.depths = DepthImages(settings.input.max_pixels)
        self._frames = settings.frames
        self._mode = settings.scale.mode
        self._optical = ""
        self._source_size = (1, 1)
        self._raw_from_image: Callable[[np.ndarray], np.ndarray] | None = None
        self._lookup_reason = ""

    def update(self, frame: Frame) -> None:
        """The next frame, before it is scaled."""
        self._optical = frame.frame_id
        self._source_size = (frame.image.shape[1], frame.image.shape[0])
        self._raw_from_image = frame.raw_from_image

    def sources(self) -> ScaleSources:
        """The answers as callables."""
        return ScaleSources(
            pose_at=self._pose_at,
            depth_at=self._depth_at,
            camera_height_m=self._camera_height_m,
            trouble=self._trouble,
        )

    def _trouble(self) -> str:
        is_wanted = self._mode == "odometry"
        return self.depths.refusal or (self._lookup_reason if is_wanted else "")

    def _pose_at(self, stamp_ns: int) -> np.ndarray | None:
        found = self._tree.lookup(self._frames.anchor, self._optical, stamp_ns)
        self._lookup_reason = ""
        if found.reason:
            self._lookup_reason = (
                f"{found.reason}; expected the robot's odometry on TF. Check frames.anchor."
            )
        return found.target_from_source

    def _depth_at(self, stamp_ns: int) -> Callable[[np.ndarray], np.ndarray] | None:
        measure = self.depths.at(stamp_ns, self._optical, self._source_size)
        bend = self._raw_from_image
        if measure is None or bend is None:
            return measure
        return lambda pixels: measure(bend(pixels))

    def _camera_height_m(self) -> float:
        chain = self._tree.static_ancestors(self._optical)
        if self._mode == "camera_height":
            base = self._frames.base or chain[-1]
        else:
            # Nobody said that the robot's frames stand on the floor: only this one does by name.
            base = next((name for name in chain if name.endswith(_ON_FLOOR)), "")
        if base == self._optical or base not in chain:
            return 0.0
        base_from_camera = np.linalg.inv(self._tree.camera_from_base(self._optical, base))
        return float(base_from_camera[2, 3])
