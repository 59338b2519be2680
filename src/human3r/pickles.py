"""Reads pickles as data: nothing named in them is imported, looked up or called.

Published weights and body models come as pickles, which are programs. Here every global in
one becomes an inert class, and whatever the pickle would have built with it becomes an
``InertObject`` that keeps arguments and state. The caller then picks out what it understands.
"""

import pickle
import pickletools
from collections.abc import Mapping
from typing import Any, BinaryIO, ClassVar, cast

MAX_OPCODES = 1_000_000
"""Published weights have about 60,000; each may cost some hundred bytes of memory."""
_MAX_NAME = 300
_KEY_TYPES = (str, bytes, int, float, bool, type(None))


class InertObject:
    """What a pickle asked to build, as data."""

    origin: ClassVar[str] = ""
    """Dotted name of the class or function the pickle named."""
    __slots__ = ("args", "items", "kwargs", "state")

    def __new__(cls, *args: Any, **kwargs: Any) -> "InertObject":
        self = object.__new__(cls)
        self.args = args
        self.kwargs = kwargs
        self.items = []
        self.state = None
        return self

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __call__(self, *args: Any, **kwargs: Any) -> "InertObject":
        return InertObject(self, *args, **kwargs)

    def __setitem__(self, key: object, value: object) -> None:
        self.items.append((key, value))

    def append(self, item: object) -> None:
        """Keeps one element that the pickle added."""
        self.items.append(item)

    def extend(self, items: list[object]) -> None:
        """Keeps elements that the pickle added."""
        self.items.extend(items)

    add = append


class PersistentId(InertObject):
    """A reference out of the pickle, for example to a tensor's storage: ``args[0]``."""

    __slots__ = ()


def load_inert(stream: BinaryIO, size: int) -> object:
    """The content of one pickle as builtin containers, numbers, texts and ``InertObject``s.

    Args:
        stream: seekable, at the pickle's first byte.
        size: length of the pickle in bytes; nothing behind it is read.

    Raises:
        pickle.UnpicklingError: damaged, or would need too much memory.
    """
    start = stream.tell()
    try:
        for count, _ in enumerate(pickletools.genops(cast(BinaryIO, _Bounded(stream, size)))):
            if count > MAX_OPCODES:
                raise pickle.UnpicklingError(f"more than {MAX_OPCODES} steps")
        stream.seek(start)
        return _InertUnpickler(_Bounded(stream, size)).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:
        # The stream decides which operation meets which type, so any exception may come of it.
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error


def entries(value: object) -> Mapping[Any, Any] | None:
    """Keys and values of a dict or of a dict-like inert object; None for anything else."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, InertObject):
        return None
    pairs = list(value.items)
    if len(value.args) == 1 and isinstance(value.args[0], list):
        pairs = value.args[0] + pairs
    if all(isinstance(p, tuple) and len(p) == 2 and _is_key(p[0]) for p in pairs):
        return dict(pairs)
    return None


def attributes(value: object) -> Mapping[Any, Any]:
    """Attribute names and values of an inert object; empty for anything else."""
    if not isinstance(value, InertObject):
        return {}
    parts = value.state if isinstance(value.state, tuple) else (value.state,)
    merged = dict(value.kwargs)
    for part in parts:
        if isinstance(part, dict):
            merged.update(part)
    return merged


def made_by(value: InertObject) -> str:
    """Dotted name of the class an inert object is of, also where old protocols wrap it."""
    wrapped = value.args[0] if value.args else None
    if value.origin in ("copy_reg._reconstructor", "copyreg._reconstructor"):
        return str(getattr(wrapped, "origin", ""))
    return value.origin


def _is_key(value: object) -> bool:
    """Whether hashing the value is cheap: a tuple that holds itself often enough never ends."""
    return isinstance(value, (*_KEY_TYPES, InertObject))


class _Bounded:
    """The bytes of one pickle; no read ever asks for more than is there."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int) -> bytes:
        if size < 0 or size > self._left:
            raise EOFError(f"asks for {size} bytes where {self._left} are left")
        self._left -= size
        return self._stream.read(size)

    def readline(self) -> bytes:
        line = self._stream.readline(self._left)
        self._left -= len(line)
        return line


# The C unpickler allocates what a stream claims (memo slots, byte arrays) before reading it. The
# Python one does not, but for the operation replaced below, and is fast enough for a few ten
# thousand steps.
class _InertUnpickler(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream: _Bounded) -> None:
        super().__init__(stream, encoding="latin1")  # pickles of Python 2 hold bytes as text
        self._classes: dict[tuple[str, str], type[InertObject]] = {}

    def find_class(self, module: str, name: str) -> type[InertObject]:
        if len(module) + len(name) > _MAX_NAME:
            raise pickle.UnpicklingError("a name of several hundred letters")
        key = (module, name)
        if key not in self._classes:
            body = {"origin": f"{module}.{name}", "__slots__": ()}
            self._classes[key] = type("InertObject", (InertObject,), body)
        return self._classes[key]

    def get_extension(self, code: int) -> None:
        raise pickle.UnpicklingError(f"uses the extension registry (code {code})")

    def persistent_load(self, pid: object) -> PersistentId:
        return PersistentId(pid)  # pyright: ignore[reportReturnType]

    def load_bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")  # pyright: ignore[reportAttributeAccessIssue]
        self.append(bytearray(self.read(size)))  # pyright: ignore[reportAttributeAccessIssue]

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    # Putting a key into a dict or set hashes it. The operands stand on ``stack``.

    def load_setitem(self) -> None:
        self._check_keys(self.stack[-2:-1])  # pyright: ignore[reportAttributeAccessIssue]
        super().load_setitem()  # pyright: ignore[reportAttributeAccessIssue]

    def load_setitems(self) -> None:
        self._check_keys(self.stack[::2])  # pyright: ignore[reportAttributeAccessIssue]
        super().load_setitems()  # pyright: ignore[reportAttributeAccessIssue]

    def load_dict(self) -> None:
        self._check_keys(self.stack[::2])  # pyright: ignore[reportAttributeAccessIssue]
        super().load_dict()  # pyright: ignore[reportAttributeAccessIssue]

    def load_additems(self) -> None:
        self._check_keys(self.stack)  # pyright: ignore[reportAttributeAccessIssue]
        super().load_additems()  # pyright: ignore[reportAttributeAccessIssue]

    def load_frozenset(self) -> None:
        self._check_keys(self.stack)  # pyright: ignore[reportAttributeAccessIssue]
        super().load_frozenset()  # pyright: ignore[reportAttributeAccessIssue]

    def _check_keys(self, keys: list[object]) -> None:
        if not all(map(_is_key, keys)):
            raise pickle.UnpicklingError("a key or set element that is no text or number")

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.ADDITEMS[0]] = load_additems
    dispatch[pickle.FROZENSET[0]] = load_frozenset
