"""Bags that were cut off at any place are made whole, and hold what was written completely."""

import sqlite3
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from human3r.cli.main import main
from human3r.errors import InputError, OutputError
from human3r.io import open_source
from human3r.io.bag_repair import repair
from tests.io import media

T0 = 1_700_000_000 * 10**9
COUNT = 60


def write(path, plugin=StoragePlugin.MCAP, compressed=False):
    """Sixty images of 30 kB, of which some fill a chunk, and a calibration beside each."""
    return unpacked(_bag(path.name, plugin, compressed), path)


def packed(folder):
    """What is in a folder of files, by name."""
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def unpacked(files, folder):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@cache
def _bag(name, plugin, compressed):
    with TemporaryDirectory() as folder:
        return packed(_written(Path(folder) / name, plugin, compressed))


def _written(path, plugin, compressed):
    rng = np.random.default_rng(0)
    writer = Writer(path, version=8, storage_plugin=plugin)
    if compressed:
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        kinds = {
            "/cam/image": "sensor_msgs/msg/Image",
            "/cam/camera_info": "sensor_msgs/msg/CameraInfo",
        }
        known = {name: writer.add_connection(name, kind, typestore=media.STORE)
                 for name, kind in kinds.items()}  # fmt: skip
        for n in range(COUNT):
            pixels = rng.integers(0, 255, (100, 100, 3), np.uint8)
            at_ns = T0 + n * 10**8
            for name, message in (
                ("/cam/camera_info", media.camera_info(at_ns)),
                ("/cam/image", media.image_message(at_ns, pixels, "rgb8")),
            ):
                data = media.STORE.serialize_cdr(message, message.__msgtype__)
                writer.write(known[name], at_ns, data)
    return path


def read(path):
    with AnyReader([path]) as reader:
        found = {}
        for connection, stamp_ns, data in reader.messages():
            reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append(stamp_ns)
    return found


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("share", [0.6, 0.8, 0.95, 0.999, 1.0])
def test_an_mcap_that_was_cut_anywhere_keeps_its_whole_chunks(tmp_path, share, compressed):
    bag = write(tmp_path / "bag", compressed=compressed)
    whole = read(bag)
    (bag / "metadata.yaml").unlink()
    (file,) = bag.glob("*.mcap")
    size = file.stat().st_size
    with file.open("r+b") as content:
        content.truncate(int(share * size) - 1)
    done = repair(bag)
    kept = read(bag)
    assert done.path == bag
    assert done.num_messages == sum(map(len, kept.values()))
    for topic, stamps in kept.items():
        assert stamps == whole[topic][: len(stamps)]
    # A chunk is a megabyte.
    assert len(kept["/cam/image"]) >= share * COUNT - 36
    with pytest.raises(InputError, match="is whole"):
        repair(bag)
    with pytest.raises(InputError, match="It is whole"):
        repair(file)


def test_an_mcap_cut_behind_a_chunk_gets_the_index_of_that_chunk(tmp_path):
    bag = write(tmp_path / "bag")
    (file,) = bag.glob("*.mcap")
    content = file.read_bytes()
    # The first index record comes right after the first chunk.
    head = content[8:]
    length = int.from_bytes(head[1:9], "little")
    chunk = 8 + 9 + length
    assert content[chunk] == 6
    end = chunk + 9 + int.from_bytes(content[chunk + 1 : chunk + 9], "little")
    assert content[end] == 7
    file.write_bytes(content[: end + 20])
    (bag / "metadata.yaml").unlink()
    assert repair(bag).num_bytes_cut == 20
    assert len(read(bag)["/cam/image"]) == len(read(file)["/cam/image"]) > 20


def test_an_sqlite_bag_keeps_what_was_committed(tmp_path):
    bag = write(tmp_path / "bag", StoragePlugin.SQLITE3)
    (bag / "metadata.yaml").unlink()
    (file,) = bag.glob("*.db3")
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM messages WHERE id > 40")
    connection.close()
    assert repair(bag).num_messages == 40
    assert sum(map(len, read(bag).values())) == 40


def test_the_part_folder_of_a_recording_becomes_the_bag(tmp_path, capsys):
    bag = write(tmp_path / "bag.part" / "bag")
    (bag / "metadata.yaml").unlink()
    assert main(["bag", "repair", str(tmp_path / "bag.part")]) == 0
    assert f"{tmp_path / 'bag'}: {2 * COUNT} messages on 2 topics kept" in capsys.readouterr().out
    assert not (tmp_path / "bag.part").exists()
    assert len(read(tmp_path / "bag")["/cam/image"]) == COUNT


