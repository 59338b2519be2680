"""Lock-step replay: the next image goes out only when the node has reported on the last one."""

import threading
import time
from collections import Counter
from collections.abc import Callable

from human3r_msgs.msg import FrameStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from human3r.errors import InputError
from human3r_ros.convert import ns_from_time, time_from_ns

OUTCOMES = {
    FrameStatus.PROCESSED: "processed",
    FrameStatus.DEGRADED: "processed with fewer outputs",
    FrameStatus.REJECTED: "rejected",
    FrameStatus.FAILED: "failed",
}
"""In words, for reports."""
_DEPTH = 50
_POLL_S = 0.1
_BEST_EFFORT = ReliabilityPolicy.BEST_EFFORT


class FrameGate:
    """Knows what the node said about which image.

    Args:
        node: subscribes; its owner spins it.
        status_topic: the node's ``~/status``.
    """

    def __init__(self, node: Node, status_topic: str) -> None:
        self._node = node
        self._changed = threading.Condition()
        self._outcome_of: dict[int, int] = {}
        self._last: FrameStatus | None = None
        self._subscription = node.create_subscription(
            FrameStatus, status_topic, self._hear, QoSProfile(depth=_DEPTH)
        )
        self.topic = self._subscription.topic_name
        self.outcomes: Counter[str] = Counter()
        """How many images ended how."""

    def wait_for_node(self, patience_s: float, stop: threading.Event) -> None:
        """Until the node has been heard: an idle, active node reports once per second.

        Raises:
            InputError: nothing was heard in time.
        """
        if not self._wait(lambda: self._last is not None, patience_s, stop):
            raise InputError(
                f"{self.topic}: silent for {patience_s:g} s; expected the report of an active "
                "node. Start it, activate it, and check the topic's name and ROS_DOMAIN_ID."
            )

    def wait_for_report(self, stamp_ns: int, patience_s: float, stop: threading.Event) -> None:
        """Until the node has reported on the image with this stamp, or ``stop`` is set.

        Raises:
            InputError: it did not in time.
        """
        if not self._wait(lambda: stamp_ns in self._outcome_of, patience_s, stop):
            raise InputError(
                f"{self.topic}: no report on the image stamped {stamp_ns} ns within "
                f"{patience_s:g} s; expected one for every image. {self._account()} Start the node "
                "with `human3r live --lockstep`, or replay.launch.py with lockstep:=true; a slow "
                "network needs more --patience."
            )
        with self._changed:
            outcome = self._outcome_of.pop(stamp_ns, None)
        if outcome is not None:
            self.outcomes[OUTCOMES.get(outcome, f"outcome {outcome}")] += 1

    def _hear(self, message: FrameStatus) -> None:
        with self._changed:
            self._last = message
            if message.outcome != FrameStatus.IDLE:
                self._outcome_of[ns_from_time(message.header.stamp)] = message.outcome
                while len(self._outcome_of) > _DEPTH:
                    self._outcome_of.pop(next(iter(self._outcome_of)))
            self._changed.notify_all()

    def _wait(
        self, condition: Callable[[], bool], patience_s: float, stop: threading.Event
    ) -> bool:
        """Whether it came true; also true when asked to stop."""
        deadline_s = time.monotonic() + patience_s
        with self._changed:
            while not condition() and not stop.is_set():
                if time.monotonic() > deadline_s:
                    return False
                self._changed.wait(_POLL_S)
        return True

    def _account(self) -> str:
        last = self._last
        if last is None:
            return "The node said nothing at all."
        return (
            f"Its last account: {last.received} images received, {last.processed} processed, "
            f"{last.dropped_overwritten} overwritten, {last.dropped_rate} over the rate, "
            f"{last.dropped_stale} stale, {last.dropped_order} out of order."
        )


class ReplayClock:
    """Publishes ``/clock`` by hand, so that time stands still between two messages."""

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(Clock, "/clock", QoSProfile(depth=10))
        self._now_ns = 0

    def advance(self, stamp_ns: int) -> None:
        """Say that it is this time now; time never goes back."""
        self._now_ns = max(self._now_ns, stamp_ns)
        self._publisher.publish(Clock(clock=time_from_ns(self._now_ns)))


def lossy_readers(node: Node, topic: str) -> list[str]:
    """Names of the nodes that take ``topic`` best effort, so that a message may be lost."""
    found = node.get_subscriptions_info_by_topic(topic)
    return sorted({i.node_name for i in found if i.qos_profile.reliability == _BEST_EFFORT})
