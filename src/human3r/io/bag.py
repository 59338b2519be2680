"""Image topics of rosbag2 folders, .mcap, .db3 and ROS 1 .bag files, read without ROS."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore

from human3r.errors import InputError
from human3r.io.frame_source import FrameSource, Selection
from human3r.io.image_messages import (
    intrinsics_from_camera_info,
    is_rectified_topic,
    rgb_from_compressed,
    rgb_from_image,
)
from human3r.types import Frame

log = logging.getLogger(__name__)

_RAW, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_MAX_NAME = 128


class BagSource(FrameSource):
    """One image topic of a bag, with the ``camera_info`` beside it where there is one.

    Stamps are those of the image headers; where these are zero, the times of recording.
    """

    skips_damaged = True
    recorded_ns: int | None = None
    """When the frame delivered last was recorded."""

    def __init__(self, path: Path, selection: Selection, topic: str | None) -> None:
        super().__init__(path.name, selection)
        self._path = path
        self._reader = open_bag(path)
        try:
            self._connections = _image_connections(self._reader, path, topic)
            self.topic = self._connections[0].topic
            self._info_connections = _info_connections(self._reader, self.topic)
            self._info = self._first_info()
        except BaseException:
            self.close()
            raise
        self.name = f"{path.name} {self.topic}"
        self._warned_about_zero = self._warned_about_info = False
        count, span_ns = self._total(), self._reader.end_time - self._reader.start_time
        if count > 1 and span_ns > 0:
            self.rate_hz = (count - 1) * 1e9 / span_ns / selection.every

    def close(self) -> None:
        if self._reader.stack is not None:
            self._reader.close()

    def _total(self) -> int:
        return sum(connection.msgcount for connection in self._connections)

    def _items(self) -> Iterator[tuple[Connection, int, bytes]]:
        wanted = [*self._connections, *self._info_connections]
        messages = self._reader.messages(connections=wanted)
        while True:
            try:
                connection, stamp_ns, data = next(messages)
            except StopIteration:
                return
            # rosbags lets the errors of its decompressors and of struct, sqlite and os through.
            except Exception as error:
                log.warning(
                    "%s: damaged or cut off (%s); going on with what came before",
                    self.name,
                    error or type(error).__name__,
                )
                return
            if connection.msgtype == _CAMERA_INFO:
                with contextlib.suppress(InputError):
                    self._info = self._message(connection, data)
            else:
                yield connection, stamp_ns, data

    def _decode(self, item: tuple[Connection, int, bytes], number: int) -> Frame:
        connection, recorded_ns, data = item
        what = f"{self.name}: frame {number}"
        message = self._message(connection, data)
        decode = rgb_from_image if connection.msgtype == _RAW else rgb_from_compressed
        image = decode(message, what, self.selection)
        header, self.recorded_ns = message.header, recorded_ns
        stamp_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        if stamp_ns <= 0:
            stamp_ns = recorded_ns
            if not self._warned_about_zero:
                self._warned_about_zero = True
                log.warning("%s has a zero stamp; using the time of recording", what)
        return Frame(
            image,
            stamp_ns,
            self._intrinsics(image.shape[1], image.shape[0]),
            header.frame_id[:_MAX_NAME] or "camera",
        )

    def _intrinsics(self, width_px: int, height_px: int) -> Any:
        if self._info is None:
            return None
        intrinsics = intrinsics_from_camera_info(
            self._info,
            width_px,
            height_px,
            is_rectified=is_rectified_topic(self.topic.removesuffix("/compressed")),
        )
        if intrinsics is None and not self._warned_about_info:
            self._warned_about_info = True
            log.warning(
                "%s: its camera_info holds no usable calibration for %dx%d images; going on "
                "without",
                self.name,
                width_px,
                height_px,
            )
        return intrinsics

    def _first_info(self) -> Any:
        """Cameras announce themselves late; the first calibration holds for earlier images too."""
        if not self._info_connections:
            return None
        with contextlib.suppress(Exception):  # A damaged bag is reported when images are read.
            for connection, _, data in self._reader.messages(connections=self._info_connections):
                return self._message(connection, data)
        return None

    def _message(self, connection: Connection, data: bytes) -> Any:
        try:
            return self._reader.deserialize(data, connection.msgtype)
        # A message that lies about its lengths fails in struct, numpy or the decoder of text.
        except Exception as error:
            raise InputError(
                f"{self.name}: a {connection.msgtype} on {connection.topic} cannot be read "
                f"({error}); expected a valid message. The bag is damaged."
            ) from error


def open_bag(path: Path) -> AnyReader:
    """The bag, opened.

    Raises:
        InputError: no complete bag there.
    """
    try:
        # Bags of older ROS 2 releases hold no definitions; sensor_msgs did not change since.
        reader = AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    # Whatever a damaged bag makes of YAML, SQLite, struct and the decompressors.
    except Exception as error:
        raise InputError(
            f"{path}: cannot be opened as a bag ({error}); expected a complete rosbag2 folder, "
            ".mcap, .db3 or ROS 1 .bag. `ros2 bag reindex` repairs one that was cut off."
        ) from error
    return reader


def _image_connections(reader: AnyReader, path: Path, topic: str | None) -> list[Connection]:
    offered: dict[str, list[Connection]] = {}
    for connection in reader.connections:
        if connection.msgtype in (_RAW, _COMPRESSED):
            offered.setdefault(connection.topic, []).append(connection)
    listing = ", ".join(
        f"{name} ({found[0].msgtype}, {sum(c.msgcount for c in found)} messages)"
        for name, found in sorted(offered.items())
    )
    if not offered:
        raise InputError(
            f"{path}: no image topic among {len(reader.connections)} topics; expected "
            f"{_RAW} or {_COMPRESSED}. Record the camera too."
        )
    if topic is None:
        if len(offered) > 1:
            raise InputError(
                f"{path}: several image topics; expected to be told which. Add --topic with one "
                f"of: {listing}."
            )
        return next(iter(offered.values()))
    wanted = "/" + topic.strip("/")
    for name in (wanted, wanted + "/compressed"):
        if name in offered:
            return offered[name]
    raise InputError(f"{path}: no image topic {topic}; expected one of: {listing}.")


def _info_connections(reader: AnyReader, image_topic: str) -> list[Connection]:
    raw_topic = image_topic.removesuffix("/compressed")
    beside = raw_topic.rpartition("/")[0] + "/camera_info"
    for name in (beside, raw_topic + "/camera_info"):
        found = [c for c in reader.connections if c.topic == name and c.msgtype == _CAMERA_INFO]
        if found:
            return found
    return []
