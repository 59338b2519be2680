"""Makes a rosbag2 whole whose recorder was killed, or whose disk was full.

Everything that was written completely is kept. An MCAP file loses what comes after its last whole
record and gets its index; an SQLite file goes back to its last commit. Works in place, and needs
next to no space.

Source: the MCAP format specification, https://mcap.dev/spec; rosbags writes the index.
"""

import logging
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat as Format
from rosbags.rosbag2 import CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.metadata import parse_qos
from rosbags.rosbag2.storage_mcap import (
    Channel,
    McapWriter,
    PendingChunk,
    Schema,
    decompress,
    get_msgdef,
    get_qos,
    write_record,
)

from human3r.atomic import output_errors, whole_file
from human3r.errors import InputError, OutputError
from human3r.file_kind import refuse_other_kinds
from human3r.io.bag import is_packed_message, metadata_trouble, open_files, refuse_packed

log = logging.getLogger(__name__)

SUFFIXES = (".mcap", ".db3")
_VERSION = 8
_MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _INDEX, _DATA_END = 2, 3, 4, 5, 6, 7, 15
_START_NS = 2**63 - 1
_MESSAGE_HEAD = 22
"""Bytes of a record before the message: channel, number and two times."""


@dataclass
class Repaired:
    """What was made of a bag."""

    path: Path
    num_messages: int = 0
    num_topics: int = 0
    num_bytes_cut: int = 0
    """What came after the last whole record."""


def repair(path: Path) -> Repaired:
    """Make a bag whole that was cut off.

    Args:
        path: a bag's folder, a storage file, or the ``.part`` folder of `human3r record`, which
            then gets the name of the bag.

    Raises:
        InputError: no bag there, one that is whole, or nothing in it can be read.
        OutputError: the disk refuses, or the name is taken.
    """
    if path.is_file():
        kinds = ("bag", "database")
        refuse_other_kinds(path, kinds, "an .mcap or .db3 file that was cut off", InputError)
        one = _made_whole(path)
        if one.was_whole:
            raise InputError(f"{path}: has its index; expected a file without. It is whole.")
        return Repaired(path, one.num_messages, len(one.connections), one.num_bytes_cut)
    if not path.exists():
        raise InputError(
            f"{path}: no such file or folder; expected a rosbag2, or the .part folder of a "
            "recording. Check the path."
        )
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        refuse_packed(sorted(path.iterdir()))
    folder = _storage_folder(path)
    metadata = folder / "metadata.yaml"
    if metadata.is_file():
        if _is_whole(folder):
            raise InputError(
                f"{folder}: is whole; expected a bag that was cut off. Use it as it is."
            )
        with output_errors(metadata):
            metadata.replace(metadata.with_name("metadata.yaml.damaged"))
    contents = _contents_of(folder)
    _write_metadata(folder, contents)
    return Repaired(
        _named(path, folder),
        sum(one.num_messages for one in contents),
        len({connection.topic for one in contents for connection in one.connections}),
        sum(one.num_bytes_cut for one in contents),
    )


def _contents_of(folder: Path) -> "list[_Contents]":
    """What is in the storage files, made whole, by time; those without a message are left out.

    Raises:
        InputError: all of them are, or they are of two kinds.
    """
    contents, errors = [], []
    for file in sorted(entry for entry in folder.iterdir() if entry.suffix in SUFFIXES):
        try:
            contents.append(_made_whole(file))
        except InputError as error:
            errors.append(error)
    if not contents:
        raise errors[0]
    for error in errors:
        log.warning("%s It is left out of the bag.", error)
    if len({one.plugin for one in contents}) > 1:
        names = ", ".join(one.path.name for one in contents)
        raise InputError(
            f"{folder}: holds {names}, each of which is whole now; expected files of one storage, "
            "since a bag has one. Move the others into a folder of their own, and repair again."
        )
    return sorted(contents, key=lambda one: one.span_ns)


def _is_whole(folder: Path) -> bool:
    """Whether metadata.yaml can be used, and every message that it counts be read."""
    if metadata_trouble(folder) or not all(map(_has_an_end, folder.glob("*.mcap"))):
        return False
    try:
        with closing(open_files([folder])) as reader:
            return sum(1 for _ in reader.messages()) == reader.message_count
    # Whatever a damaged bag makes of SQLite, struct and the decompressors.
    except Exception:
        return False


def _has_an_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, len(_MAGIC)), 2)
        return file.read() == _MAGIC


