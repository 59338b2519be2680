"""Repeats the last transform of tf.mode anchored between frames, at ``tf.republish_hz``."""

import threading
from collections.abc import Callable

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from human3r.config import Settings
from human3r_ros.placement import Placement


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
