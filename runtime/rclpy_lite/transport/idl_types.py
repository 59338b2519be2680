"""DDS types with the true fields, whose samples are ready CDR.

Cyclone's Python serialiser needs 100 ms and more for one 1280x720 image. So the types built here
tell Cyclone the true structure (it refuses writes that do not fit), but carry bytes.
"""

import keyword
from typing import Any

from cyclonedds.idl import make_idl_struct
from cyclonedds.idl import types as idl
from rosbags.interfaces import Nodetype

from rclpy_lite.messages import get_message, store
from rclpy_lite.names import dds_type_name

_BASES: dict[str, Any] = {
    "bool": bool,
    "byte": idl.byte,
    "char": idl.uint8,
    "int8": idl.int8,
    "uint8": idl.uint8,
    "int16": idl.int16,
    "uint16": idl.uint16,
    "int32": idl.int32,
    "uint32": idl.uint32,
    "int64": idl.int64,
    "uint64": idl.uint64,
    "float32": idl.float32,
    "float64": idl.float64,
}

SERVICE_HEADER_FIELDS = {"guid": idl.uint64, "sequence_number": idl.int64}

_types: dict[str, type] = {}


def _scalar(descriptor: Any) -> Any:
    kind, rest = descriptor
    if kind == Nodetype.NAME:
        return idl_type(rest)
    base, bound = rest
    if base == "string":
        return idl.bounded_str[bound] if bound else str
    if base not in _BASES:
        raise NotImplementedError(f"message fields of type {base}")
    return _BASES[base]


def _field(descriptor: Any) -> Any:
    kind, rest = descriptor
    if kind in (Nodetype.BASE, Nodetype.NAME):
        return _scalar(descriptor)
    inner, size = rest
    if kind == Nodetype.ARRAY:
        return idl.array[_scalar(inner), size]
    return idl.sequence[_scalar(inner), size] if size else idl.sequence[_scalar(inner)]


def _keep(self: Any, cdr: bytes) -> None:
    self.cdr = cdr


def _serialize(self: Any, *_: Any, **__: Any) -> bytes:
    return self.cdr


def _deserialize(cls: type, data: bytes, *_: Any, **__: Any) -> Any:
    return cls(data)


def idl_type(typename: str, extra: dict[str, Any] | None = None) -> type:
    """The DDS type of a message, or of a service body with ``extra`` fields in front.

    Raises:
        UnknownTypeError: no definition was found.
        NotImplementedError: a field of a kind that is not supported.
    """
    with store.lock:
        if typename not in _types:
            store.require_tree(typename)
            fields = dict(extra or {})
            for name, descriptor in store.fields_of(typename):
                safe = f"{name}_" if keyword.iskeyword(name) else name
                fields[safe] = _field(descriptor)
            name = dds_type_name(typename)
            made = make_idl_struct(
                name.split("::")[-1], name.replace("::", "."), fields, dataclassify=False
            )
            made.__init__ = _keep  # type: ignore[misc]
            made.serialize = _serialize  # type: ignore[method-assign]
            made.deserialize = classmethod(_deserialize)  # type: ignore[assignment]
            made.deserialize_key = classmethod(_deserialize)  # type: ignore[assignment]
            _types[typename] = made
            # Compiled now, and not at the first message: that keeps every thread waiting, for
            # 30 ms where a type is large.
            get_message(typename)
            store.typestore.get_msgdef(typename)
        return _types[typename]
