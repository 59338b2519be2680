"""Reads named arrays from an npz file that may be damaged or hostile: sizes first, then data."""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from human3r.errors import BodyModelError
from human3r.pickled_arrays import MAX_ARRAY_BYTES

_CONVERT_HINT = "Convert the file with `human3r body convert IN OUT.npz` first."


def read_arrays(path: Path, wanted: Iterable[str]) -> dict[str, np.ndarray]:
    """Those of the wanted arrays that the file has, by name; nothing else is read.

    Raises:
        BodyModelError: no npz file, damaged, an array of Python objects, or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            return {
                name: _read_array(archive, members[f"{name}.npy"], path)
                for name in wanted
                if f"{name}.npy" in members
            }
    except zipfile.BadZipFile as error:
        raise BodyModelError(
            f"{path}: is no npz file ({error}); expected the SMPL-X layout as npz. {_CONVERT_HINT}"
        ) from error
    except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise BodyModelError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); expected a complete npz "
            "file. Get or convert it again."
        ) from error


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    name = info.filename.removesuffix(".npy")
    if info.file_size > MAX_ARRAY_BYTES:
        raise BodyModelError(
            f"{path}: array {name} declares {info.file_size} bytes; expected at most "
            f"{MAX_ARRAY_BYTES}. This is no body model."
        )
    with archive.open(info) as stream:
        shape, dtype = _read_header(stream)
        if dtype.hasobject:
            raise BodyModelError(
                f"{path}: array {name} holds Python objects, which are never loaded; expected "
                f"numbers. {_CONVERT_HINT}"
            )
        # The shape in the header is only a claim: compare it before numpy allocates for it.
        size = dtype.itemsize
        for length in shape:
            size *= length
        if size > info.file_size:
            raise BodyModelError(
                f"{path}: array {name} claims shape {shape} of {dtype}, but its member has "
                f"{info.file_size} bytes. The file is damaged; get or convert it again."
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
