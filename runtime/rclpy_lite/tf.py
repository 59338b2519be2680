"""Transforms on /tf and /tf_static: listener and broadcasters."""

import threading
from collections.abc import Callable
from typing import Any

from rclpy_lite.callback_groups import ReentrantCallbackGroup
from rclpy_lite.exceptions import ExternalShutdownException
from rclpy_lite.messages import get_message
from rclpy_lite.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from rclpy_lite.tf_buffer import Buffer
from rclpy_lite.tf_exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)

__all__ = [
    "Buffer",
    "ConnectivityException",
    "ExtrapolationException",
    "InvalidArgumentException",
    "LookupException",
    "StaticTransformBroadcaster",
    "TransformBroadcaster",
    "TransformException",
    "TransformListener",
]

TFMessage = get_message("tf2_msgs/msg/TFMessage")

TF_QOS = QoSProfile(depth=100)
TF_STATIC_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TF_STATIC_LISTENER_QOS = QoSProfile(
    depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST
)


class TransformListener:
    """Fills a buffer from /tf and /tf_static."""

    def __init__(
        self,
        buffer: Buffer,
        node: Any,
        *,
        spin_thread: bool = False,
        qos: QoSProfile | None = None,
        static_qos: QoSProfile | None = None,
        tf_topic: str = "/tf",
        tf_static_topic: str = "/tf_static",
    ) -> None:
        self.buffer = buffer
        self.node = node
        self.group = ReentrantCallbackGroup()
        self.tf_sub = node.create_subscription(
            TFMessage, tf_topic, self.callback, qos or TF_QOS, callback_group=self.group
        )
        self.tf_static_sub = node.create_subscription(
            TFMessage,
            tf_static_topic,
            self.static_callback,
            static_qos or TF_STATIC_LISTENER_QOS,
            callback_group=self.group,
        )
        self.executor: Any = None
        if spin_thread:
            from rclpy_lite.executors import SingleThreadedExecutor

            self.executor = SingleThreadedExecutor(context=node.context)
            self.executor.add_node(node)
            self.dedicated_listener_thread = threading.Thread(target=self._spin, daemon=True)
            self.dedicated_listener_thread.start()

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except ExternalShutdownException:
            return

    def callback(self, data: Any) -> None:
        """Take a message of /tf."""
        self._fill(data, self.buffer.set_transform)

    def static_callback(self, data: Any) -> None:
        """Take a message of /tf_static."""
        self._fill(data, self.buffer.set_transform_static)

    def _fill(self, data: Any, put: Callable[[Any, str], None]) -> None:
        for transform in data.transforms:
            try:
                put(transform, "default_authority")
            except InvalidArgumentException as error:
                self.node.get_logger().error(str(error), throttle_duration_sec=5.0)

    def unregister(self) -> None:
        """Stop listening."""
        if self.executor is not None:
            self.executor.shutdown(timeout_sec=1.0)
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)


def _as_list(transform: Any) -> list[Any]:
    return list(transform) if isinstance(transform, (list, tuple)) else [transform]


class TransformBroadcaster:
    """Publishes on /tf."""

    def __init__(self, node: Any, qos: QoSProfile | int | None = None) -> None:
        self.pub_tf = node.create_publisher(TFMessage, "/tf", qos or TF_QOS)

    def sendTransform(self, transform: Any) -> None:
        """Publish one TransformStamped or a list of them."""
        self.pub_tf.publish(TFMessage(transforms=_as_list(transform)))


class StaticTransformBroadcaster:
    """Publishes on /tf_static, everything it was ever given."""

    def __init__(self, node: Any, qos: QoSProfile | int | None = None) -> None:
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", qos or TF_STATIC_QOS)
        self.net_message = TFMessage()

    def sendTransform(self, transform: Any) -> None:
        """Publish one TransformStamped or a list of them, together with the earlier ones."""
        known = {t.child_frame_id: t for t in self.net_message.transforms}
        known.update({t.child_frame_id: t for t in _as_list(transform)})
        self.net_message.transforms = list(known.values())
        self.pub_tf.publish(self.net_message)
