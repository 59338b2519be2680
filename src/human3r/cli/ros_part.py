"""What the command line needs of human3r_ros, or what to install when it is not there."""

import os
import time
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from human3r.errors import DeviceError, MissingExtraError

_PARTS = ("human3r_ros", "human3r_msgs", "rclpy_lite", "rclpy", "cyclonedds")


def ros_command(name: str) -> Callable[[list[str]], int]:
    """``main`` of a module of human3r_ros.

    Raises:
        MissingExtraError: it, or what it needs, is not installed.
    """
    return ros_module(name).main


def ros_module(name: str) -> ModuleType:
    """A module of human3r_ros.

    Raises:
        MissingExtraError: it, or what it needs, is not installed.
    """
    try:
        return import_module(f"human3r_ros.{name}")
    except ModuleNotFoundError as error:
        # Anything else that is missing is a fault of ours and must not be dressed up.
        if (error.name or "").partition(".")[0] not in _PARTS:
            raise
        raise MissingExtraError(
            f"human3r_ros.{name} belongs to the ROS part, but {error.name} is not installed; "
            "expected human3r_ros, human3r_msgs, and rclpy_lite or a sourced ROS 2. Install "
            "them: pip install ./runtime ./ros2_ws/src/human3r_msgs ./ros2_ws/src/human3r_ros"
        ) from error


def loopback_test(timeout_s: float) -> float:
    """Send a message to ourselves over DDS.

    Args:
        timeout_s: how long to wait for it.

    Returns:
        Milliseconds until it came back.

    Raises:
        MissingExtraError: no client library.
        DeviceError: it never came back.
    """
    try:
        import_module("human3r_ros")
        executors, nodes = import_module("rclpy.executors"), import_module("rclpy.node")
        context = import_module("rclpy.context").Context()
        message_type = import_module("std_msgs.msg").String
    except ImportError as error:
        raise MissingExtraError(
            f"the DDS test needs the ROS part ({error}); expected rclpy_lite or a sourced ROS 2. "
            "Install it: pip install ./runtime ./ros2_ws/src/human3r_ros"
        ) from error
    context.init(args=[])
    node = nodes.Node("human3r_doctor", context=context)
    executor = executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        topic = f"/human3r_doctor_{os.getpid()}"
        heard: list[float] = []
        node.create_subscription(message_type, topic, lambda _: heard.append(time.monotonic()), 5)
        publisher = node.create_publisher(message_type, topic, 5)
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            sent_s = time.monotonic()
            publisher.publish(message_type(data="hello"))
            executor.spin_once(timeout_sec=0.2)
            if heard:
                return 1e3 * (heard[0] - sent_s)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    raise DeviceError(
        f"a message to ourselves did not come back within {timeout_s:g} s; expected it at once. "
        "Check CYCLONEDDS_URI, ROS_DOMAIN_ID and the firewall on the loopback interface."
    )
