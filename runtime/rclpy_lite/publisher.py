"""Publishers."""

import time
from typing import Any

from rclpy_lite.duration import Duration
from rclpy_lite.event_handler import EndpointEvents
from rclpy_lite.exceptions import NotInitializedException, RCLError
from rclpy_lite.qos import QoSProfile
from rclpy_lite.serialization import serialize_message
from rclpy_lite.transport.cyclone import Writer

MAX_SAMPLE_BYTES = 256 * 1024 * 1024
"""Larger samples are refused, sent or received."""


class Publisher:
    """Publishes on one topic; made by `Node.create_publisher`."""

    def __init__(
        self,
        node: Any,
        writer: Writer,
        msg_type: type,
        topic: str,
        qos_profile: QoSProfile,
        events: EndpointEvents,
    ) -> None:
        self._node = node
        self._writer = writer
        self._events = events
        self._slow_reader_told_ns = 0
        self.msg_type = msg_type
        self.topic = topic
        self.qos_profile = qos_profile

    @property
    def topic_name(self) -> str:
        """The absolute, remapped name."""
        return self.topic

    @property
    def logger_name(self) -> str:
        """The name of the node's logger."""
        return self._node.get_logger().name

    def publish(self, msg: Any) -> None:
        """Send a message, or ready CDR bytes.

        Raises:
            TypeError: another message type.
            RCLError: refused bytes, or the context was shut down.
            InvalidHandle: the publisher was destroyed.
        """
        if isinstance(msg, (bytes, bytearray, memoryview)):
            cdr = bytes(msg)
            cdr += b"\0" * (-len(cdr) % 4)
        elif isinstance(msg, self.msg_type):
            cdr = serialize_message(msg)
        else:
            raise TypeError(
                f"{self.topic}: got {type(msg).__name__}, expected {self.msg_type.__name__}, bytes"
            )
        if len(cdr) > MAX_SAMPLE_BYTES:
            raise RCLError(
                f"{self.topic}: {len(cdr)} bytes are more than {MAX_SAMPLE_BYTES}. Send less."
            )
        if not self._node.context.ok() and self._writer.is_closed:
            raise NotInitializedException()
        if not self._writer.write(cdr):
            self._tell_slow_reader()

    def _tell_slow_reader(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns - self._slow_reader_told_ns > 5e9:
            self._slow_reader_told_ns = now_ns
            self._node.get_logger().warning(
                f"{self.topic}: a message was given up because a reliable subscriber does not keep "
                "up. Use best effort there, or a smaller rate."
            )

    def get_subscription_count(self) -> int:
        """Number of matched subscriptions."""
        return self._writer.matched_count()

    def assert_liveliness(self) -> None:
        """Say that the publisher is alive."""
        raise NotImplementedError("Publisher.assert_liveliness")

    def wait_for_all_acked(self, timeout: Duration = Duration(seconds=-1)) -> bool:  # noqa: B008
        """True once all reliable subscriptions have everything."""
        seconds = timeout.nanoseconds / 1e9
        return self._writer.wait_for_acks(seconds if seconds >= 0 else 1e9)

    @property
    def event_handlers(self) -> list[Any]:
        """Handlers an executor runs."""
        return self._events.handlers

    def destroy(self) -> None:
        """Leave the topic; prefer `Node.destroy_publisher`."""
        self._writer.close()

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()
