"""One rosbag2 that appears under its name only when it is complete."""

import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from human3r.errors import MissingExtraError, OutputError

_VERSION = 8
"""Metadata version: the newest that Humble's `ros2 bag` reads as well as Jazzy's."""

# What SQLite, the file system and rosbags raise when a disk is full or gone.
_WRITE_ERRORS = (OSError, sqlite3.Error, WriterError)


class BagFile:
    """Writes serialised messages; nothing exists at ``path`` before ``finish``.

    The bag grows in ``<path>.part/``. To be used from one thread only.

    Args:
        path: folder of the finished bag.
        storage: sqlite3 or mcap.

    Raises:
        OutputError: the path is taken or cannot be made.
    """

    def __init__(self, path: Path, storage: str = "mcap") -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        refuse_existing(path)
        if self._part.exists():
            raise OutputError(
                f"{self._part} exists; expected no unfinished recording. Another one is running, "
                "or one was killed: then remove that folder."
            )
        self._writer = Writer(
            self._part / path.name, version=_VERSION, storage_plugin=StoragePlugin[storage.upper()]
        )
        try:
            self._part.mkdir(parents=True)
            self._writer.open()
            if storage == "sqlite3":
                # As ros2 bag does: the operating system writes when it likes. A bag interrupted
                # by a power cut is lost either way, since it is renamed only at the end.
                self._writer.storage.conn.execute("PRAGMA synchronous = OFF")
        except _WRITE_ERRORS as error:
            self.discard()
            raise self._cannot_write(error) from error

    def add_topic(self, topic: str, typename: str, offered_qos: list[Any]) -> Connection:
        """Announce a topic, with its message definition, type hash and the QoS it is offered with.

        Args:
            topic: full name.
            typename: for example ``sensor_msgs/msg/Image``.
            offered_qos: rclpy profiles of its publishers, so that a player can offer the same.

        Raises:
            LookupError: no definition of that type is known here.
            OutputError: the disk refuses.
        """
        definition, type_hash = describe_type(typename)
        try:
            return self._writer.add_connection(
                topic,
                typename,
                msgdef=definition,
                rihs01=type_hash,
                offered_qos_profiles=[bag_qos(profile) for profile in offered_qos],
            )
        except _WRITE_ERRORS as error:
            raise self._cannot_write(error) from error

    def write(self, connection: Connection, received_ns: int, cdr: bytes) -> None:
        """Append one message.

        Raises:
            OutputError: the disk refuses.
        """
        try:
            self._writer.write(connection, received_ns, cdr)
        except _WRITE_ERRORS as error:
            raise self._cannot_write(error) from error

    def finish(self, notes: dict[str, str]) -> None:
        """Complete the bag and give it its name.

        Args:
            notes: kept in the bag's ``custom_data``.

        Raises:
            OutputError: the disk refuses, or the name was taken meanwhile.
        """
        for key, value in notes.items():
            self._writer.set_custom_data(key, value)
        try:
            self._writer.close()
            refuse_existing(self.path)
            (self._part / self.path.name).rename(self.path)
            self._part.rmdir()
        except _WRITE_ERRORS as error:
            raise self._cannot_write(error) from error

    def discard(self) -> None:
        """Leave nothing behind; harmless after ``finish``."""
        with suppress(*_WRITE_ERRORS):  # Closing writes what was still buffered.
            self._writer.abort()
        shutil.rmtree(self._part, ignore_errors=True)

    def _cannot_write(self, error: Exception) -> OutputError:
        return OutputError(
            f"{self.path}: the recording cannot be written ({error}); expected a writable disk "
            "with space. Nothing was kept. Free some space or choose another place for --out."
        )


def refuse_existing(path: Path) -> None:
    """Nothing, when the name is free.

    Raises:
        OutputError: something is there already.
    """
    if path.exists() or path.is_symlink():
        raise OutputError(
            f"{path} exists; expected a new name, since recordings are never overwritten. "
            "Remove it or choose another one."
        )


def describe_type(typename: str) -> tuple[str, str]:
    """Message definition with all it contains, and RIHS01 hash.

    Raises:
        LookupError: no definition of that type is known here.
        MissingExtraError: rclpy_lite, which finds definitions, is not installed.
    """
    try:
        from rclpy_lite.messages import store
    except ImportError as error:
        raise MissingExtraError(
            "rclpy_lite is not installed; expected it for message definitions. Install ./runtime, "
            "or record with `ros2 bag record`."
        ) from error
    store.require_tree(typename)
    definition, _ = store.typestore.generate_msgdef(typename, ros_version=2)
    return definition, store.type_hash(typename)


def bag_qos(profile: Any) -> Qos:
    """An rclpy profile in rosbags' words; policies discovery does not carry stay unknown."""
    return Qos(
        history=QosHistory[profile.history.name],
        depth=int(profile.depth),
        reliability=QosReliability[profile.reliability.name],
        durability=QosDurability[profile.durability.name],
        deadline=_bag_time(profile.deadline),
        lifespan=_bag_time(profile.lifespan),
        liveliness=QosLiveliness[profile.liveliness.name],
        liveliness_lease_duration=_bag_time(profile.liveliness_lease_duration),
        avoid_ros_namespace_conventions=bool(profile.avoid_ros_namespace_conventions),
    )


def _bag_time(duration: Any) -> QosTime:
    return QosTime(*divmod(duration.nanoseconds, 10**9))
