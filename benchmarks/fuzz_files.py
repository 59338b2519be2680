"""Damaged and hostile files by rule, for ``fuzz_inputs.py``: each kind reads one of them."""

import io
import pickle
import shutil
import tarfile
import tempfile
from argparse import Namespace
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import numpy as np
import torch
from human3r_ros.commands.message_class import message_class
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag1 import Writer as BagOfRos1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Bag
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore
from safetensors.numpy import save as safetensors
from scaffold import folder_in_memory

from human3r.body.convert import describe_body
from human3r.body.default import default_body_path
from human3r.body.layout import ARRAY_NAMES, check_arrays
from human3r.body.npz import read_arrays
from human3r.cli.main import main as human3r
from human3r.config import Settings
from human3r.demo_clip import demo_clip_path
from human3r.export.result import read_result
from human3r.file_kind import kind_of
from human3r.io import open_source
from human3r.io.bag_repair import repair
from human3r.io.scene_file import read_ply
from human3r.io.trajectory import read_trajectory
from human3r.model.default import default_weights_path
from human3r.model.weights_file import encode_header, read_index
from human3r.model.weights_inspection import describe_weights
from human3r.model.weights_writer import convert_checkpoint
from human3r.people.convert import convert_people_networks
from human3r.setting import dump_yaml, load_yaml
from human3r.tracking.covariance_file import find_covariance

_HOSTILE_TEXT = (
    "&a [*a, *a]", "!!python/object/apply:os.system [ls]", "{" * 200, "\t", "\0", "1e999", ".nan",
    "- " * 300, "? ", "<<: *x", "&x {<<: *x}", "9" * 5000, "'", "\u2028", "~", "[]", "{}", ": ",
)  # fmt: skip
_HOSTILE_NUMBERS = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    2**63,
    2**64 - 1,
)
_TYPES = (
    "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo",
    "tf2_msgs/msg/TFMessage", "rosgraph_msgs/msg/Clock", "human3r_msgs/msg/HumanArray",
    "human3r_msgs/msg/FrameStatus", "nav_msgs/msg/Odometry",
)  # fmt: skip


