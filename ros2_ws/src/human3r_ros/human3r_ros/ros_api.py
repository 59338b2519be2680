"""Picks the client library: the sourced ROS 2's rclpy, else rclpy_lite under the same names."""

import os
from importlib import import_module
from importlib.util import find_spec

from human3r.errors import MissingExtraError


def _install_if_absent() -> None:
    if find_spec("rclpy") is None:
        try:
            import rclpy_lite
        except ImportError as error:
            raise MissingExtraError(
                "neither rclpy nor rclpy_lite can be imported; the node needs one of them. Source "
                "a ROS 2 installation, or install the runtime: pip install ./runtime "
                "./ros2_ws/src/human3r_msgs"
            ) from error
        rclpy_lite.install()


def is_lite() -> bool:
    """Whether the client library is rclpy_lite, and not that of a sourced ROS 2."""
    return import_module("rclpy").__name__ == "rclpy_lite"


def is_before_iron() -> bool:
    """Whether the sourced ROS 2 is Humble or older, which has no type hashes."""
    return os.environ.get("ROS_DISTRO") in ("foxy", "galactic", "humble")


_install_if_absent()
