"""Message and service classes over the rosbags type store."""

from rclpy_lite.messages.classes import Message, get_message, get_service, typename_of
from rclpy_lite.messages.fields import InvalidFieldError
from rclpy_lite.messages.store import UnknownTypeError, add_package, type_hash

__all__ = [
    "InvalidFieldError",
    "Message",
    "UnknownTypeError",
    "add_package",
    "get_message",
    "get_service",
    "type_hash",
    "typename_of",
]
