"""Reads the zip container of ``torch.save`` without torch's unpickler: nothing in it is run.

The file is mapped into memory; a tensor is a view of it until it is used, so a checkpoint of
several gigabytes needs hardly any memory of its own.
"""

import math
import mmap
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from human3r.errors import WeightsError
from human3r.file_kind import refuse_other_kinds
from human3r.pickles import InertObject, PersistentId, entries, load_inert

MAX_PICKLE_BYTES = 16 << 20
"""Bound on the pickle inside; the tensors lie outside it, so published ones have under 1 MB."""
_MAX_AXES = 8
_MAX_NUMBER = 1 << 40
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_DAMAGE = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    ValueError,
    IndexError,
    OverflowError,
    NotImplementedError,
    struct.error,
)
"""What zipfile raises over damaged containers."""
_STORAGE_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype("<u2"),  # widened below: numpy has no such type
}
_BFLOAT16 = "BFloat16Storage"
_ACCEPTED_KINDS = ("checkpoint", "pickle", "archive")
"""A pickle may be of the old format, an archive a damaged checkpoint: both are reported below."""


class _View(NamedTuple):
    """One tensor as the pickle describes it: a strided window of a storage."""

    storage_class: str
    storage_key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class TorchFile:
    """An open checkpoint; use it in a ``with`` statement.

    Attributes:
        root: what the file holds, as inert data (see ``human3r.pickles``).
    """

    def __init__(self, path: str | Path) -> None:
        """Maps the file and reads its pickle, but no tensor.

        Raises:
            WeightsError: missing, no zip container, damaged, or of impossible sizes.
        """
        self.path = Path(path)
        if not self.path.exists():
            raise WeightsError(
                f"{path}: no such file; expected a file of torch.save. Check the path."
            )
        refuse_other_kinds(self.path, _ACCEPTED_KINDS, "a file of torch.save", WeightsError)
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise WeightsError(
                f"{path}: cannot be opened ({error.strerror}); expected a file of torch.save. "
                "Check the path."
            ) from error
        try:
            self._members = self._read_directory()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)
            self.root = self._read_pickle()
        except BaseException:
            self._file.close()
            raise
        self._checked: set[str] = set()

    def __enter__(self) -> "TorchFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The map itself closes with the last array that looks into it.
        self._file.close()

    def shapes(self, state: object) -> dict[str, tuple[int, ...]]:
        """Names and shapes of a state dict found in ``root``; no tensor is read.

        Raises:
            WeightsError: no mapping of names to tensors.
        """
        items = entries(state)
        if items is None:
            raise self._error("the model's state is no mapping", "names and tensors")
        if any(not isinstance(key, str) for key in items):
            raise self._error("the model's state has keys that are no texts", "names")
        return {key: self._view(key, value).shape for key, value in items.items()}

    def array(self, state: object, name: str) -> np.ndarray:
        """One tensor of a state dict found in ``root``, float32; a view of the file if it can be.

        Raises:
            WeightsError: no tensor, damaged, or outside its storage.
        """
        view = self._view(name, (entries(state) or {}).get(name))
        storage = self._storage(name, view)
        count = math.prod(view.shape)
        last = sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True))
        last += view.offset
        # A view that repeats elements could ask for more memory than the file has bytes.
        if count == 0 or count > storage.size or last >= storage.size:
            seen = f"{name} has {count} elements up to number {last} of {storage.size} stored"
            raise self._error(seen, "a tensor inside its storage")
        strides = [stride * storage.itemsize for stride in view.strides]
        window = np.lib.stride_tricks.as_strided(storage[view.offset :], view.shape, strides)
        return _as_float32(window, view.storage_class)

    def _error(self, seen: str, expected: str) -> WeightsError:
        return WeightsError(
            f"{self.path}: {seen}; expected {expected}. Download the checkpoint again, from "
            "the publisher only."
        )

    def _read_directory(self) -> dict[str, zipfile.ZipInfo]:
        if self._file.read(4) != b"PK\x03\x04":
            raise WeightsError(
                f"{self.path}: is no zip container, but perhaps a checkpoint in the format before "
                "PyTorch 1.6; expected a file of torch.save. Download it again; a file in the "
                "old format has to be saved anew by its publisher."
            )
        try:
            with zipfile.ZipFile(self._file) as archive:
                infos = archive.infolist()
        except _DAMAGE as error:
            raise self._error(f"damaged zip container ({error})", "a complete file") from error
        total = self.path.stat().st_size
        names = [info.filename for info in infos]
        if len(set(names)) != len(names):
            raise self._error("two members of one name in the container", "unique names")
        if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
            raise self._error("compressed members in the container", "stored ones, as torch writes")
        claimed = sum(info.file_size for info in infos)
        if claimed > total:
            seen = f"members claim {claimed} bytes in a file of {total}"
            raise self._error(seen, "less than the file's size")
        roots = {name.split("/", 1)[0] for name in names if name.endswith("/data.pkl")}
        if len(roots) != 1:
            raise self._error("no single data.pkl in the container", "a file of torch.save")
        prefix = roots.pop() + "/"
        return {info.filename.removeprefix(prefix): info for info in infos}

    def _span(self, member: str) -> tuple[int, int]:
        """Where a member's bytes lie in the file: start and length."""
        info = self._members.get(member)
        if info is None:
            raise self._error(f"member {member} is missing", "every storage that is named")
        if info.header_offset < 0:
            raise self._error(f"member {member} begins before the file", "a complete file")
        header = self._map[info.header_offset : info.header_offset + _LOCAL_HEADER.size]
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise self._error(f"member {member} has no header", "a complete file")
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        if start + info.file_size > len(self._map):
            raise self._error(f"member {member} ends behind the file", "a complete file")
        return start, info.file_size

    def _check_crc(self, member: str, start: int, size: int) -> None:
        with memoryview(self._map) as whole, whole[start : start + size] as part:
            if zlib.crc32(part) != self._members[member].CRC:
                raise self._error(f"member {member} fails its checksum", "undamaged data")

    def _read_pickle(self) -> object:
        start, size = self._span("data.pkl")
        if size > MAX_PICKLE_BYTES:
            raise self._error(f"a pickle of {size} bytes", f"at most {MAX_PICKLE_BYTES}")
        self._check_crc("data.pkl", start, size)
        if "byteorder" in self._members:
            first, length = self._span("byteorder")
            if self._map[first : first + length] != b"little":
                raise self._error("another byte order than little-endian", "little-endian numbers")
        self._file.seek(start)
        try:
            return load_inert(self._file, size)
        except pickle.UnpicklingError as error:
            raise self._error(f"damaged pickle ({error})", "a complete file") from error

    def _view(self, name: str, value: object) -> _View:
        view = _view_of(value)
        if view is None:
            kind = value.origin if isinstance(value, InertObject) else type(value).__name__
            raise self._error(f"{name[:100]} is a {kind[:100]}", "a tensor")
        return view

    def _storage(self, name: str, view: _View) -> np.ndarray:
        dtype = _STORAGE_DTYPES.get(view.storage_class)
        if dtype is None:
            expected = "float32, float64, float16 or bfloat16"
            raise self._error(f"{name} is stored as {view.storage_class[:60]}", expected)
        member = f"data/{view.storage_key}"
        start, size = self._span(member)
        if member not in self._checked:
            self._check_crc(member, start, size)
            self._checked.add(member)
        return np.frombuffer(self._map, dtype, size // dtype.itemsize, start)


def _view_of(value: object) -> _View | None:
    """The tensor an inert object stands for, or None when it is none."""
    if not isinstance(value, InertObject):
        return None
    if value.origin.startswith("torch._utils._rebuild_parameter") and value.args:
        return _view_of(value.args[0])
    if value.origin != "torch._utils._rebuild_tensor_v2" or len(value.args) < 4:
        return None
    reference, offset, shape, strides = value.args[:4]
    if not isinstance(reference, PersistentId) or not isinstance(reference.args[0], tuple):
        return None
    pid = reference.args[0]
    if len(pid) < 3 or pid[0] != "storage" or not isinstance(pid[2], str):
        return None
    storage_class = getattr(pid[1], "origin", "").rpartition(".")[2]
    if not isinstance(shape, tuple) or not isinstance(strides, tuple):
        return None
    numbers = (offset, *shape, *strides)
    if any(type(n) is not int or not 0 <= n < _MAX_NUMBER for n in numbers):
        return None
    if len(shape) != len(strides) or len(shape) > _MAX_AXES:
        return None
    return _View(storage_class, pid[2], offset, shape, strides)


def _as_float32(array: np.ndarray, storage_class: str) -> np.ndarray:
    if storage_class == _BFLOAT16:
        return (array.astype(np.uint32, order="C") << 16).view(np.float32)
    with np.errstate(over="ignore"):  # what leaves float32 becomes inf, and is refused later
        return array.astype(np.float32, copy=False)