def _storage_folder(path: Path) -> Path:
    """The folder with the storage files: the one named, or the one in a ``.part`` folder."""
    candidates = [path]
    if path.is_dir():
        candidates += [entry for entry in path.iterdir() if entry.is_dir()]
    for folder in candidates:
        if folder.is_dir() and any(entry.suffix in SUFFIXES for entry in folder.iterdir()):
            return folder
    raise InputError(
        f"{path}: holds no {' or '.join(SUFFIXES)} file; expected a rosbag2, or the .part folder "
        "of a recording. Check the path."
    )


def _named(path: Path, folder: Path) -> Path:
    """Give a bag out of a ``.part`` folder its name."""
    if folder == path:
        return folder
    wanted = path.with_name(path.name.removesuffix(".part"))
    if wanted.exists():
        raise OutputError(
            f"{wanted} exists; expected a free name. The bag is whole, and stays at {folder}."
        )
    with output_errors(wanted):
        folder.rename(wanted)
        path.rmdir()
    return wanted


@dataclass
class _Contents:
    """What a storage file holds that is whole, or was made so."""

    path: Path
    plugin: StoragePlugin
    connections: list[Connection]
    """With the number of messages of each."""
    span_ns: tuple[int, int]
    is_packed: bool
    """Whether messages are compressed one by one."""
    num_bytes_cut: int = 0
    was_whole: bool = False

    @property
    def num_messages(self) -> int:
        """Of all topics."""
        return sum(connection.msgcount for connection in self.connections)


def _made_whole(path: Path) -> _Contents:
    """A storage file, repaired where it has to be.

    Raises:
        InputError: nothing in it can be read.
        OutputError: the disk refuses.
    """
    repair_it = _repair_mcap if path.suffix == ".mcap" else _repair_sqlite
    try:
        with output_errors(path):
            return repair_it(path)
    # A damaged file makes struct, the decompressors and SQLite raise nearly everything.
    except (struct.error, ValueError, KeyError, sqlite3.Error, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be repaired ({error}); expected a file that was cut off, not one that "
            "is damaged from the beginning. `ros2 bag reindex` may do more."
        ) from error


# -- MCAP ------------------------------------------------------------------------------------------


@dataclass
class _Found:
    """What a file holds up to its last whole record."""

    end: int = len(_MAGIC)
    """Bytes of it."""
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    schema_of: dict[int, int] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    chunks: list[BytesIO] = field(default_factory=list)
    start_ns: int = _START_NS
    end_ns: int = 0
    is_whole: bool = False
    is_packed: bool = False
    """Whether its messages are compressed one by one."""
    pending: "_Chunk | None" = None

    def add(self, op: int, body: bytes) -> None:
        """Take in a record that stands alone or in a chunk."""
        if op == _SCHEMA:
            number, name, encoding, data = _schema(body)
            self.schemas[number] = Schema(number, name, encoding, data.decode())
        elif op == _CHANNEL:
            number, schema, topic, encoding, metadata = _channel(body)
            name = self.schemas[schema].name if schema in self.schemas else "__schemaless__"
            self.channels[number] = Channel(number, name, topic, encoding, metadata)
            self.schema_of[number] = schema
        elif op == _MESSAGE:
            channel, _, time_ns, _ = struct.unpack_from("<HIQQ", body)
            self.counts[channel] += 1
            self.is_packed |= is_packed_message(body[_MESSAGE_HEAD:])
            self.start_ns, self.end_ns = min(self.start_ns, time_ns), max(self.end_ns, time_ns)


@dataclass
class _Chunk:
    """A chunk whose index is still to come."""

    start: int
    length: int
    head: tuple[int, int, int, int]
    """First and last time, uncompressed size, checksum."""
    compression: str
    compressed_size: int
    times: dict[int, list[tuple[int, int]]]
    """Of each channel: time and place of its messages."""
    index_of: dict[int, int] = field(default_factory=dict)
    """Of each channel: where its index is in the file."""


def _repair_mcap(path: Path) -> _Contents:
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("it does not begin as an MCAP file")
        found = _scan(file, size)
    if not found.counts:
        raise ValueError("there is no whole message in it")
    cut = 0 if found.is_whole else size - found.end
    if not found.is_whole:
        _finish_mcap(path, found)
    span_ns, is_whole = (found.start_ns, found.end_ns), found.is_whole
    connections = _mcap_connections(found)
    return _Contents(path, StoragePlugin.MCAP, connections, span_ns, found.is_packed, cut, is_whole)


def _scan(file: BinaryIO, size: int) -> _Found:
    found = _Found()
    for place, op, length in _records(file, size):
        if op == _FOOTER:
            found.is_whole = True
            break
        if op == _DATA_END:
            # What follows is an index that may be incomplete; it is written anew.
            found.is_whole = _has_footer(file, size)
            break
        if op == _CHUNK:
            chunk = _read_chunk(file.read(length), place, length + 9, found)
            if chunk is None:
                break
            _close_chunk(found)
            found.pending = chunk
        elif op == _INDEX and found.pending is not None:
            (channel,) = struct.unpack_from("<H", file.read(length))
            found.pending.index_of[channel] = place
        else:
            _close_chunk(found)
            found.add(op, file.read(length))
        found.end = place + 9 + length
    return found


