"""Annotations of people that are distributed as pickles, read without running anything."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from human3r.errors import InputError
from human3r.pickled_arrays import NotUnderstoodError, array_from_inert
from human3r.pickles import InertObject, attributes, entries, load_inert, made_by

_MAX_BYTES = 2**30
_MAX_DEPTH = 4
_MAX_ITEMS = 100_000


def read_pickled(path: Path, layout: str) -> Mapping[str, Any]:
    """The dict in a pickle; arrays and sparse matrices in it as such, all else as data.

    Args:
        path: the file.
        layout: said when it is missing.

    Raises:
        InputError: missing, damaged, hostile, or no dict.
    """
    if not path.is_file():
        raise InputError(f"{path}: not there. {layout}")
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise InputError(f"{path}: {size} bytes; expected annotations of at most {_MAX_BYTES}.")
    try:
        with path.open("rb") as stream:
            content = entries(load_inert(stream, size))
    except (pickle.UnpicklingError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read as a pickle ({error}); expected annotations. Get it again."
        ) from error
    if content is None:
        raise InputError(f"{path}: holds no named entries; expected annotations. {layout}")
    return {str(name): _plain(value) for name, value in content.items()}


def array_of(content: Mapping[str, Any], path: Path, name: str, shape: tuple[int, ...]):
    """An entry as a finite float64 array of a shape; -1 stands for any length.

    Raises:
        InputError: absent, or something else.
    """
    value = content.get(name)
    try:
        array = np.array(value, np.float64)  # Arrays out of a pickle are read-only.
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {name} is no array of numbers ({error}).") from error
    fits = array.ndim == len(shape) and all(
        want in (-1, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if value is None or not fits or not np.isfinite(array).all():
        seen = "absent" if value is None else f"of shape {array.shape}, or not finite"
        raise InputError(
            f"{path}: {name} is {seen}; expected finite numbers of shape {shape} (-1: any). "
            "Get the file again."
        )
    return array


def _plain(value: Any, depth: int = 0) -> Any:
    """Arrays for inert arrays, in dicts and lists too; what is not understood stays inert."""
    if depth > _MAX_DEPTH:
        return value
    if isinstance(value, InertObject):
        try:
            return _sparse(value) if "indptr" in attributes(value) else array_from_inert(value)
        except (NotUnderstoodError, TypeError, ValueError, OverflowError, IndexError):
            return value
    if isinstance(value, dict):
        return {name: _plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)) and len(value) <= _MAX_ITEMS:
        return [_plain(item, depth + 1) for item in value]
    return value


def _sparse(value: InertObject) -> csr_matrix:
    """A compressed scipy matrix, by rows or by columns, with its parts checked."""
    content = attributes(value)
    parts = tuple(array_from_inert(content[name]) for name in ("data", "indices", "indptr"))
    kind = csc_matrix if "csc" in made_by(value) else csr_matrix
    shape = content.get("_shape", content.get("shape"))
    if not isinstance(shape, tuple) or not all(type(side) is int for side in shape):
        raise ValueError("a sparse matrix without a shape")
    matrix = kind(parts, shape=shape)
    matrix.check_format(full_check=True)
    return csr_matrix(matrix)
