"""What an executor waits for and runs: subscriptions, timers, services, clients and so on."""

from collections.abc import Callable
from typing import Any

from rclpy_lite.callback_groups import CallbackGroup


class Waitable:
    """Something that becomes ready and then has a callback to run."""

    def __init__(self, callback_group: CallbackGroup, wake: Callable[[], None]) -> None:
        self.callback_group = callback_group
        self._wake_executor = wake
        self._is_ready = False
        callback_group.add_entity(self)

    def mark_ready(self) -> None:
        """Tell the executor to look here; callable from any thread."""
        self._is_ready = True
        self._wake_executor()

    def is_ready_now(self) -> bool:
        """True when there may be something to run."""
        return self._is_ready

    def claim(self) -> None:
        """The executor is going to call `take`; called under its lock."""
        self._is_ready = False

    def seconds_until_ready(self) -> float | None:
        """When to look again without being told; None for never."""
        return None

    def take(self) -> Callable[[], Any] | None:
        """Fetch what arrived; the function to run for it, or None if there was nothing."""
        raise NotImplementedError