def mutated(data: bytes, rng: np.random.Generator, *, most: int = 8) -> bytes:
    """Bytes changed, hostile numbers written, parts cut out, repeated or cut off."""
    changed = bytearray(data)
    # Mostly little: much damage is recognised early.
    for _ in range(int(rng.integers(0, most + 1) if rng.random() < 0.3 else rng.integers(1, 3))):
        at = int(rng.integers(0, max(1, len(changed))))
        match int(rng.integers(0, 5)):
            case 0 if changed:
                changed[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                width = int(rng.choice([1, 2, 4, 8]))
                number = int(rng.choice(len(_HOSTILE_NUMBERS)))
                value = _HOSTILE_NUMBERS[number] % (1 << (8 * width))
                changed[at : at + width] = value.to_bytes(width, "little")
            case 2:
                del changed[at : at + int(rng.choice([1, 4, 100, 10_000]))]
            case 3:
                part = changed[at : at + int(rng.choice([1, 4, 100]))]
                changed[at:at] = part
            case _:
                changed[at:at] = rng.integers(
                    0, 256, int(rng.choice([1, 8, 64])), np.uint8
                ).tobytes()
    if rng.random() < 0.1:
        del changed[int(rng.integers(0, len(changed) + 1)) :]
    return bytes(changed)


@cache
def _folder() -> Path:
    return folder_in_memory("fuzz")


def _written(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


def prepare() -> None:
    """Make what cases start from, which takes seconds."""
    for make in (
        _messages,
        _weights,
        _checkpoint,
        _body,
        _body_files,
        _results,
        _bags,
        _clip,
        _header,
    ):
        make()


# -- messages -----------------------------------------------------------------------------------


@cache
def _messages() -> dict[str, bytes]:
    made = {}
    for name in _TYPES:
        message = message_class(name)()
        if hasattr(message, "header"):
            message.header.frame_id = "camera"
        if name.endswith("Image"):
            message.data = bytes(48)
        if name.endswith("/Image"):
            message.width, message.height, message.step, message.encoding = 4, 4, 12, "rgb8"
        if name.endswith("HumanArray"):
            message.humans = [message_class("human3r_msgs/msg/Human")() for _ in range(2)]
        if name.endswith("TFMessage"):
            transform = message_class("geometry_msgs/msg/TransformStamped")()
            message.transforms = [transform, transform]
        made[name] = serialize_message(message)
    return made


def cdr(rng: np.random.Generator) -> object:
    """A message as it comes over DDS."""
    name = str(rng.choice(_TYPES))
    try:
        return deserialize_message(mutated(_messages()[name], rng), message_class(name))
    except SerdeError as error:
        raise Refused from error


class Refused(Exception):
    """A damaged message was recognised."""


# -- weights and body models --------------------------------------------------------------------


@cache
def _weights() -> bytes:
    header = read_index(default_weights_path()).header
    assert header is not None
    arrays = {f"backbone.encoder.{n}": np.zeros((n + 1, 3), np.float16) for n in range(4)}
    return safetensors(arrays, encode_header(header))


def weights(rng: np.random.Generator) -> object:
    """A safetensors file, inspected."""
    return describe_weights(_written("w.safetensors", mutated(_weights(), rng)))


@cache
def _checkpoint() -> bytes:
    buffer = io.BytesIO()
    model = {"backbone.a": torch.zeros(3, 4), "backbone.b": torch.zeros(2).half()}
    torch.save({"model": model, "args": Namespace(model="Human3R(a=1)"), "epoch": 3}, buffer)
    return buffer.getvalue()


def checkpoint(rng: np.random.Generator) -> object:
    """A published checkpoint, inspected or converted."""
    path = _written("c.pth", mutated(_checkpoint(), rng))
    if rng.random() < 0.5:
        return describe_weights(path)
    return convert_checkpoint(path, _folder() / "c.safetensors")


@cache
def _body() -> dict[str, np.ndarray]:
    return read_arrays(default_body_path(), ARRAY_NAMES)


@cache
def _body_files() -> tuple[bytes, ...]:
    arrays = {name: np.asarray(array).ravel()[:12] for name, array in _body().items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue(), pickle.dumps(arrays, 2), pickle.dumps(arrays, 4)


def body_file(rng: np.random.Generator) -> object:
    """A body model as npz or pickle."""
    files = _body_files()
    which = int(rng.integers(0, len(files)))
    return describe_body(_written("b.npz" if which == 0 else "b.pkl", mutated(files[which], rng)))


def body_arrays(rng: np.random.Generator) -> object:
    """A whole body model with one or two arrays of another shape, type or content."""
    arrays = dict(_body())
    for name in rng.choice(list(arrays), int(rng.integers(1, 3))):
        array = np.asarray(arrays[name])
        match int(rng.integers(0, 5)):
            case 0:
                arrays[name] = array[..., : int(rng.integers(0, 4))]
            case 1:
                arrays[name] = array.reshape(-1)[:7]
            case 2:
                kind = rng.choice(["<i8", "<f2", "<U3", "?", "<c8", "<u2"])
                arrays[name] = np.zeros(array.shape, kind)
            case 3 if array.dtype.kind in "fiu" and array.size:
                other = array.copy()
                worst = np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).max
                other.flat[int(rng.integers(0, other.size))] = worst
                arrays[name] = other
            case _:
                del arrays[name]
                break
    return check_arrays(arrays, "fuzzed")


def covariance(rng: np.random.Generator) -> object:
    """The covariance model beside weights."""
    source = default_weights_path().with_suffix(".covariance.json").read_bytes()
    path = _written("v.safetensors", b"x")
    _written("v.covariance.json", mutated(source, rng))
    return find_covariance(str(path), lambda _: "0" * 64)


def package(rng: np.random.Generator) -> object:
    """A package or file of published people networks, converted."""
    inside = b"\x1c\0\0\0TFL3" + bytes(rng.integers(0, 256, 200, np.uint8))
    if rng.random() < 0.5:
        suffix = str(rng.choice([".tflite", ".data", ".json", ".bin"]))
        path = _written(f"p{suffix}", mutated(inside, rng))
    else:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name in ("package/a.tflite", "package/../../b.bin", "/etc/c.json"):
                member = tarfile.TarInfo(name)
                member.size = len(inside)
                archive.addfile(member, io.BytesIO(inside))
        path = _written("p.tgz", mutated(buffer.getvalue(), rng))
    return convert_people_networks(path, _folder() / "networks")


def kind(rng: np.random.Generator) -> object:
    """What kind of file it is."""
    files = (_weights(), _checkpoint(), *_body_files(), b"<!DOCTYPE html>", b"a: 1\n" * 9)
    return kind_of(_written("k", mutated(files[int(rng.integers(0, len(files)))], rng)))


# -- settings and results -----------------------------------------------------------------------


def settings(rng: np.random.Generator) -> object:
    """A file of settings with lines changed, repeated, hostile."""
    lines = dump_yaml(Settings()).splitlines()
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(0, len(lines)))
        text = _HOSTILE_TEXT[int(rng.integers(0, len(_HOSTILE_TEXT)))]
        match int(rng.integers(0, 4)):
            case 0:
                lines[at] = f"{lines[at].partition(':')[0]}: {text}"
            case 1:
                lines[at] = text
            case 2:
                lines[at] = f"/**:\n  ros__parameters: {text}"
            case _:
                lines[at] = mutated(lines[at].encode(), rng).decode("utf-8", "replace")
    data = "\n".join(lines).encode()
    path = _written("s.yaml", data if rng.random() < 0.8 else mutated(data, rng))
    return Settings().replace(load_yaml(path))


@cache
def _results() -> dict[str, bytes]:
    """Files of a real run."""
    out = _folder() / "run"
    words = ["run", str(demo_clip_path()), "--out", str(out), "--max-frames", "3"]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert human3r([*words, "--save", "people,scene,trajectory"]) == 0
    found = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with np.load(out / "people.npz") as arrays:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
    found["people.npz"] = buffer.getvalue()
    # A scene of a few points reads faster.
    head, end, rows = found["scene.ply"].partition(b"end_header\n")
    lines = [b"element vertex 8" if b"element" in s else s for s in head.split(b"\n")]
    found["scene.ply"] = b"\n".join(lines) + end + rows[: 8 * 15]
    shutil.rmtree(out)
    return found


def result(rng: np.random.Generator) -> object:
    """The folder of a run with one or two files damaged, as exports read it."""
    folder = _folder() / "result"
    folder.mkdir(exist_ok=True)
    damaged = set(rng.choice(list(_results()), int(rng.integers(1, 3))))
    for name, data in _results().items():
        (folder / name).write_bytes(mutated(data, rng) if name in damaged else data)
    return read_result(folder)


def result_arrays(rng: np.random.Generator) -> object:
    """The folder of a run whose people have arrays of other shapes, types and values."""
    folder = _folder() / "arrays"
    folder.mkdir(exist_ok=True)
    arrays = dict(np.load(io.BytesIO(_results()["people.npz"])))
    name = str(rng.choice(list(arrays)))
    array = arrays[name]
    match int(rng.integers(0, 5)):
        case 0:
            arrays[name] = array[: len(array) // 2] if array.ndim else array[None]
        case 1:
            arrays[name] = array[..., None]
        case 2:
            arrays[name] = np.full(array.shape, rng.choice([-1, 2**31, 2**62]))
        case 3:
            arrays[name] = np.full(array.shape, rng.choice([np.nan, np.inf, 1e30]))
        case _:
            arrays[name] = np.full(array.shape, "x")
    with (folder / "people.npz").open("wb") as file:
        np.savez(file, **arrays)
    return read_result(folder)


def points(rng: np.random.Generator) -> object:
    """A PLY file."""
    return read_ply(_written("s.ply", mutated(_results()["scene.ply"], rng)))


def trajectory(rng: np.random.Generator) -> object:
    """A camera path."""
    return read_trajectory(_written("t.tum", mutated(_results()["trajectory.tum"], rng)))


# -- recordings ---------------------------------------------------------------------------------


def _image_items(store: object, **more: int):
    types = store.types  # pyright: ignore[reportAttributeAccessIssue]
    for n in range(4):
        stamp = types["builtin_interfaces/msg/Time"](sec=1 + n, nanosec=0)
        header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera", **more)
        data = np.random.default_rng(n).integers(0, 255, 24 * 32 * 3, np.uint8)
        yield types["sensor_msgs/msg/Image"](
            header=header, height=24, width=32, encoding="rgb8", is_bigendian=0, step=96, data=data
        ), (1 + n) * 10**9  # fmt: skip


@cache
def _bags() -> tuple[tuple[str, bytes, bytes], ...]:
    """Name of the storage file, its bytes, and those of metadata.yaml."""
    made = []
    for plugin in (StoragePlugin.MCAP, StoragePlugin.SQLITE3):
        store, path = get_typestore(Stores.ROS2_HUMBLE), _folder() / f"bag{plugin.value}"
        with Bag(path, version=8, storage_plugin=plugin) as bag:
            topic = bag.add_connection("/image", "sensor_msgs/msg/Image", typestore=store)
            for message, at_ns in _image_items(store):
                bag.write(topic, at_ns, store.serialize_cdr(message, topic.msgtype))
        file = next(entry for entry in path.iterdir() if entry.suffix != ".yaml")
        made.append((file.name, file.read_bytes(), (path / "metadata.yaml").read_bytes()))
    store, path = get_typestore(Stores.ROS1_NOETIC), _folder() / "old.bag"
    with BagOfRos1(path) as bag:
        topic = bag.add_connection("/image", "sensor_msgs/msg/Image", typestore=store)
        for message, at_ns in _image_items(store, seq=0):
            bag.write(topic, at_ns, store.serialize_ros1(message, topic.msgtype))
    return *made, ("old.bag", path.read_bytes(), b"")


def _damaged_bag(rng: np.random.Generator, which: int) -> Path:
    name, data, metadata = _bags()[which]
    if not metadata:
        return _written("x.bag", mutated(data, rng))
    folder = Path(tempfile.mkdtemp(dir=_folder(), prefix="bag_"))
    how = int(rng.integers(0, 3))
    (folder / name).write_bytes(mutated(data, rng) if how < 2 else data)
    if how > 0:
        (folder / "metadata.yaml").write_bytes(mutated(metadata, rng) if how == 2 else metadata)
    return folder


def bag(rng: np.random.Generator) -> object:
    """A bag of any storage with its images read."""
    path = _damaged_bag(rng, int(rng.integers(0, 3)))
    try:
        with open_source(str(path), max_pixels=1_000_000) as source:
            return [frame.stamp_ns for frame in source]
    finally:
        _remove(path)


def bag_repair(rng: np.random.Generator) -> object:
    """A bag without metadata, cut off or damaged, repaired."""
    name, data, _ = _bags()[int(rng.integers(0, 2))]
    folder = Path(tempfile.mkdtemp(dir=_folder(), prefix="bag_"))
    cut = data[: int(rng.integers(0, len(data) + 1))]
    (folder / name).write_bytes(cut if rng.random() < 0.5 else mutated(cut, rng, most=3))
    try:
        return repair(folder)
    finally:
        _remove(folder)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)


@cache
def _clip() -> bytes:
    return demo_clip_path().read_bytes()


def video(rng: np.random.Generator) -> object:
    """A damaged video, its first frames read."""
    path = _written("v.mp4", mutated(_clip(), rng, most=20))
    with open_source(str(path), max_frames=2, max_pixels=1_000_000) as source:
        return [frame.stamp_ns for frame in source]


@cache
def _header() -> str:
    header = read_index(default_weights_path()).header
    assert header is not None
    return encode_header(header)["human3r"]


def weights_header(rng: np.random.Generator) -> object:
    """The metadata of a weights file that lists another network."""
    text = mutated(_header().encode(), rng).decode("utf-8", "replace")
    data = safetensors({"a": np.zeros(2, np.float32)}, {"human3r": text})
    return read_index(_written("m.safetensors", data))
