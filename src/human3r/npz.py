"""Reads named arrays from an npz file that may be damaged or hostile: sizes first, then data."""

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from human3r.errors import Human3RError

MAX_ARRAY_BYTES = 1 << 30
"""Absolute bound on one array; the largest of SMPL-X in double precision has 122 MB."""
_DAMAGE = (
    *(OSError, EOFError, ValueError, NotImplementedError, RuntimeError, SyntaxError, MemoryError),
    *(zlib.error, struct.error, tokenize.TokenError),
)
"""What zipfile and numpy raise over damaged members; numpy reads a header as Python text."""


def read_npz(
    path: Path,
    wanted: Iterable[str] | None,
    error: type[Human3RError],
    expected: str,
    advice: str,
) -> dict[str, np.ndarray]:
    """Those of the wanted arrays that the file has, by name; nothing else is read.

    Args:
        path: the file.
        wanted: names of arrays; None: all there are.
        error: class of what is raised.
        expected: what the file should be, for messages: "expected ... as npz".
        advice: what to do about it, for messages: a sentence.

    Raises:
        Human3RError: of class ``error``: no npz file, damaged, an array of Python objects, or too
            large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            stored = [name.removesuffix(".npy") for name in members if name.endswith(".npy")]
            return {
                name: _read_array(archive, members[f"{name}.npy"])
                for name in (stored if wanted is None else wanted)
                if f"{name}.npy" in members
            }
    except zipfile.BadZipFile as failed:
        raise error(
            f"{path}: is no npz file ({failed}); expected {expected} as npz. {advice}"
        ) from failed
    except _Refused as refused:
        raise error(f"{path}: {refused}. {advice}") from refused
    except _DAMAGE as failed:
        raise error(
            f"{path}: cannot be read ({type(failed).__name__}: {failed}); expected {expected} as a "
            f"complete npz file. {advice}"
        ) from failed


class _Refused(Exception):
    """An array is not taken; says which and why."""


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    name = info.filename.removesuffix(".npy")
    if info.file_size > MAX_ARRAY_BYTES:
        raise _Refused(
            f"array {name} declares {info.file_size} bytes; expected at most {MAX_ARRAY_BYTES}"
        )
    with archive.open(info) as stream:
        shape, dtype = _read_header(stream)
        if dtype.hasobject:
            raise _Refused(
                f"array {name} holds Python objects, which are never loaded; expected numbers"
            )
        # The shape in the header is only a claim: compare it before numpy allocates for it.
        size = dtype.itemsize
        for length in shape:
            size *= length
        if size > info.file_size:
            raise _Refused(
                f"array {name} claims shape {shape} of {dtype}, but its member has "
                f"{info.file_size} bytes; expected a whole file, and this one is damaged"
            )
    with archive.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"npy format version {version}")
    if any(length < 0 for length in shape):
        raise ValueError(f"negative length in shape {shape}")
    return shape, dtype
