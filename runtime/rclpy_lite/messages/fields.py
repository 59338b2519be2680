"""What a message field may hold: its default, its check, and its type in rclpy's words."""

import array
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype


class InvalidFieldError(AssertionError, ValueError):
    """A field was given a value it cannot hold; rclpy reports the same as AssertionError."""


class Byte(bytes):
    """One byte: a ``bytes`` to the user, as in rclpy, and a number to the serialiser."""

    def __index__(self) -> int:
        return self[0]


_INTEGERS = {
    "char": (0, 255),
    **{f"int{n}": (-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (8, 16, 32, 64)},
    **{f"uint{n}": (0, 2**n - 1) for n in (8, 16, 32, 64)},
}
_DTYPES = {"bool": np.bool_, "byte": np.uint8, "char": np.uint8}
_WORDS = {
    "bool": "boolean",
    "byte": "octet",
    "char": "uint8",
    "float32": "float",
    "float64": "double",
}


def dtype_of(base: str) -> np.dtype:
    """The NumPy type of an array of ``base``."""
    return np.dtype(_DTYPES.get(base, base))


def type_words(descriptor: Any) -> str:
    """A field's type as ``get_fields_and_field_types`` writes it."""
    kind, rest = descriptor
    if kind == Nodetype.BASE:
        name, bound = rest
        return f"{name}<{bound}>" if bound else str(_WORDS.get(name, name))
    if kind == Nodetype.NAME:
        package, _, name = rest.split("/")
        return f"{package}/{name}"
    inner, size = rest
    if kind == Nodetype.ARRAY:
        return f"{type_words(inner)}[{size}]"
    return f"sequence<{type_words(inner)}, {size}>" if size else f"sequence<{type_words(inner)}>"


def _refuse(where: str, expected: str, value: object) -> InvalidFieldError:
    seen = repr(value)
    seen = seen if len(seen) <= 80 else seen[:77] + "..."
    return InvalidFieldError(f"{where}: got {type(value).__name__} {seen}; expected {expected}.")


def _check_integer(where: str, base: str) -> Callable[[Any], int]:
    low, high = _INTEGERS[base]

    def check(value: Any) -> int:
        # bool is an int to Python, and rclpy lets it pass.
        if not isinstance(value, (int, np.integer)) or not low <= value <= high:
            raise _refuse(where, f"an int in [{low}, {high}] ({base})", value)
        return int(value)

    return check


def _check_float(where: str, base: str) -> Callable[[Any], float]:
    # rclpy accepts float and its subclass numpy.float64, not int and not numpy.float32; code that
    # is to run there too should fail here in the same way.
    def check(value: Any) -> float:
        if not isinstance(value, float):
            raise _refuse(where, f"a float ({base}); convert with float(...)", value)
        return float(value)

    return check


def _check_bool(where: str) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise _refuse(where, "a bool; convert with bool(...)", value)
        return value

    return check


def _check_byte(where: str) -> Callable[[Any], Byte]:
    def check(value: Any) -> Byte:
        if not isinstance(value, (bytes, bytearray)) or len(value) != 1:
            raise _refuse(where, "bytes of length 1", value)
        return Byte(value)

    return check


def _check_string(where: str, bound: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise _refuse(where, "a str", value)
        if bound and len(value.encode()) > bound:
            raise _refuse(where, f"at most {bound} bytes of text", value)
        return value

    return check


def _check_message(where: str, class_of: Callable[[], type]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, class_of()):
            raise _refuse(where, f"a {class_of().__module__}.{class_of().__name__}", value)
        return value

    return check


def check_scalar(where: str, descriptor: Any, class_of: Callable[[str], type]) -> Callable:
    """A function that returns a usable value for one item, or raises InvalidFieldError."""
    kind, rest = descriptor
    if kind == Nodetype.NAME:
        # Looked up when first needed, since the class may not be made yet, and then kept.
        return _check_message(where, functools.cache(lambda: class_of(rest)))
    base, bound = rest
    if base == "string":
        return _check_string(where, bound)
    if base == "bool":
        return _check_bool(where)
    if base == "byte":
        return _check_byte(where)
    if base.startswith("float"):
        return _check_float(where, base)
    return _check_integer(where, base)


def _check_length(where: str, length: int, size: int, is_fixed: bool) -> None:
    if is_fixed and length != size:
        raise InvalidFieldError(f"{where}: got {length} items; expected exactly {size}.")
    if size and length > size:
        raise InvalidFieldError(f"{where}: got {length} items; expected at most {size}.")


def _as_array(where: str, base: str, value: Any) -> np.ndarray:
    dtype = dtype_of(base)
    if isinstance(value, (bytes, bytearray, memoryview)) and dtype.itemsize == 1:
        return np.frombuffer(value, dtype)
    if isinstance(value, (str, bytes)):
        raise _refuse(where, f"numbers ({base})", value)
    try:
        source = np.asarray(value)
        safe = source.size == 0 or np.can_cast(source.dtype, dtype, casting="same_kind")
        if not safe and source.dtype.kind in "iu" and dtype.kind in "iuf":
            # A plain list of ints: fine when every value fits.
            info = np.iinfo(dtype) if dtype.kind in "iu" else None
            safe = info is None or bool(source.min() >= info.min and source.max() <= info.max)
        if not safe or source.ndim != 1:
            raise _refuse(where, f"one axis of {base}", value)
        if dtype.kind in "iu" and source.dtype.kind in "iu" and source.size:
            info = np.iinfo(dtype)
            if source.dtype != dtype and (source.min() < info.min or source.max() > info.max):
                raise _refuse(where, f"values in [{info.min}, {info.max}] ({base})", value)
        return np.ascontiguousarray(source, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InvalidFieldError):
            raise
        raise _refuse(where, f"numbers ({base})", value) from error


def check_array(where: str, descriptor: Any, class_of: Callable[[str], type]) -> Callable:
    """As `check_scalar`, for arrays and sequences; numbers become a contiguous NumPy array."""
    kind, (inner, size) = descriptor
    is_fixed = kind == Nodetype.ARRAY
    if inner[0] == Nodetype.BASE and inner[1][0] != "string":
        base = inner[1][0]
        dtype = dtype_of(base)

        def check_numbers(value: Any) -> np.ndarray:
            if isinstance(value, array.array) and dtype == np.dtype(value.typecode):
                made = np.frombuffer(value, dtype) if len(value) else np.empty(0, dtype)
            else:
                made = _as_array(where, base, value)
            _check_length(where, len(made), size, is_fixed)
            return made

        return check_numbers
    check_item = check_scalar(f"{where}[]", inner, class_of)

    def check_items(value: Any) -> list:
        if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
            raise _refuse(where, "a list", value)
        made = value if isinstance(value, list) else list(value)
        for item in made:
            check_item(item)
        _check_length(where, len(made), size, is_fixed)
        return made

    return check_items


def check_field(where: str, descriptor: Any, class_of: Callable[[str], type]) -> Callable:
    """The check of a field, whatever its kind."""
    is_array = descriptor[0] in (Nodetype.ARRAY, Nodetype.SEQUENCE)
    return (check_array if is_array else check_scalar)(where, descriptor, class_of)


def _scalar_default(descriptor: Any, class_of: Callable[[str], type]) -> Callable[[], Any]:
    kind, rest = descriptor
    if kind == Nodetype.NAME:
        found = functools.cache(lambda: class_of(rest))
        return lambda: found()()
    base = rest[0]
    value: Any = {"string": "", "bool": False, "byte": Byte(b"\0")}.get(
        base, 0.0 if base.startswith("float") else 0
    )
    return lambda: value


def make_default(descriptor: Any, class_of: Callable[[str], type]) -> Callable[[], Any]:
    """A function that makes a fresh zero value of a field."""
    kind, rest = descriptor
    if kind in (Nodetype.BASE, Nodetype.NAME):
        return _scalar_default(descriptor, class_of)
    inner, size = rest
    count = size if kind == Nodetype.ARRAY else 0
    if inner[0] == Nodetype.BASE and inner[1][0] != "string":
        return lambda: np.zeros(count, dtype_of(inner[1][0]))
    item = _scalar_default(inner, class_of)
    return lambda: [item() for _ in range(count)]