def _records(file: BinaryIO, size: int) -> Iterator[tuple[int, int, int]]:
    """Place, kind and length of every record that is whole."""
    place = len(_MAGIC)
    while place + 9 <= size:
        file.seek(place)
        op, length = struct.unpack("<BQ", file.read(9))
        if place + 9 + length > size or op == 0:
            return
        yield place, op, length
        place += 9 + length


def _has_footer(file: BinaryIO, size: int) -> bool:
    file.seek(max(0, size - len(_MAGIC)))
    return file.read() == _MAGIC


def _read_chunk(body: bytes, place: int, length: int, found: _Found) -> _Chunk | None:
    """The chunk with its messages counted; None when it cannot be unpacked."""
    head = struct.unpack_from("<QQQI", body)
    compression, offset = _text(body, 28)
    (compressed_size,) = struct.unpack_from("<Q", body, offset)
    try:
        raw = decompress(body[offset + 8 :][:compressed_size], compression, head[2], head[3])
    # Each decompressor has errors of its own.
    except Exception as error:
        log.warning("the chunk at byte %d cannot be unpacked (%s); it is cut off", place, error)
        return None
    times: dict[int, list[tuple[int, int]]] = defaultdict(list)
    position = 0
    while position + 9 <= len(raw):
        op, size = struct.unpack_from("<BQ", raw, position)
        record = raw[position + 9 : position + 9 + size]
        found.add(op, record)
        if op == _MESSAGE:
            channel, _, time_ns = struct.unpack_from("<HIQ", record)
            times[channel].append((time_ns, position))
        position += 9 + size
    return _Chunk(place, length, head, compression, compressed_size, times)


def _close_chunk(found: _Found, out: BinaryIO | None = None) -> None:
    """Describe the pending chunk as the index does; what its own index lacks goes to ``out``."""
    chunk, found.pending = found.pending, None
    if chunk is None:
        return
    if out is not None:
        for channel, times in chunk.times.items():
            if channel not in chunk.index_of:
                chunk.index_of[channel] = out.tell()
                pairs = b"".join(struct.pack("<QQ", *pair) for pair in times)
                head = struct.pack("<HI", channel, len(pairs))
                write_record(out, _INDEX, _body(head + pairs))
        found.end = out.tell()
    offsets = b"".join(struct.pack("<HQ", *pair) for pair in chunk.index_of.items())
    start_ns, end_ns, size, _ = chunk.head
    name = chunk.compression.encode()
    found.chunks.append(
        _body(
            struct.pack("<QQQQ", start_ns, end_ns, chunk.start, chunk.length)
            + struct.pack("<I", len(offsets))
            + offsets
            + struct.pack("<Q", found.end - chunk.start - chunk.length)
            + struct.pack("<I", len(name))
            + name
            + struct.pack("<QQ", chunk.compressed_size, size)
        )
    )


def _body(data: bytes) -> BytesIO:
    """A record's content as rosbags takes it: positioned at its end."""
    body = BytesIO()
    body.write(data)
    return body


def _finish_mcap(path: Path, found: _Found) -> None:
    """Cut the file after its last whole record and write what a closed file ends with."""
    with path.open("r+b") as file:
        file.truncate(found.end)
        file.seek(found.end)
        _close_chunk(found, file)
        # rosbags' own writer, as if it had written all this itself.
        writer = McapWriter.__new__(McapWriter)
        writer.path, writer.bio = path, file  # pyright: ignore[reportAttributeAccessIssue]
        writer.schemas = list(found.schemas.values())
        writer.channels = list(found.channels.values())
        writer.chunks = found.chunks
        writer.chunk = PendingChunk(_START_NS, 0, BytesIO(), defaultdict(list))
        writer.compression, writer.compressor = "", bytes
        writer.message_start_time, writer.message_end_time = found.start_ns, found.end_ns
        writer.channel_stats = {number: found.counts[number] for number in found.channels}
        writer.close(_VERSION, "")


def _mcap_connections(found: _Found) -> list[Connection]:
    return [
        Connection(
            number,
            channel.topic,
            channel.schema,
            get_msgdef(found.schemas.get(found.schema_of[number])),
            "",
            found.counts[number],
            ConnectionExtRosbag2(channel.message_encoding, get_qos(channel.metadata)),
            None,
        )
        for number, channel in found.channels.items()
    ]


