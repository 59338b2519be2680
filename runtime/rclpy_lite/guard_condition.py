"""Guard conditions: callbacks that any thread can ask for."""

from collections.abc import Callable
from typing import Any

from rclpy_lite.waitable import Waitable


class GuardCondition(Waitable):
    """Runs its callback in the executor after `trigger`."""

    def __init__(self, callback: Callable[[], Any] | None, callback_group: Any, wake: Any) -> None:
        super().__init__(callback_group, wake)
        self.callback = callback

    def trigger(self) -> None:
        """Ask for one call; several before it runs count as one."""
        self.mark_ready()

    def take(self) -> Callable[[], Any] | None:
        """The callback."""
        return self.callback

    def destroy(self) -> None:
        """Run no more."""
        self.callback = None