def test_a_name_that_is_taken_is_not_overwritten(tmp_path):
    bag = write(tmp_path / "bag.part" / "bag")
    (bag / "metadata.yaml").unlink()
    (tmp_path / "bag").mkdir()
    with pytest.raises(OutputError, match="stays at"):
        repair(tmp_path / "bag.part")
    assert len(read(bag)["/cam/image"]) == COUNT


@pytest.mark.parametrize("name", ["x.mcap", "x.db3"])
@pytest.mark.parametrize("content", [b"", b"no bag at all" * 100, b"\x89MCAP0\r\n", bytes(5000)])
def test_what_is_no_bag_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be repaired"):
        repair(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        repair(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"notes\n" * 20, "is a text file"),
        (b"", "is an empty file"),
        (b"\x89PNG\r\n\x1a\n", "is a picture"),
        (b"#ROSBAG V2.0\n", "is a bag of ROS 1.*`rosbag reindex`"),
    ],
)
def test_a_file_that_is_no_bag_is_called_what_it_is(tmp_path, content, what):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match=what):
        repair(path)


def test_an_empty_name_is_not_the_folder_at_hand(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "bag")
    (tmp_path / "bag" / "metadata.yaml").unlink()
    monkeypatch.chdir(tmp_path / "bag")
    with pytest.raises(SystemExit):
        main(["bag", "repair", ""])
    assert "the name is empty" in capsys.readouterr().err
    assert not (tmp_path / "bag" / "metadata.yaml").exists()


def _metadata_empty(bag):
    (bag / "metadata.yaml").write_bytes(b"")


def _metadata_cut(bag):
    (bag / "metadata.yaml").write_bytes((bag / "metadata.yaml").read_bytes()[:200])


def _metadata_of_zeros(bag):
    (bag / "metadata.yaml").write_bytes(bytes(600))


def _renamed(bag):
    file = next(entry for entry in bag.iterdir() if entry.suffix != ".yaml")
    file.rename(file.with_stem("mine"))


@pytest.mark.parametrize("damage", [_metadata_empty, _metadata_cut, _metadata_of_zeros, _renamed])
@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_after_a_loss_of_power_a_bag_is_read_and_made_whole(tmp_path, damage, plugin, caplog):
    bag = write(tmp_path / "bag", plugin)
    damage(bag)
    with open_source(str(bag)) as source:
        assert sum(1 for _ in source) == COUNT
    assert "going on with" in caplog.text
    with open_source(str(bag / "metadata.yaml")) as source:
        assert source.num_frames == COUNT
    assert repair(bag).num_messages == 2 * COUNT
    assert len(read(bag)["/cam/image"]) == COUNT
    with pytest.raises(InputError, match="is whole"):
        repair(bag)


def test_a_bag_cut_off_beside_its_metadata_is_not_called_whole(tmp_path):
    bag = write(tmp_path / "bag")
    file = next(entry for entry in bag.iterdir() if entry.suffix == ".mcap")
    file.write_bytes(file.read_bytes()[:-400_000])
    assert 0 < repair(bag).num_messages < 2 * COUNT
    assert len(read(bag)["/cam/image"]) > 0


def test_a_folder_without_its_storage_says_so(tmp_path):
    bag = write(tmp_path / "bag")
    next(entry for entry in bag.iterdir() if entry.suffix == ".mcap").unlink()
    with pytest.raises(InputError, match=r"names bag.mcap, which is not there, and no .mcap"):
        open_source(str(bag))


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_messages_packed_one_by_one_are_read_without_the_metadata_that_says_so(tmp_path, plugin):
    bag = write_packed(tmp_path / "bag", plugin, CompressionMode.MESSAGE)
    (bag / "metadata.yaml").unlink()
    storage = next(bag.iterdir())
    for path in (bag, storage):
        with open_source(path) as source:
            assert [frame.image[0, 0, 1] for frame in source] == [0, 20, 40]
    assert repair(bag).num_messages == 3
    # Whoever reads it now is told how.
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            assert reader.deserialize(data, connection.msgtype).width == 64


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_storage_packed_as_a_whole_is_said_where_no_metadata_says_so(tmp_path, plugin):
    bag = write_packed(tmp_path / "bag", plugin, CompressionMode.FILE)
    with open_source(bag) as source:
        assert len(list(source)) == 3
    (bag / "metadata.yaml").unlink()
    for path in (bag, next(bag.iterdir())):
        with pytest.raises(InputError, match=r"compressed as a whole.*zstd -d"):
            open_source(path)
    with pytest.raises(InputError, match=r"compressed as a whole.*zstd -d"):
        repair(bag)


