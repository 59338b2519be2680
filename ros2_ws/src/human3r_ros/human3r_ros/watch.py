"""Once per second while the stream runs: what no single frame can show."""

import time
from collections.abc import Callable

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from human3r_ros.inputs import Inputs
from human3r_ros.notices import Notices
from human3r_ros.placement import Placement
from human3r_ros.republisher import Republisher

_PERIOD_S = 1.0
_CLOCK_SILENT_S = 5.0


class Watch:
    """A timer on the wall clock, from activation to deactivation."""

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        notices: Notices,
        inputs: Inputs,
        placement: Placement,
        republisher: Republisher,
        is_simulated: Callable[[], bool],
    ) -> None:
        """Begin to look.

        Args:
            node: has the clock.
            group: of the timer's callback.
            notices: takes what is wrong.
            inputs: of the stream.
            placement: of the stream.
            republisher: is told to follow its setting.
            is_simulated: whether the node's clock follows /clock.
        """
        self._node = node
        self._warn = notices.warn
        self._inputs = inputs
        self._placement = placement
        self._republisher = republisher
        self._is_simulated = is_simulated
        self._since_s = time.monotonic()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_PERIOD_S, self._look, callback_group=group, clock=steady)

    def stop(self) -> None:
        """No more looks; harmless when repeated."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _look(self) -> None:
        if self._timer is None:
            return
        self._republisher.follow()
        self._inputs.look_for_depth()
        if trouble := self._placement.check():
            self._warn("tf", trouble)
        if trouble := self._inputs.other_publishers():
            self._warn("publishers", trouble)
        is_due = time.monotonic() - self._since_s > _CLOCK_SILENT_S
        if is_due and self._is_simulated() and self._node.get_clock().now().nanoseconds == 0:
            self._warn(
                "clock",
                "use_sim_time is set but /clock is silent; expected a simulator or a bag player. "
                "Start it with --clock, or set use_sim_time to false.",
            )
