"""Writes containers like those of ``torch.save``, good and hostile ones, for tests."""

import io
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass
class Claim:
    """A float32 tensor as its pickle claims it; storage ``key`` may hold anything."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    key: str = "0"

    def __reduce__(self) -> tuple[Any, ...]:
        storage = _Storage(self.key)
        args = (storage, self.offset, self.shape, self.strides, False, OrderedDict())
        return torch._utils._rebuild_tensor_v2, args


@dataclass
class _Storage:
    key: str


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        if isinstance(obj, _Storage):
            return ("storage", torch.FloatStorage, obj.key, "cpu", 4)
        return None


def pickled(root: object) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, protocol=2).dump(root)
    return stream.getvalue()


def write_container(
    path: Path,
    content: bytes,
    storages: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
    byteorder: str = "little",
) -> Path:
    """A zip with these bytes as its pickle and as its storages."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", byteorder)
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
    return path


class Bomb:
    """Unpickled by an ordinary unpickler, it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch {self.mark}",)
