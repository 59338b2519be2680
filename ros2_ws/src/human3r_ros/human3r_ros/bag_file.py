"""One rosbag2 that appears under its name only when it is whole, and is kept whatever ends it."""

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
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.typesys import Stores, get_typestore

from human3r.errors import InputError, OutputError
from human3r.io.bag_repair import repair
from human3r.io.message_definitions import register_type
from human3r_ros.ros_api import is_lite

_VERSION = 8
"""Metadata version: the newest that Humble's `ros2 bag` reads as well as Jazzy's."""

_SYNC_NS = 1_000_000_000

# What SQLite, the file system and rosbags raise when a disk is full or gone.
_WRITE_ERRORS = (OSError, sqlite3.Error, WriterError)


class BagFile:
    """Writes serialised messages; nothing exists at ``path`` before ``finish`` or ``keep``.

    The bag grows in ``<path>.part/``; at most the last second of the recording is lost when the
    process is killed, and `human3r bag repair` makes it whole. To be used from one thread only.

    Args:
        path: folder of the finished bag.
        storage: sqlite3 or mcap.

    Raises:
        OutputError: the path is taken or cannot be made.
    """

    def __init__(self, path: Path, storage: str = "mcap") -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self.num_messages = 0
        self._is_kept = False
        self._synced_ns: int | None = None
        refuse_existing(path)
        if self._part.exists():
            raise OutputError(
                f"{self._part} exists; expected no unfinished recording. Another one is running, "
                f"or one was killed: then `human3r bag repair {self._part}` keeps what is in it."
            )
        self._writer = Writer(
            self._part / path.name, version=_VERSION, storage_plugin=StoragePlugin[storage.upper()]
        )
        try:
            self._part.mkdir(parents=True)
            self._writer.open()
            if storage == "sqlite3":
                # A log beside the file: commits cost little, and a power cut damages nothing.
                self._writer.storage.conn.execute("PRAGMA journal_mode = WAL")  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
                self._writer.storage.conn.execute("PRAGMA synchronous = NORMAL")  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
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
            self.num_messages += 1
            # By the time of messages: the same messages make the same file.
            if self._synced_ns is None:
                self._synced_ns = received_ns
            elif abs(received_ns - self._synced_ns) >= _SYNC_NS:
                self._sync()
                self._synced_ns = received_ns
        except _WRITE_ERRORS as error:
            raise self._cannot_write(error) from error

    def sync(self) -> None:
        """Hand to the operating system what is still in memory.

        Raises:
            OutputError: the disk refuses.
        """
        try:
            self._sync()
        except _WRITE_ERRORS as error:
            raise self._cannot_write(error) from error

    def _sync(self) -> None:
        storage = self._writer.storage
        if isinstance(storage, McapWriter):
            if storage.chunk.msgs:
                storage.close_chunk()
            storage.bio.flush()
        else:
            storage.conn.commit()  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]

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
            storage = self._writer.storage
            if not isinstance(storage, McapWriter):
                # One file again, as readers expect.
                storage.conn.commit()  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
                storage.conn.execute("PRAGMA journal_mode = DELETE")  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
            self._writer.close()
            refuse_existing(self.path)
            (self._part / self.path.name).rename(self.path)
            self._part.rmdir()
        except _WRITE_ERRORS as error:
            raise self._cannot_write(error) from error

    def keep(self) -> str:
        """After an error: make a bag of what was written so far.

        Returns:
            Where it is, in a sentence; empty when there is nothing to keep.
        """
        if not self.num_messages or not self._part.exists():
            return ""
        self._is_kept = True
        with suppress(*_WRITE_ERRORS):
            self._writer.abort()
        try:
            done = repair(self._part)
        except InputError:
            # Not even one message is whole.
            self._is_kept = False
            return ""
        except (OutputError, *_WRITE_ERRORS) as error:
            return (
                f"What was written is in {self._part} ({error}); free some space, then "
                f"`human3r bag repair {self._part}` makes a bag of it."
            )
        return f"{done.num_messages} messages that were written before are kept in {done.path}."

    def discard(self) -> None:
        """Leave nothing behind; harmless after ``finish`` and ``keep``."""
        if self._is_kept:
            return
        with suppress(*_WRITE_ERRORS):  # Closing writes what was still buffered.
            self._writer.abort()
        shutil.rmtree(self._part, ignore_errors=True)

    def _cannot_write(self, error: Exception) -> OutputError:
        return OutputError(
            f"{self.path}: the recording cannot be written ({error}); expected a writable disk "
            "with space. Free some space or choose another place for --out."
        )


def refuse_existing(path: Path) -> None:
    """Nothing, when the name is free.

    Raises:
        OutputError: something is there already.
    """
    if path.exists() or path.is_symlink():
        raise OutputError(
            f"{path} exists; expected a new name, since results are never overwritten. "
            "Remove it or choose another one."
        )


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


def describe_type(typename: str) -> tuple[str, str]:
    """Message definition with all it contains, and RIHS01 hash.

    Raises:
        LookupError: no definition of that type is known here.
    """
    if is_lite():
        from rclpy_lite.messages import store

        store.require_tree(typename)
        definition, _ = store.typestore.generate_msgdef(typename, ros_version=2)
        return definition, store.type_hash(typename)
    return describe_installed_type(typename)


def describe_installed_type(typename: str) -> tuple[str, str]:
    """The same from what ROS 2's packages install, and from rosbags for what they do not.

    Raises:
        LookupError: neither has it.
    """
    typestore = get_typestore(Stores.EMPTY)
    register_type(typestore, typename)
    definition, _ = typestore.generate_msgdef(typename, ros_version=2)
    return definition, typestore.hash_rihs01(typename)
