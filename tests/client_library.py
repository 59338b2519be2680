"""Which client library tests run on: a sourced ROS 2's rclpy, or rclpy_lite in its place."""

from importlib.util import find_spec


def is_ros_sourced() -> bool:
    """Whether a real ROS 2 is there; then rclpy is rclpy, and not rclpy_lite under its name."""
    try:
        import rclpy
    except ImportError:
        return False
    return rclpy.__name__ == "rclpy"


def why_not_lite() -> str:
    """Why tests about rclpy_lite itself cannot run here; empty where they can."""
    if is_ros_sourced():
        return "about rclpy_lite, which stands in where no ROS 2 is sourced; here one is"
    if find_spec("rclpy_lite") is None:
        return "about rclpy_lite, which is not installed"
    return ""
