"""Events of publishers and subscriptions: incompatible QoS and matching."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

from cyclonedds.core import DDSStatus

from rclpy_lite.callback_groups import CallbackGroup
from rclpy_lite.qos import QoSPolicyKind
from rclpy_lite.waitable import Waitable

_POLICY_OF_DDS_ID = {
    2: QoSPolicyKind.DURABILITY,
    4: QoSPolicyKind.DEADLINE,
    8: QoSPolicyKind.LIVELINESS,
    11: QoSPolicyKind.RELIABILITY,
    13: QoSPolicyKind.HISTORY,
    21: QoSPolicyKind.LIFESPAN,
}


class UnsupportedEventTypeError(NotImplementedError):
    """An event that this middleware layer does not report."""


class QoSIncompatibleInfo(NamedTuple):
    """What is known about endpoints that did not match because of QoS."""

    total_count: int
    total_count_change: int
    last_policy_kind: QoSPolicyKind


QoSRequestedIncompatibleQoSInfo = QoSIncompatibleInfo
QoSOfferedIncompatibleQoSInfo = QoSIncompatibleInfo


class QoSMatchedInfo(NamedTuple):
    """How many endpoints are matched."""

    total_count: int
    total_count_change: int
    current_count: int
    current_count_change: int


QoSSubscriptionMatchedInfo = QoSMatchedInfo
QoSPublisherMatchedInfo = QoSMatchedInfo


class QoSPublisherEventType(IntEnum):
    """Events of publishers."""

    RCL_PUBLISHER_OFFERED_DEADLINE_MISSED = 0
    RCL_PUBLISHER_LIVELINESS_LOST = 1
    RCL_PUBLISHER_OFFERED_INCOMPATIBLE_QOS = 2
    RCL_PUBLISHER_INCOMPATIBLE_TYPE = 3
    RCL_PUBLISHER_MATCHED = 4


class QoSSubscriptionEventType(IntEnum):
    """Events of subscriptions."""

    RCL_SUBSCRIPTION_REQUESTED_DEADLINE_MISSED = 0
    RCL_SUBSCRIPTION_LIVELINESS_CHANGED = 1
    RCL_SUBSCRIPTION_REQUESTED_INCOMPATIBLE_QOS = 2
    RCL_SUBSCRIPTION_MESSAGE_LOST = 3
    RCL_SUBSCRIPTION_INCOMPATIBLE_TYPE = 4
    RCL_SUBSCRIPTION_MATCHED = 5


class EventHandler(Waitable):
    """Runs one event callback in an executor."""

    def __init__(
        self,
        callback_group: CallbackGroup,
        wake: Callable[[], None],
        callback: Callable[[Any], Any],
        read_info: Callable[[], Any],
    ) -> None:
        super().__init__(callback_group, wake)
        self._callback = callback
        self._read_info = read_info

    def take(self) -> Callable[[], Any] | None:
        """The callback with what changed, or None when nothing did."""
        info = self._read_info()
        return None if info is None else lambda: self._callback(info)


QoSEventHandler = EventHandler


class _EventCallbacks:
    """Callbacks for events; the ones not given are silent or, for QoS, a warning."""

    def __init__(
        self,
        *,
        deadline: Any = None,
        liveliness: Any = None,
        message_lost: Any = None,
        incompatible_qos: Callable[[Any], Any] | None = None,
        incompatible_type: Any = None,
        matched: Callable[[Any], Any] | None = None,
        use_default_callbacks: bool = True,
    ) -> None:
        refused = {
            "deadline": deadline,
            "liveliness": liveliness,
            "message_lost": message_lost,
            "incompatible_type": incompatible_type,
        }
        for name, given in refused.items():
            if given is not None:
                raise NotImplementedError(f"event callback '{name}' of publishers or subscriptions")
        self.incompatible_qos = incompatible_qos
        self.matched = matched
        self.use_default_callbacks = use_default_callbacks


class PublisherEventCallbacks(_EventCallbacks):
    """Event callbacks of a publisher."""


class SubscriptionEventCallbacks(_EventCallbacks):
    """Event callbacks of a subscription."""


def _incompatible_info(endpoint: Any) -> QoSIncompatibleInfo | None:
    status = endpoint.incompatible_status()
    if not status.total_count_change:
        return None
    kind = _POLICY_OF_DDS_ID.get(status.last_policy_id, QoSPolicyKind.INVALID)
    return QoSIncompatibleInfo(status.total_count, status.total_count_change, kind)


class _MatchedReader:
    """Counts changes itself: asking for the subscription count resets DDS's own counts."""

    def __init__(self) -> None:
        self._total = 0
        self._current = 0

    def __call__(self, endpoint: Any) -> QoSMatchedInfo | None:
        status = endpoint.matched_status()
        total, current = status.total_count, status.current_count
        info = QoSMatchedInfo(total, total - self._total, current, current - self._current)
        self._total, self._current = total, current
        return info if info.total_count_change or info.current_count_change else None


def default_incompatible_callback(logger: Any, topic: str, is_publisher: bool) -> Callable:
    """The warning rclpy logs when there is no other handler."""
    what = (
        "New subscription discovered on topic '{}', requesting incompatible QoS. "
        "No messages will be sent to it."
        if is_publisher
        else "New publisher discovered on topic '{}', offering incompatible QoS. "
        "No messages will be received from it."
    ).format(topic)

    def warn(info: QoSIncompatibleInfo) -> None:
        logger.warning(f"{what} Last incompatible policy: {info.last_policy_kind.name}")

    return warn


class EndpointEvents:
    """The event handlers of one publisher or subscription."""

    def __init__(
        self,
        endpoint_of: Callable[[], Any],
        callbacks: _EventCallbacks,
        group: CallbackGroup,
        wake: Callable[[], None],
        default_incompatible: Callable[[Any], Any],
    ) -> None:
        incompatible = callbacks.incompatible_qos
        if incompatible is None and callbacks.use_default_callbacks:
            incompatible = default_incompatible
        self.handlers: list[EventHandler] = []
        self._by_bit: dict[int, EventHandler] = {}
        wanted = (
            (
                DDSStatus.RequestedIncompatibleQos | DDSStatus.OfferedIncompatibleQos,
                incompatible,
                _incompatible_info,
            ),
            (
                DDSStatus.SubscriptionMatched | DDSStatus.PublicationMatched,
                callbacks.matched,
                _MatchedReader(),
            ),
        )
        for bits, callback, read in wanted:
            if callback is not None:
                handler = EventHandler(
                    group, wake, callback, lambda read=read: _read(endpoint_of, read)
                )
                self.handlers.append(handler)
                self._by_bit[bits] = handler

    def on_status(self, raised: int) -> None:
        """Mark the handlers of the statuses that were raised."""
        for bits, handler in self._by_bit.items():
            if raised & bits:
                handler.mark_ready()


def _read(endpoint_of: Callable[[], Any], read: Callable[[Any], Any]) -> Any:
    endpoint = endpoint_of()
    return None if endpoint is None or endpoint.is_closed else read(endpoint)
