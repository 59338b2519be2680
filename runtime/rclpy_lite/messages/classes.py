"""Message and service classes, built on demand from definitions.

They look like rclpy's: keyword arguments, defaults, constants as class attributes, every
assignment checked. Arrays of numbers are NumPy arrays; in a received message they are read-only
views of the received bytes, so copy one before changing it.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from rosbags.interfaces import Nodetype

from rclpy_lite.messages import store
from rclpy_lite.messages.fields import (
    Byte,
    InvalidFieldError,
    check_field,
    make_default,
    type_words,
)

_messages: dict[str, type] = {}
_services: dict[str, type] = {}

_Setters = tuple[Callable[[Any, Any], None], Callable[[Any], Any], Callable[[], Any]]
"""Of one field: what stores a value, what checks it first, and what makes a fresh default."""


class Message:
    """Base of all message classes."""

    __slots__ = ()
    __ros_typename__: str = ""
    __ros_fields__: tuple[str, ...] = ()
    __ros_words__: ClassVar[dict[str, str]] = {}
    __ros_setters__: ClassVar[dict[str, _Setters]] = {}

    def __init__(self, **values: Any) -> None:
        for name in values:
            if name not in self.__ros_setters__:
                raise InvalidFieldError(
                    f"{self.__ros_typename__}: got the unknown field {name!r}; "
                    f"expected one of {', '.join(self.__ros_fields__) or 'none'}."
                )
        for name, (set_slot, check, default) in self.__ros_setters__.items():
            set_slot(self, check(values[name]) if name in values else default())

    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]:
        """Field names with their types, in the order of the definition."""
        return dict(cls.__ros_words__)

    def __eq__(self, other: object) -> bool:
        if self.__class__ is not other.__class__:
            return False
        return all(
            _equal(getattr(self, name), getattr(other, name)) for name in self.__ros_fields__
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parts = (f"{name}={_short(getattr(self, name))}" for name in self.__ros_fields__)
        return f"{type(self).__module__}.{type(self).__name__}({', '.join(parts)})"


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return np.array_equal(left, right)
    return left == right


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        if value.size > 32:
            return f"<{value.size} x {value.dtype}>"
        return repr(value.tolist())
    return repr(value)


def _property(member: Any, check: Callable[[Any], Any]) -> property:
    set_slot = member.__set__

    def assign(self: Any, value: Any) -> None:
        set_slot(self, check(value))

    return property(member.__get__, assign)


def _rebuilder(cls: type, descriptors: list[Any], members: list[Any]) -> Callable[..., Any]:
    """What rosbags calls with the decoded values, in order; values from CDR need no check."""
    new = cls.__new__
    setters = [member.__set__ for member in members]
    byte_at = [i for i, d in enumerate(descriptors) if d == (Nodetype.BASE, ("byte", 0))]

    def rebuild(*values: Any) -> Any:
        self = new(cls)  # pyright: ignore[reportCallIssue]
        for set_slot, value in zip(setters, values, strict=False):
            set_slot(self, value)
        for i in byte_at:
            setters[i](self, Byte((values[i] & 0xFF,)))
        return self

    return rebuild


def _make_message(typename: str, module: str, shown_name: str) -> type:
    fields = store.fields_of(typename)
    is_empty = [name for name, _ in fields] == ["structure_needs_at_least_one_member"]
    names = [name for name, _ in fields]
    slots = tuple(f"_{name}" for name in names)
    shown = [] if is_empty else names
    constants = {
        name: Byte((value & 0xFF,)) if base == "byte" else value
        for name, base, value in store.constants_of(typename)
    }
    namespace = {
        "__slots__": slots,
        "__module__": module,
        "__doc__": f"ROS message {typename}.",
        "__ros_typename__": typename,
        "__ros_fields__": tuple(shown),
        "__ros_words__": {name: type_words(d) for name, d in fields if name in shown},
        **constants,
    }
    cls = type(shown_name, (Message,), namespace)
    members = [cls.__dict__[slot] for slot in slots]
    given = store.defaults_of(typename)
    setters: dict[str, _Setters] = {}
    for (name, descriptor), member in zip(fields, members, strict=True):
        check = check_field(f"{typename}.{name}", descriptor, get_message)
        setattr(cls, name, _property(member, check))
        default = make_default(descriptor, get_message)
        if name in given:
            default = _given_default(descriptor, given[name], check)
        setters[name] = (member.__set__, check, default)
    cls.__ros_setters__ = setters  # type: ignore[attr-defined]
    store.typestore.types[typename] = _rebuilder(cls, [d for _, d in fields], members)
    return cls


def _given_default(descriptor: Any, value: Any, check: Callable[[Any], Any]) -> Callable[[], Any]:
    if descriptor[0] == Nodetype.BASE and descriptor[1][0].startswith("float"):
        value = float(value)
    if isinstance(value, list):
        return lambda: check(list(value))
    return lambda: check(value)


def get_message(typename: str) -> type:
    """The class of ``package/msg/Name`` (also ``package/srv/Name_Request`` and the like).

    Raises:
        UnknownTypeError: no definition was found.
    """
    made = _messages.get(typename)
    if made is not None:
        return made
    with store.lock:
        if typename not in _messages:
            store.require_tree(typename)
            package, kind, name = typename.split("/")
            made = _make_message(typename, f"{package}.{kind}", name)
            _messages[typename] = made
            for _, descriptor in store.fields_of(typename):
                is_plain = descriptor[0] in (Nodetype.BASE, Nodetype.NAME)
                inner = descriptor if is_plain else descriptor[1][0]
                if inner[0] == Nodetype.NAME:
                    get_message(inner[1])
        return _messages[typename]


def get_service(typename: str) -> type:
    """The class of ``package/srv/Name``, with ``Request``, ``Response`` and ``Event`` inside.

    Raises:
        UnknownTypeError: no definition was found.
    """
    with store.lock:
        if typename not in _services:
            store.fields_of(typename)
            package, _, name = typename.split("/")
            namespace = {
                "__module__": f"{package}.srv",
                "__doc__": f"ROS service {typename}.",
                "__ros_typename__": typename,
                "Request": get_message(f"{typename}_Request"),
                "Response": get_message(f"{typename}_Response"),
                "Event": get_message(f"{typename}_Event"),
            }
            _services[typename] = type(name, (), namespace)
        return _services[typename]


def typename_of(cls: type) -> str:
    """``package/msg/Name`` of a message or service class.

    Raises:
        InvalidTypeSupportException: ``cls`` is not one of ours.
    """
    from rclpy_lite.exceptions import InvalidTypeSupportException

    name = getattr(cls, "__ros_typename__", None)
    if not isinstance(name, str) or not name:
        raise InvalidTypeSupportException(
            f"got {cls!r}; expected a message or service class, for example sensor_msgs.msg.Image."
        )
    return name
