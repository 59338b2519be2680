"""Reads the parts of a TensorFlow Lite file that a convolutional network needs.

A file is one FlatBuffers table (flatbuffers.dev: tables with a list of field offsets, vectors,
unions); the fields are those of the published schema of the format, version 3. Only files whose
SHA-256 is known are read (``human3r.people.convert``), so nothing is checked twice here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

_FLOAT16, _INT32 = 1, 2
_NUMBERS = {0: np.float32, _FLOAT16: np.float16, _INT32: np.int32}
_INDEX_VECTORS = {1: np.int32, 2: np.uint16, 3: np.uint8}
OPERATORS = {
    0: "ADD",
    2: "CONCATENATION",
    3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D",
    5: "DEPTH_TO_SPACE",
    6: "DEQUANTIZE",
    9: "FULLY_CONNECTED",
    14: "LOGISTIC",
    17: "MAX_POOL_2D",
    22: "RESHAPE",
    23: "RESIZE_BILINEAR",
    34: "PAD",
    40: "MEAN",
    54: "PRELU",
    124: "DENSIFY",
}


@dataclass(frozen=True)
class Table:
    """A table at a place in the file; fields are numbered as in the schema."""

    data: bytes
    at: int

    def _place(self, field: int) -> int:
        """Where the field is stored; 0: it has its default value."""
        (back,) = struct.unpack_from("<i", self.data, self.at)
        fields = self.at - back
        (size,) = struct.unpack_from("<H", self.data, fields)
        if 4 + 2 * field >= size:
            return 0
        (offset,) = struct.unpack_from("<H", self.data, fields + 4 + 2 * field)
        return self.at + offset if offset else 0

    def _follow(self, place: int) -> int:
        return place + int(struct.unpack_from("<I", self.data, place)[0])

    def number(self, field: int, kind: str = "i", default: int = 0) -> int:
        """A scalar; ``kind`` as in the module ``struct``."""
        place = self._place(field)
        return int(struct.unpack_from(f"<{kind}", self.data, place)[0]) if place else default

    def table(self, field: int) -> "Table | None":
        """A table or the value of a union."""
        place = self._place(field)
        return Table(self.data, self._follow(place)) if place else None

    def array(self, field: int, dtype: Any = np.int32) -> np.ndarray:
        """A vector of numbers; empty where there is none."""
        place = self._place(field)
        if not place:
            return np.zeros(0, dtype)
        start = self._follow(place)
        (count,) = struct.unpack_from("<I", self.data, start)
        return np.frombuffer(self.data, dtype, count, start + 4)

    def tables(self, field: int) -> Iterator["Table"]:
        """A vector of tables."""
        place = self._place(field)
        start = self._follow(place) if place else 0
        count = struct.unpack_from("<I", self.data, start)[0] if place else 0
        for k in range(count):
            yield Table(self.data, self._follow(start + 4 + 4 * k))


@dataclass(frozen=True)
class Operator:
    """One operator; inputs and outputs are numbers of tensors."""

    name: str
    inputs: tuple[int, ...]
    output: int
    options: Table | None

    def option(self, field: int, kind: str = "i") -> int:
        """A number among its options, field numbers as in the schema."""
        return self.options.number(field, kind) if self.options else 0


@dataclass(frozen=True)
class TfliteFile:
    """The one graph of a file."""

    operators: tuple[Operator, ...]
    shapes: tuple[tuple[int, ...], ...]
    """Of every tensor."""
    constants: dict[int, np.ndarray]
    """Tensors with values in the file, sparse ones made dense."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tflite(data: bytes) -> TfliteFile:
    """The graph of a file whose content is known to be sound."""
    model = Table(data, int(struct.unpack_from("<I", data, 0)[0]))
    codes = [max(c.number(0, "b"), c.number(3)) for c in model.tables(1)]
    graph = next(model.tables(2))
    tensors, buffers = list(graph.tables(0)), list(model.tables(4))
    constants = {}
    for i, tensor in enumerate(tensors):
        raw = buffers[tensor.number(2, "I")].array(0, np.uint8)
        if raw.size:
            constants[i] = _values(tensor, raw)
    operators = tuple(
        Operator(
            OPERATORS[codes[o.number(0, "I")]],
            tuple(map(int, o.array(1))),
            int(o.array(2)[0]),
            o.table(4),
        )
        for o in graph.tables(3)
    )
    shapes = tuple(tuple(map(int, t.array(0))) for t in tensors)
    inputs, outputs = (tuple(map(int, graph.array(field))) for field in (1, 2))
    return TfliteFile(operators, shapes, constants, inputs, outputs)


def _values(tensor: Table, raw: np.ndarray) -> np.ndarray:
    values = np.frombuffer(raw.tobytes(), _NUMBERS[tensor.number(1, "b")])
    shape = tuple(map(int, tensor.array(0)))
    sparsity = tensor.table(6)
    return values.reshape(shape) if sparsity is None else _dense(values, shape, sparsity)


def _dense(values: np.ndarray, shape: tuple[int, ...], sparsity: Table) -> np.ndarray:
    """Values of a sparse tensor at their places.

    Dimensions come in the order of traversal, each dense (all its places) or compressed (for each
    place of those before it a run of indices), as in compressed sparse rows.
    """
    order = sparsity.array(0)
    places = np.zeros((1, 0), np.int64)  # (n, level) index along each traversed dimension
    for level in sparsity.tables(2):
        if level.number(0, "b") == 0:
            size = level.number(1)
            index = np.tile(np.arange(size), len(places))
            places = np.repeat(places, size, axis=0)
        else:
            first, index = (_indices(level, field) for field in (2, 4))
            places = np.repeat(places, np.diff(first), axis=0)
        places = np.column_stack([places, index])
    dense = np.zeros(shape, values.dtype)
    dense[tuple(places[:, np.argsort(order)].T)] = values
    return dense


def _indices(level: Table, field: int) -> np.ndarray:
    vector = level.table(field + 1)
    kind = _INDEX_VECTORS[level.number(field, "B")]
    return (vector.array(0, kind) if vector else np.zeros(0, kind)).astype(np.int64)