def test_a_packed_message_that_was_cut_is_left_out(tmp_path):
    bag = write_packed(tmp_path / "bag", StoragePlugin.SQLITE3, CompressionMode.MESSAGE)
    (bag / "metadata.yaml").unlink()
    storage = next(bag.iterdir())
    with sqlite3.connect(storage) as connection:
        connection.execute("UPDATE messages SET data = substr(data, 1, 20) WHERE id = 2")
    connection.close()
    with open_source(bag) as source:
        assert len(list(source)) == 2


def write_packed(path, plugin, mode):
    writer = Writer(path, version=8, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection(
            "/cam/image", "sensor_msgs/msg/Image", typestore=media.STORE
        )
        for number in range(3):
            message = media.image_message(10**18 + number * 10**8, media.picture(number), "rgb8")
            data = media.STORE.serialize_cdr(message, message.__msgtype__)
            writer.write(connection, 10**18 + number * 10**8, data)
    return path


def write_split(folder, plugin):
    """A bag of two files, whose metadata names both."""
    unpacked(_split_bag(folder.name, plugin), folder)
    return folder, sorted(one for one in folder.iterdir() if one.suffix != ".yaml")


@cache
def _split_bag(name, plugin):
    with TemporaryDirectory() as folder:
        return packed(_written_split(Path(folder) / name, plugin))


def _written_split(folder, plugin):
    parts = [write(folder.with_name(f"part{n}"), plugin) for n in range(2)]
    folder.mkdir()
    for part in parts:
        (file,) = (one for one in part.iterdir() if one.suffix != ".yaml")
        file.rename(folder / file.name)
    assert repair(folder).num_messages == 4 * COUNT
    with pytest.raises(InputError, match="is whole"):
        repair(folder)
    return folder


def _empty(file):
    file.write_bytes(b"")


def _zeros(file):
    file.write_bytes(bytes(5000))


def _cut(file):
    file.write_bytes(file.read_bytes()[:-400_000])


@pytest.mark.parametrize("has_metadata", [True, False])
@pytest.mark.parametrize("damage", [_empty, _zeros, _cut])
@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_one_bad_file_of_a_split_bag_does_not_take_the_others_along(
    tmp_path, plugin, damage, has_metadata, caplog
):
    folder, files = write_split(tmp_path / "bag", plugin)
    damage(files[1])
    if not has_metadata:
        (folder / "metadata.yaml").unlink()
    with open_source(str(folder)) as source:
        stamps = [frame.stamp_ns for frame in source]
    assert len(stamps) >= COUNT // 2
    assert "going on with" in caplog.text
    done = repair(folder)
    kept = read(folder)
    assert done.num_messages == sum(map(len, kept.values())) >= 2 * COUNT
    assert done.num_topics == 2
    if plugin == StoragePlugin.MCAP:
        assert (done.num_messages > 2 * COUNT) == (damage is _cut)


def test_files_of_two_storages_are_read_and_not_called_one_bag(tmp_path):
    folder, _ = write_split(tmp_path / "bag", StoragePlugin.MCAP)
    other = write(tmp_path / "other", StoragePlugin.SQLITE3)
    next(other.glob("*.db3")).rename(folder / "other.db3")
    (folder / "metadata.yaml").unlink()
    with open_source(str(folder)) as source:
        assert source.num_frames == 3 * COUNT
    with pytest.raises(InputError, match="expected files of one storage"):
        repair(folder)


@pytest.mark.parametrize(
    ("plugin", "wrong", "right"),
    [(StoragePlugin.MCAP, "x.db3", r"x\.mcap"), (StoragePlugin.SQLITE3, "x.mcap", r"x\.db3")],
)
def test_a_storage_under_the_name_of_another_is_told_its_name(tmp_path, plugin, wrong, right):
    bag = write(tmp_path / "bag", plugin)
    next(one for one in bag.iterdir() if one.suffix != ".yaml").rename(tmp_path / wrong)
    with pytest.raises(InputError, match=f"Rename it to {right}"):
        open_source(str(tmp_path / wrong))
