"""Timers of an active node: checks once per second, and the anchored transform repeated."""

import threading
import time
from collections.abc import Callable

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from human3r.config import Settings
from human3r_ros.inputs import Inputs, other_definitions
from human3r_ros.outputs import TOPICS
from human3r_ros.placement import Placement
from human3r_ros.throttled_log import ThrottledLog


class Republisher:
    """A timer in ROS time, as fast as the setting says now; from activation to deactivation."""

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        placement: Placement,
        settings: Callable[[], Settings],
    ) -> None:
        """Begin at the present rate.

        Args:
            node: has the clock.
            group: of the timer's callback.
            placement: sends.
            settings: as of now.
        """
        self._node, self._group = node, group
        self._placement = placement
        self._settings = settings
        self._changing = threading.Lock()
        self._is_stopped = False
        self._rate_hz = 0.0
        self._timer = None
        self.follow()

    def follow(self) -> None:
        """Take over a rate that was changed."""
        wanted_hz = self._settings().tf.republish_hz
        with self._changing:
            if self._is_stopped or wanted_hz == self._rate_hz:
                return
            self._end_timer()
            self._rate_hz = wanted_hz
            if wanted_hz > 0:
                self._timer = self._node.create_timer(
                    1.0 / wanted_hz, self._send, callback_group=self._group
                )

    def stop(self) -> None:
        """No more transforms; harmless when repeated."""
        with self._changing:
            self._is_stopped = True
            self._end_timer()

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _send(self) -> None:
        now_ns = self._node.get_clock().now().nanoseconds
        self._placement.republish(now_ns, self._settings())


_PERIOD_S = 1.0
_CLOCK_SILENT_S = 5.0
_RARELY_S = 30.0


class HealthTimer:
    """A timer on the wall clock, from activation to deactivation."""

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        throttled_log: ThrottledLog,
        inputs: Inputs,
        placement: Placement,
        republisher: Republisher,
        is_simulated: Callable[[], bool],
    ) -> None:
        """Start the timer.

        Args:
            node: has the clock.
            group: of the timer's callback.
            throttled_log: takes what is wrong.
            inputs: of the stream.
            placement: of the stream.
            republisher: is told to follow its setting.
            is_simulated: whether the node's clock follows /clock.
        """
        self._node = node
        self._warn = throttled_log.warn
        self._inputs = inputs
        self._placement = placement
        self._republisher = republisher
        self._is_simulated = is_simulated
        self._since_s = time.monotonic()
        self._outputs = [node.resolve_topic_name(row[0]) for row in TOPICS.values()]
        self._turn = 0
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_PERIOD_S, self._check, callback_group=group, clock=steady)

    def stop(self) -> None:
        """No more checks; harmless when repeated."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _check(self) -> None:
        if self._timer is None:
            return
        self._republisher.follow()
        self._inputs.check(time.monotonic() - self._since_s)
        if trouble := self._placement.check():
            self._warn("tf", trouble)
        if trouble := namesakes(self._node):
            self._warn("namesakes", trouble, period_s=_RARELY_S)
        # One topic per look: a graph is large.
        self._turn += 1
        topic = self._outputs[self._turn % len(self._outputs)]
        if trouble := other_definitions(self._node, topic):
            self._warn(("publisher", topic), trouble, period_s=_RARELY_S)
        is_due = time.monotonic() - self._since_s > _CLOCK_SILENT_S
        if is_due and self._is_simulated() and self._node.get_clock().now().nanoseconds == 0:
            self._warn(
                "clock",
                "use_sim_time is set but /clock is silent; expected a simulator or a bag player. "
                "Start it with --clock, or set use_sim_time to false.",
            )


def namesakes(node: Node) -> str:
    """What to say when other nodes have the name of this one; empty otherwise."""
    ours = (node.get_name(), node.get_namespace())
    count = node.get_node_names_and_namespaces().count(ours)
    if count < 2:
        return ""
    name = node.get_fully_qualified_name()
    return (
        f"{count} nodes are named {name} and publish on the same topics; expected one. Stop the "
        "others, or start one with --namespace (`human3r live`), namespace:= (launch) or "
        "-r __node:=NAME."
    )
