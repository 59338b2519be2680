"""What a robot knows about metres: its poses and frames on TF, and a depth camera."""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from sensor_msgs.msg import Image

from human3r.config import Settings
from human3r.scale import ScaleSources
from human3r.types import Frame
from human3r_ros import convert
from human3r_ros.transforms import FrameTree

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
