"""Feeds /clock into a node's clock while use_sim_time is set."""

from typing import Any

from rclpy_lite.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy_lite.clock import ROSClock
from rclpy_lite.messages import get_message
from rclpy_lite.parameter import Parameter
from rclpy_lite.qos import QoSProfile, ReliabilityPolicy
from rclpy_lite.time import Time

USE_SIM_TIME_NAME = "use_sim_time"


class TimeSource:
    """Switches a clock between system time and /clock."""

    def __init__(self, *, node: Any, clock: ROSClock) -> None:
        self._node = node
        self._clock = clock
        self._subscription: Any = None
        # A group of its own: a long callback in the default group must not stop time.
        self._group = MutuallyExclusiveCallbackGroup()

    @property
    def ros_time_is_active(self) -> bool:
        """True while /clock sets the time."""
        return self._clock.ros_time_is_active

    def start(self) -> None:
        """Declare use_sim_time and obey it."""
        if not self._node.has_parameter(USE_SIM_TIME_NAME):
            self._node.declare_parameter(USE_SIM_TIME_NAME, False)
        self.apply(self._node.get_parameter(USE_SIM_TIME_NAME))

    def apply(self, parameter: Parameter) -> None:
        """Obey a new value of use_sim_time."""
        wanted = bool(parameter.value)
        if wanted and self._subscription is None:
            self._subscription = self._node.create_subscription(
                get_message("rosgraph_msgs/msg/Clock"),
                "/clock",
                self._on_clock,
                QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
                callback_group=self._group,
            )
        elif not wanted and self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self._clock._set_ros_time_is_active(wanted)

    def _on_clock(self, message: Any) -> None:
        if self._subscription is not None:
            self._clock.set_ros_time_override(Time.from_msg(message.clock))
