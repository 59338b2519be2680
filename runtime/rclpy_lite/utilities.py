"""Small functions under rclpy.utilities' names."""

import sys
from typing import Any

from rclpy_lite import arguments
from rclpy_lite.context import get_default_context

__all__ = ["get_default_context", "get_rmw_implementation_identifier", "ok", "remove_ros_args"]


def ok(*, context: Any = None) -> bool:
    """True between init and shutdown."""
    return (context or get_default_context()).ok()


def get_rmw_implementation_identifier() -> str:
    """What speaks DDS here."""
    return "rclpy_lite_cyclonedds"


def remove_ros_args(args: list[str] | None = None) -> list[str]:
    """The arguments that are not for ROS."""
    return arguments.parse(list(sys.argv if args is None else args)).others
