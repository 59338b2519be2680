"""The node: people come in on one topic and go out in every wanted format.

It needs neither the network nor a GPU, so it can run on another machine or on a recording.
"""

import time
import traceback
from collections.abc import Callable

from human3r_msgs.msg import HumanArray
from human3r_ros import qos
from human3r_ros.parameters import ParameterGuard, declare
from human3r_ros.throttled_log import ThrottledLog
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter

from human3r_bridge import parameters
from human3r_bridge.formats import make_outputs
from human3r_bridge.inputs import HUMANS
from human3r_bridge.output import PeopleFrame
from human3r_bridge.people import confirmed_people

NODE_NAME = "human3r_bridge"
_FIXED = "while the bridge runs: start it again."
_TICK_S = 0.25
_SILENT_S = 10.0
_LONGEST_INTERVAL_S = 60.0
_MAX_FRAME_NAME = 128


class BridgeNode(Node):
    """Translates every HumanArray."""

    def __init__(self, *, overrides: list[Parameter] | None = None) -> None:
        """Create the node; it works at once.

        Args:
            overrides: parameter values that win over a parameter file's.

        Raises:
            ConfigError: a parameter that cannot be used, or a message package that is missing.
        """
        super().__init__(
            NODE_NAME,
            parameter_overrides=overrides or [],
            automatically_declare_parameters_from_overrides=True,
        )
        self._log = ThrottledLog(self.get_logger().warning)
        settings = declare(self, parameters.BridgeSettings(), place=NODE_NAME, refusal=_FIXED)
        ParameterGuard(self, settings, may_change=lambda: False, refusal=_FIXED)
        self._outputs = make_outputs(self, settings, self._log.warn)
        self._last: PeopleFrame | None = None
        self._heard_at_s = time.monotonic()
        self._interval_s = 0.0
        topic = self.resolve_topic_name(HUMANS)
        self._humans = self.create_subscription(
            HumanArray,
            HUMANS,
            self._on_humans,
            qos.HUMANS,
            qos_overriding_options=qos.overridable(),
            event_callbacks=qos.subscription_events(
                topic, lambda text: self._log.warn("qos", text)
            ),
        )
        self._topic = topic
        # Not of ROS time: people must also go while a simulation or a bag stands still.
        self._timer = self.create_timer(
            _TICK_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def describe(self) -> str:
        """One line: what is read, and what for."""
        names = ", ".join(self._outputs)
        return f"{self.get_fully_qualified_name()} reads {self._topic} and publishes {names}"

    def clear(self) -> None:
        """Remove all people: empty lists, and the removal of all markers."""
        if self._last is not None and self._last.people:
            array = HumanArray(header=self._last.header, skeleton_id=self._last.array.skeleton_id)
            self._publish(PeopleFrame(array, []))

    def _on_humans(self, message: HumanArray) -> None:
        now_s = time.monotonic()
        self._interval_s = min(now_s - self._heard_at_s, _LONGEST_INTERVAL_S)
        self._heard_at_s = now_s
        if not 0 < len(message.header.frame_id) <= _MAX_FRAME_NAME:
            self._log.warn(
                "frame",
                f"people came in frame {message.header.frame_id[:40]!r}; expected a frame name of "
                f"1 to {_MAX_FRAME_NAME} characters. Check who publishes {self._topic}.",
            )
            return
        people = confirmed_people(
            message, lambda reason: self._log.warn("person", f"{self._topic}: {reason}")
        )
        self._publish(PeopleFrame(message, people))

    def _publish(self, frame: PeopleFrame) -> None:
        self._last = frame
        for name, output in self._outputs.items():
            self._guard(name, lambda output=output: output.publish(frame))

    def _tick(self) -> None:
        for name, output in self._outputs.items():
            self._guard(name, output.tick)
        if self._last is None or not self._last.people:
            return
        silent_s = time.monotonic() - self._heard_at_s
        has_publisher = self.count_publishers(self._topic) > 0
        # A large network on a small machine takes long for a frame.
        patience_s = max(_SILENT_S, 3 * self._interval_s)
        if silent_s > patience_s or (not has_publisher and silent_s > 2 * _TICK_S):
            seen = f"silent for {silent_s:.0f} s" if has_publisher else "without publisher"
            self._log.warn(
                "silence",
                f"{self._topic} is {seen}; expected a frame, also without people. All people "
                "is taken away. See whether the node runs and gets images.",
            )
            self.clear()

    def _guard(self, name: str, work: Callable[[], None]) -> None:
        """One format's fault must not take the others along."""
        try:
            work()
        except Exception:
            self._log.warn(
                ("fault", name),
                f"output {name} failed, which is a fault of human3r_bridge; the others go on.\n"
                f"{traceback.format_exc()}",
            )
