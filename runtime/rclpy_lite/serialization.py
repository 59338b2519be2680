"""Messages to CDR bytes and back; rosbags does the work."""

from typing import Any, TypeVar

from rosbags.serde import SerdeError

from rclpy_lite.messages import store
from rclpy_lite.messages.classes import get_message, typename_of

MessageT = TypeVar("MessageT")


def serialize_message(message: Any) -> bytes:
    """CDR with its 4-byte header, padded to whole words as DDS wants it."""
    cdr = store.typestore.serialize_cdr(message, typename_of(type(message)), little_endian=True)
    padding = -len(cdr) % 4
    return b"".join((cdr, b"\0" * padding)) if padding else bytes(cdr)


def deserialize_message(serialized_message: Any, message_type: type[MessageT]) -> MessageT:
    """The message in ``serialized_message``; its number arrays are views of those bytes.

    Raises:
        SerdeError: the bytes are not such a message.
    """
    typename = typename_of(message_type)
    get_message(typename)
    view = memoryview(serialized_message)
    try:
        return store.typestore.deserialize_cdr(view, typename)  # type: ignore[return-value]
    except (IndexError, AttributeError, OverflowError, MemoryError) as error:
        raise SerdeError(f"Could not deserialize {typename!r}: {error}") from error
