"""Reads back what the node published: the messages of each frame, by their common stamp."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader
from sensor_msgs_py import point_cloud2

from human3r.errors import InputError
from human3r.types import PointSet

FRAME_TOPICS = {
    # part of a frame: topic below the node's name
    "humans": "humans",
    "status": "status",
    "odometry": "odometry",
    "depth": "depth/image",
    "depth_info": "depth/camera_info",
    "mask": "mask/image",
    "points": "points",
    "scene": "scene/points",
}
"""What the node publishes about every frame it processed."""
_MAX_OPEN_FRAMES = 64


@dataclass
class RecordedFrame:
    """Everything published with one stamp; parts that were not recorded are absent."""

    stamp_ns: int
    parts: dict[str, Any] = field(default_factory=dict)
    """Message by part, see ``FRAME_TOPICS``."""

    @property
    def is_complete(self) -> bool:
        """Whether every part is there."""
        return len(self.parts) == len(FRAME_TOPICS)


class Recording:
    """A finished bag of one node's output. Use with ``with``.

    Args:
        path: the bag.
        node: full name of the node, for example ``/human3r``.

    Raises:
        InputError: no complete bag there.
    """

    def __init__(self, path: Path, node: str) -> None:
        try:
            self._reader = AnyReader([path])
            self._reader.open()
        except Exception as error:
            raise InputError(
                f"{path}: cannot be opened as a bag ({error}); expected a complete recording of "
                "the node. Record it again."
            ) from error
        self._part_of = {f"{node}/{topic}": part for part, topic in FRAME_TOPICS.items()}
        self.counts = {topic: info.msgcount for topic, info in self._reader.topics.items()}
        """Messages per topic."""

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def messages(self, *parts: str) -> Iterator[tuple[str, Any]]:
        """Part and message, in the order of arrival."""
        wanted = [c for c in self._reader.connections if self._part_of.get(c.topic) in parts]
        if not wanted:
            return
        for connection, _, data in self._reader.messages(connections=wanted):
            yield (
                self._part_of[connection.topic],
                self._reader.deserialize(data, connection.msgtype),
            )

    def frames(self) -> Iterator[RecordedFrame]:
        """Frames that carry at least people, in the order of their stamps; memory stays flat."""
        waiting: dict[int, RecordedFrame] = {}
        for part, message in self.messages(*FRAME_TOPICS):
            stamp_ns = stamp_of(message)
            if stamp_ns == 0:  # The report of an idle node belongs to no frame.
                continue
            frame = waiting.setdefault(stamp_ns, RecordedFrame(stamp_ns))
            # The closing message repeats the last stamp without people; the first one counts.
            frame.parts.setdefault(part, message)
            while len(waiting) > _MAX_OPEN_FRAMES:
                yield from _with_people(waiting.pop(min(waiting)))
        for stamp_ns in sorted(waiting):
            yield from _with_people(waiting[stamp_ns])


def _with_people(frame: RecordedFrame) -> Iterator[RecordedFrame]:
    if "humans" in frame.parts:
        yield frame


def stamp_of(message: Any) -> int:
    """The header's stamp in nanoseconds."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def image_array(message: Any) -> np.ndarray:
    """A 32FC1 or mono8 ``sensor_msgs/Image`` as (height, width)."""
    kind = {"32FC1": np.dtype("<f4"), "mono8": np.dtype(np.uint8)}[message.encoding]
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    return np.ascontiguousarray(rows[:, : message.width * kind.itemsize]).view(kind)


def point_set(message: Any) -> PointSet:
    """A cloud of the node with its colours and confidences."""
    rows = point_cloud2.read_points(message)
    rgb = np.ascontiguousarray(rows["rgb"]).view(np.uint32)
    return PointSet(
        points=np.stack([rows["x"], rows["y"], rows["z"]], -1),
        colors=np.stack([rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255], -1).astype(np.uint8),
        confidence=np.ascontiguousarray(rows["confidence"]),
        labels=np.zeros(len(rows), np.uint16),
    )
