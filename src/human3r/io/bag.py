"""Image topics of rosbag2 folders, .mcap, .db3 and ROS 1 .bag files, read without ROS."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore

from human3r.camera.calibration import (
    UNNAMED_FRAME,
    CalibrationCache,
    calibrated,
    image_frame,
    uses_p,
)
from human3r.errors import InputError
from human3r.file_kind import BAGS, kind_of, refuse_other_kinds
from human3r.io.frame_source import Arrived, FrameSource, Selection
from human3r.io.image_messages import family_of, rgb_from_message
from human3r.io.stream_rules import stamp_ns_of
from human3r.types import Frame

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

log = logging.getLogger(__name__)

_RAW, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_METADATA = "metadata.yaml"
_MAX_METADATA_BYTES = 16 << 20
_MAX_MESSAGE_BYTES = 1 << 29
_ZSTD = b"\x28\xb5\x2f\xfd"
_PACKED = ".zstd"
_DEPTH = "/compressedDepth"


class BagReader(AnyReader):
    """rosbags' reader, for bags that say less of themselves than it expects."""

    def _open(self) -> None:
        try:
            super()._open()
        # The definition of a type that was not asked for may be one that rosbags cannot parse.
        except Exception as error:
            connections = []
            with contextlib.suppress(Exception):  # A storage file that could not be opened.
                connections = [c for reader in self.readers for c in reader.connections]
            if not connections:
                raise
            log.warning(
                "%s: a message definition in it cannot be used (%s); going on with those of ROS",
                ", ".join(str(path) for path in self.paths),
                error or type(error).__name__,
            )
            self.connections = connections
            self.typestore = get_typestore(Stores.ROS2_HUMBLE if self.is2 else Stores.ROS1_NOETIC)

    def messages(self, *args: Any, **kwargs: Any) -> Iterator[tuple[Connection, int, bytes]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As of rosbags; unpacked also where no metadata.yaml says that they are compressed."""
        for connection, stamp_ns, data in super().messages(*args, **kwargs):
            if self.is2 and is_packed_message(data):
                # One that is damaged is refused where it is read, and the others are not lost.
                with contextlib.suppress(ZstdError):
                    data = ZstdDecompressor().decompress(data, max_length=_MAX_MESSAGE_BYTES)
            yield connection, stamp_ns, data


def is_packed_message(data: bytes) -> bool:
    """Whether it is one of a bag recorded with compression_mode message; CDR begins with zero."""
    return data[:4] == _ZSTD


class BagSource(FrameSource):
    """One image topic of a bag, with the ``camera_info`` beside it where there is one.

    Messages are read, and left out, as the node does. Stamps are those of the image headers, or
    where the setting ``input.stamp`` is receive the times of recording.
    """

    skips_damaged = True

    def __init__(self, path: Path, selection: Selection, topic: str | None) -> None:
        super().__init__(path.name, selection)
        self._path = path
        self._reader = open_bag(path)
        try:
            self._connections = _image_connections(self._reader, path, topic)
            self.topic = self._connections[0].topic
            self._info_connections = _info_connections(self._reader, self.topic)
            self._calibrations = CalibrationCache()
            raw_topic = self.topic.removesuffix("/compressed")
            self._calibrations.uses_p = uses_p(selection.settings.input, raw_topic)
            self._read_first_info()
        except BaseException:
            self.close()
            raise
        self.name = f"{path.name} {self.topic}"
        self._said: set[str] = set()
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
                    self._calibrations.store(self._message(connection, data))
            else:
                yield connection, stamp_ns, data

    def _arrived(self, item: tuple[Connection, int, bytes], number: int) -> Arrived:
        connection, recorded_ns, data = item
        message = self._message(connection, data)
        is_stamped = self.selection.settings.input.stamp == "header"
        stamp_ns = stamp_ns_of(message.header.stamp) if is_stamped else recorded_ns
        frame_id = image_frame(message.header.frame_id)

        def decode() -> tuple[Frame, str]:
            frame = self._decoded(message, stamp_ns, f"{self.name}: frame {number}")
            return self._calibrated(frame), self.family

        return Arrived(number, stamp_ns, frame_id, recorded_ns, decode)

    def _decode(self, item: tuple[Connection, int, bytes], number: int) -> Frame:
        return self._arrived(item, number).frame

    def _decoded(self, message: Any, stamp_ns: int, what: str) -> Frame:
        image = rgb_from_message(message, what, self.selection.max_pixels)
        frame_id = image_frame(message.header.frame_id)
        if not message.header.frame_id:
            self._say_once(UNNAMED_FRAME)
        policy = self.selection.settings.input
        height, width = image.shape[:2]
        found = calibrated(self._calibrations, policy, frame_id, width, height)
        for warning in found.warnings:
            self._say_once(warning)
        self.family = family_of(message)
        if found.lens is not None:
            self.family += " without distortion"
            self._say_once("lens distortion is taken out of the images", logging.INFO)
        return Frame(
            found.without_distortion(image),
            stamp_ns,
            found.intrinsics,
            frame_id,
            found.raw_from_image,
        )

    def _say_once(self, text: str, level: int = logging.WARNING) -> None:
        if text not in self._said:
            self._said.add(text)
            log.log(level, "%s: %s", self.name, text)

    def _read_first_info(self) -> None:
        """Cameras announce themselves late; the first calibration holds for earlier images too."""
        if not self._info_connections or self.selection.settings.input.camera_info == "ignore":
            return
        with contextlib.suppress(Exception):  # A damaged bag is reported when images are read.
            for connection, _, data in self._reader.messages(connections=self._info_connections):
                self._calibrations.store(self._message(connection, data))
                return

    def _message(self, connection: Connection, data: bytes) -> Any:
        try:
            return self._reader.deserialize(data, connection.msgtype)
        # A message that lies about its lengths fails in struct, numpy or the decoder of text.
        except Exception as error:
            raise InputError(
                f"{self.name}: a {connection.msgtype} on {connection.topic} cannot be read "
                f"({error}); expected a valid message. The bag is damaged."
            ) from error


def open_bag(path: Path) -> BagReader:
    """The bag, opened.

    Raises:
        InputError: no complete bag there.
    """
    try:
        return open_files(_files_of(path))
    except InputError:
        raise
    # Whatever a damaged bag makes of YAML, SQLite, struct and the decompressors.
    except Exception as error:
        if path.is_dir() and (files := _readable_files(path, error)):
            return open_files(files)
        expected = "a complete rosbag2 folder, .mcap, .db3 or ROS 1 .bag"
        if path.is_file():
            refuse_other_kinds(path, BAGS, expected, InputError)
            _refuse_other_suffix(path)
        tool = "rosbag reindex" if path.suffix.lower() == ".bag" else "human3r bag repair"
        raise InputError(
            f"{path}: cannot be opened as a bag ({error}); expected {expected}. `{tool}` keeps "
            "what is in one that was cut off."
        ) from error


def open_files(files: list[Path]) -> BagReader:
    """Bags or storage files together, opened; raises whatever rosbags raises."""
    # Bags of older ROS 2 releases hold no definitions; sensor_msgs did not change since.
    reader = BagReader(files, default_typestore=get_typestore(Stores.ROS2_HUMBLE))
    reader.open()
    return reader


def _readable_files(folder: Path, trouble: Exception) -> list[Path]:
    """Storage files of a folder that can be opened one by one, where all together cannot."""
    files = _storage_files(folder)
    found, said = [], []
    for file in files:
        try:
            open_files([file]).close()
            found.append(file)
        # As in ``open_bag``.
        except Exception as error:
            said.append(f"{file.name} cannot be read ({error})")
    if found:
        log.warning(
            "%s: %s; going on with %s. `human3r bag repair` keeps what is in files that were cut "
            "off.",
            folder,
            "; ".join(said) or trouble,
            ", ".join(file.name for file in found),
        )
    return found


def _storage_files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.suffix.lower() in (".mcap", ".db3"))


def _refuse_other_suffix(path: Path) -> None:
    """Nothing, unless a bag is named as one of another storage.

    Raises:
        InputError: says how to name it.
    """
    suffixes = {"bag": ".mcap", "database": ".db3", "1": ".bag"}
    kind = kind_of(path)
    suffix = suffixes.get(kind.name, "") if kind else ""
    if suffix and path.suffix.lower() != suffix:
        raise InputError(
            f"{path}: is {kind.what if kind else ''}; expected the name to say so. Rename it to "
            f"{path.stem}{suffix}."
        )


def _files_of(path: Path) -> list[Path]:
    """The bag itself; of a folder whose metadata.yaml is of no use the storage files in it."""
    if not path.is_dir():
        refuse_packed([path])
    trouble = metadata_trouble(path) if path.is_dir() else ""
    if not trouble:
        return [path]
    refuse_packed(sorted(path.iterdir()))
    files = _storage_files(path)
    if not files:
        raise InputError(
            f"{path}: {trouble}, and no .mcap or .db3 file is beside it; expected a complete "
            "rosbag2. Copy it again, whole."
        )
    log.warning("%s: %s; going on with %s", path, trouble, ", ".join(entry.name for entry in files))
    return files


def refuse_packed(files: list[Path]) -> None:
    """Nothing, unless a storage file is compressed as a whole, as compression_mode file has it.

    Raises:
        InputError: says how to unpack them. Only with metadata.yaml can they be read as they are.
    """
    packed = [str(path) for path in files if path.suffix.lower() == _PACKED]
    if packed:
        raise InputError(
            f"{', '.join(packed[:3])}: compressed as a whole; expected .mcap or .db3. "
            f"`zstd -d --rm {packed[0]}` unpacks it, and `human3r bag repair` then writes a "
            "metadata.yaml that is missing."
        )


def metadata_trouble(folder: Path) -> str:
    """Why a bag's metadata.yaml is of no use; empty when it is.

    A recorder that is killed writes none, a full disk or a loss of power leaves one that is empty,
    cut off or full of zeros, and it names files that people rename.
    """
    path = folder / _METADATA
    if not path.is_file():
        return "has no metadata.yaml, so its recorder was killed"
    try:
        if path.stat().st_size > _MAX_METADATA_BYTES:
            raise ValueError("too large")
        known = yaml.safe_load(path.read_text(encoding="utf-8"))
        names = [str(name) for name in known["rosbag2_bagfile_information"]["relative_file_paths"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError):
        return "metadata.yaml is damaged, as after a loss of power"
    missing = [name for name in names if not (folder / Path(name).name).exists()]
    if missing or not names:
        return f"metadata.yaml names {', '.join(missing[:3]) or 'no file'}, which is not there"
    return ""


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
        # What a camera offers and was not recorded, or what no picture is, leaves no choice.
        likely = [
            found
            for name, found in offered.items()
            if any(c.msgcount for c in found) and not name.endswith(_DEPTH)
        ]
        if len(likely) == 1:
            return likely[0]
        if len(offered) > 1:
            raise InputError(
                f"{path}: several image topics; expected to be told which. Add --topic (with "
                f"`human3r play` --source-topic) and one of: {listing}."
            )
        return next(iter(offered.values()))
    # ROS 1 bags hold relative names too.
    wanted = topic.strip("/")
    for suffix in ("", "/compressed"):
        for name, connections in offered.items():
            if name.strip("/") == wanted + suffix:
                return connections
    raise InputError(f"{path}: no image topic {topic}; expected one of: {listing}.")


def _info_connections(reader: AnyReader, image_topic: str) -> list[Connection]:
    raw_topic = image_topic.removesuffix("/compressed")
    folder, slash, _ = raw_topic.rpartition("/")
    beside = f"{folder}{slash}camera_info"
    for name in (beside, raw_topic + "/camera_info"):
        # Names of a ROS 1 bag may lack the first slash.
        found = [
            c
            for c in reader.connections
            if c.topic.strip("/") == name.strip("/") and c.msgtype == _CAMERA_INFO
        ]
        if found:
            return found
    return []