def _text(body: bytes, offset: int) -> tuple[str, int]:
    data, end = _blob(body, offset)
    return data.decode(), end


def _blob(body: bytes, offset: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("<I", body, offset)
    return body[offset + 4 : offset + 4 + length], offset + 4 + length


def _schema(body: bytes) -> tuple[int, str, str, bytes]:
    (number,) = struct.unpack_from("<H", body)
    name, offset = _text(body, 2)
    encoding, offset = _text(body, offset)
    return number, name, encoding, _blob(body, offset)[0]


def _channel(body: bytes) -> tuple[int, int, str, str, bytes]:
    number, schema = struct.unpack_from("<HH", body)
    topic, offset = _text(body, 4)
    encoding, offset = _text(body, offset)
    return number, schema, topic, encoding, _blob(body, offset)[0]


# -- SQLite and metadata ---------------------------------------------------------------------------


def _repair_sqlite(path: Path) -> _Contents:
    size = path.stat().st_size
    # Opening it to write rolls back what was not committed.
    connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
        count, start_ns, end_ns = connection.execute(
            "SELECT count(*), min(timestamp), max(timestamp) FROM messages"
        ).fetchone()
        if not count:
            raise ValueError("there is no whole message in it")
        topics = connection.execute(
            "SELECT id, name, type, serialization_format, offered_qos_profiles FROM topics"
        ).fetchall()
        (first,) = connection.execute("SELECT substr(data, 1, 4) FROM messages LIMIT 1").fetchone()
        is_packed = is_packed_message(bytes(first))
        counts = dict(
            connection.execute("SELECT topic_id, count(*) FROM messages GROUP BY topic_id")
        )
    finally:
        connection.close()
    connections = [
        Connection(
            *(number, name, kind, MessageDefinition(Format.NONE, ""), "", counts.get(number, 0)),
            ConnectionExtRosbag2(form, parse_qos(qos) if qos else []),
            None,
        )
        for number, name, kind, form, qos in topics
    ]
    cut = max(0, size - path.stat().st_size)
    return _Contents(path, StoragePlugin.SQLITE3, connections, (start_ns, end_ns), is_packed, cut)


class _Closed:
    """A storage that is closed already, for a writer that only has to write metadata.yaml."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def close(self, version: int, metadata: str) -> None:
        """Nothing."""

    abort = close


def _write_metadata(folder: Path, contents: list[_Contents]) -> None:
    """metadata.yaml, by rosbags' own writer; of several files with a list of them all."""
    first, metadata = contents[0], folder / "metadata.yaml"
    is_packed = any(one.is_packed for one in contents)
    writer: Any = Writer(folder.with_name(folder.name + ".unused"), version=_VERSION,
                         storage_plugin=first.plugin)  # fmt: skip
    writer.compression_mode = CompressionMode.MESSAGE if is_packed else CompressionMode.NONE
    writer.compression_format = "zstd" if is_packed else ""
    writer.path, writer.metapath = folder, metadata
    writer.storage = _Closed(first.path)
    writer.connections = _together(contents)
    writer.counts = {connection.id: connection.msgcount for connection in writer.connections}
    writer.min_timestamp = min(one.span_ns[0] for one in contents)
    writer.max_timestamp = max(one.span_ns[1] for one in contents)
    writer.set_custom_data("repaired_by", "human3r bag repair")
    with output_errors(metadata):
        writer.close()
        if len(contents) > 1:
            _list_files(metadata, contents)


def _together(contents: list[_Contents]) -> list[Connection]:
    """One connection per topic and type, with the messages of all files."""
    found: dict[tuple[str, str], Connection] = {}
    for connection in (connection for one in contents for connection in one.connections):
        key = connection.topic, connection.msgtype
        before = found[key].msgcount if key in found else 0
        like = found.get(key, connection._replace(id=len(found) + 1))
        found[key] = like._replace(msgcount=before + connection.msgcount)
    return list(found.values())


def _list_files(metadata: Path, contents: list[_Contents]) -> None:
    document = yaml.safe_load(metadata.read_text(encoding="utf-8"))
    information = document["rosbag2_bagfile_information"]
    information["relative_file_paths"] = [one.path.name for one in contents]
    information["files"] = [
        {
            "path": one.path.name,
            "starting_time": {"nanoseconds_since_epoch": one.span_ns[0]},
            "duration": {"nanoseconds": one.span_ns[1] - one.span_ns[0]},
            "message_count": one.num_messages,
        }
        for one in contents
    ]
    with whole_file(metadata) as file:
        file.write(yaml.safe_dump(document, sort_keys=False).encode("utf-8"))
