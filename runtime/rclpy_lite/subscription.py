"""Subscriptions."""

import inspect
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any, TypedDict

from cyclonedds.core import DDSStatus
from rosbags.serde import SerdeError

from rclpy_lite.callback_groups import CallbackGroup
from rclpy_lite.event_handler import EndpointEvents
from rclpy_lite.publisher import MAX_SAMPLE_BYTES
from rclpy_lite.qos import QoSProfile
from rclpy_lite.serialization import deserialize_message
from rclpy_lite.transport.cyclone import Reader
from rclpy_lite.waitable import Waitable

_WARN_EVERY_NS = 5_000_000_000


class MessageInfo(TypedDict):
    """What is known about a received message."""

    source_timestamp: int
    received_timestamp: int
    publication_sequence_number: int | None
    reception_sequence_number: int | None


def _wants_info(callback: Callable[..., Any]) -> bool:
    try:
        inspect.signature(callback).bind(object())
    except TypeError:
        try:
            inspect.signature(callback).bind(object(), object())
        except TypeError as error:
            raise RuntimeError(
                "Subscription.__init__(): callback should be either be callable with one argument "
                "(to get only the message) or two (to get message and message info)"
            ) from error
        return True
    except ValueError:
        return False
    return False


class Subscription(Waitable):
    """Receives from one topic; made by `Node.create_subscription`."""

    class CallbackType(IntEnum):
        """What the callback takes."""

        MessageOnly = 0
        WithMessageInfo = 1

    def __init__(
        self,
        node: Any,
        msg_type: type,
        topic: str,
        callback: Callable[..., Any],
        qos_profile: QoSProfile,
        raw: bool,
        callback_group: CallbackGroup,
    ) -> None:
        super().__init__(callback_group, node._wake)
        self._node = node
        self._reader: Reader | None = None
        self._events: EndpointEvents | None = None
        self._told_ns = 0
        self._refused = 0
        self.msg_type = msg_type
        self.topic = topic
        self.qos_profile = qos_profile
        self.raw = raw
        self.callback = callback

    def attach(self, reader: Reader, events: EndpointEvents) -> None:
        """Give it its reader; data may have arrived before."""
        self._events = events
        self._reader = reader
        self.mark_ready()

    def on_status(self, raised: int) -> None:
        """Called by the DDS thread."""
        if raised & DDSStatus.DataAvailable:
            self.mark_ready()
        if self._events is not None:
            self._events.on_status(raised)

    @property
    def callback(self) -> Callable[..., Any]:
        """What is called with each message."""
        return self._callback

    @callback.setter
    def callback(self, value: Callable[..., Any]) -> None:
        self._passes_info = _wants_info(value)
        self._callback = value

    @property
    def topic_name(self) -> str:
        """The absolute, remapped name."""
        return self.topic

    @property
    def event_handlers(self) -> list[Any]:
        """Handlers an executor runs."""
        return [] if self._events is None else self._events.handlers

    def take(self) -> Callable[[], Any] | None:
        """The next message, ready to be handed to the callback."""
        reader = self._reader
        taken = None if reader is None else reader.take()
        if taken is None:
            return None
        # There may be more; whoever looks next finds out.
        self.mark_ready()
        cdr, info = taken
        message = self._decode(cdr)
        if message is None:
            return None
        if not self._passes_info:
            return lambda: self._callback(message)
        about = MessageInfo(
            source_timestamp=info.source_timestamp,
            received_timestamp=time.time_ns(),
            publication_sequence_number=None,
            reception_sequence_number=None,
        )
        return lambda: self._callback(message, about)

    def _decode(self, cdr: bytes) -> Any:
        if len(cdr) > MAX_SAMPLE_BYTES:
            self._refuse(f"{len(cdr)} bytes are more than {MAX_SAMPLE_BYTES}")
            return None
        if self.raw:
            return cdr
        try:
            return deserialize_message(cdr, self.msg_type)
        except SerdeError as error:
            self._refuse(str(error))
            return None

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        now_ns = time.monotonic_ns()
        if self._told_ns == 0 or now_ns - self._told_ns > _WARN_EVERY_NS:
            self._told_ns = now_ns
            self._node.get_logger().warning(
                f"{self.topic}: dropped a malformed message ({reason}); {self._refused} so far. "
                "Check that the sender's message definition is the same."
            )

    def get_publisher_count(self) -> int:
        """Number of matched publishers."""
        return 0 if self._reader is None else self._reader.matched_count()

    @property
    def is_cft_enabled(self) -> bool:
        """Content filters are not supported."""
        return False

    def set_content_filter(self, filter_expression: str, expression_parameters: Any) -> None:
        """Not supported."""
        raise NotImplementedError("content filtered topics")

    def destroy(self) -> None:
        """Leave the topic; prefer `Node.destroy_subscription`."""
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()
