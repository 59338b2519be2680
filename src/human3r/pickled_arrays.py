"""Numbers out of pickles that were read as inert data: numpy, scipy and chumpy arrays.

``human3r.pickles`` reads a pickle without running anything in it; here its arrays become arrays.
"""

import math
import reprlib
from typing import Any

import numpy as np

from human3r.npz import MAX_ARRAY_BYTES
from human3r.pickles import InertObject, attributes, made_by

_MAX_AXES = 8


class NotUnderstoodError(Exception):
    """What was seen, in words; callers make it an error that names the array."""


def array_from_inert(value: object, depth: int = 0) -> np.ndarray:
    """The numbers of a numpy array, sparse matrix or chumpy object, inert; dense."""
    if not isinstance(value, InertObject) or depth > 3:
        raise NotUnderstoodError(f"is a {type(value).__name__}")
    if value.origin.endswith(".multiarray._reconstruct"):
        return _reconstructed(value)
    if value.origin.endswith("._frombuffer"):
        return _from_buffer(value)
    content = attributes(value)
    if {"data", "indices", "indptr"} <= set(content):
        return _dense(made_by(value), content)
    # A chumpy array keeps its numbers as x; a chumpy selection points into another array.
    if "x" in content:
        return array_from_inert(content["x"], depth + 1)
    if {"a", "idxs", "preferred_shape"} <= set(content):
        chosen = array_from_inert(content["a"], depth + 1).ravel()[
            array_from_inert(content["idxs"], depth + 1)
        ]
        return chosen.reshape(_shape(content["preferred_shape"]))
    raise NotUnderstoodError(f"is a {value.origin[:100]}")


def _reconstructed(value: InertObject) -> np.ndarray:
    """Numpy's own pickling: state (version, shape, dtype, is_fortran, bytes)."""
    if not isinstance(value.state, tuple) or len(value.state) != 5:
        raise NotUnderstoodError("is a numpy array of another pickle format")
    _, shape, dtype, is_fortran, data = value.state
    return _from_bytes(_bytes(data), _dtype(dtype), _shape(shape), "F" if is_fortran else "C")


def _from_buffer(value: InertObject) -> np.ndarray:
    """Numpy's pickling since protocol 5: arguments (buffer, dtype, shape, order)."""
    data, dtype, shape, order = value.args
    if order not in ("C", "F"):
        raise NotUnderstoodError(f"has memory order {order!r}")
    return _from_bytes(_bytes(data), _dtype(dtype), _shape(shape), order)


def _from_bytes(
    data: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], order: Any
) -> np.ndarray:
    if math.prod(shape) * dtype.itemsize != len(data):
        raise NotUnderstoodError(f"claims shape {shape} of {dtype} with {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _bytes(data: object) -> bytes | bytearray:
    if isinstance(data, InertObject) and data.origin == "_codecs.encode" and data.args:
        data = data.args[0]  # how Python 3 writes bytes for Python 2
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes | bytearray):
        raise NotUnderstoodError(f"keeps its numbers as {type(data).__name__}")
    return data


def _dtype(value: object) -> np.dtype:
    """A number type from its pickled name and byte order; nothing else is made."""
    if isinstance(value, InertObject) and value.origin == "numpy.dtype" and value.args:
        name, state = value.args[0], value.state
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        if isinstance(name, str) and name[:1] in ("f", "i", "u", "b") and name[1:] in "1248":
            return np.dtype(name).newbyteorder(order if order in ("<", ">") else "=")
        raise NotUnderstoodError(f"holds elements of type {str(name)[:40]!r}")
    raise NotUnderstoodError("has no number type")


def _shape(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > _MAX_AXES:
        raise NotUnderstoodError("has no shape")
    if any(type(length) is not int or length < 0 for length in value):
        raise NotUnderstoodError(f"has shape {reprlib.repr(value)}")
    return value


def _dense(origin: str, content: Any) -> np.ndarray:
    """A compressed sparse matrix (columns or rows) as a dense one."""
    rows, columns = _shape(content.get("_shape", content.get("shape")))
    if rows * columns * 8 > MAX_ARRAY_BYTES:
        raise NotUnderstoodError(f"is a sparse matrix of {rows} x {columns}")
    data, indices, starts = (
        array_from_inert(content[name]) for name in ("data", "indices", "indptr")
    )
    by_column = "csc" in origin
    if not by_column and "csr" not in origin:
        raise NotUnderstoodError(f"is a {origin[:100]}")
    num_lines = columns if by_column else rows
    lengths = np.diff(starts)
    if len(lengths) != num_lines or (lengths < 0).any() or lengths.sum() != len(indices):
        raise NotUnderstoodError("is a sparse matrix whose parts do not fit")
    lines = np.repeat(np.arange(num_lines), lengths)
    if indices.size and (indices.min() < 0 or indices.max() >= (rows if by_column else columns)):
        raise NotUnderstoodError("is a sparse matrix with entries outside it")
    dense = np.zeros((rows, columns))
    np.add.at(dense, (indices, lines) if by_column else (lines, indices), data)
    return dense
