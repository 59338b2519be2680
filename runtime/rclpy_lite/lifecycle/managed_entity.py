"""Things that follow the transitions of their node."""

import functools
from collections.abc import Callable
from typing import Any

from rclpy_lite.lifecycle.state_machine import LifecycleState, TransitionCallbackReturn

_SUCCESS = TransitionCallbackReturn.SUCCESS


class ManagedEntity:
    """Told of every transition; does nothing by default."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Told before the node becomes inactive."""
        return _SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Told before the node becomes unconfigured."""
        return _SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Told before the node is finalized."""
        return _SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Told before the node becomes active."""
        return _SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Told before the node becomes inactive again."""
        return _SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Told after a transition went wrong."""
        return _SUCCESS


class SimpleManagedEntity(ManagedEntity):
    """Enabled while the node is active."""

    def __init__(self) -> None:
        self._enabled = False

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable."""
        self._enabled = True
        return _SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Disable."""
        self._enabled = False
        return _SUCCESS

    @property
    def is_activated(self) -> bool:
        """True while enabled."""
        return self._enabled

    @staticmethod
    def when_enabled(
        wrapped: Callable[..., Any] | None = None, *, when_not_enabled: Any = None
    ) -> Any:
        """Decorator: call the method only while enabled."""

        def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(method)
            def guarded(self: SimpleManagedEntity, *args: Any, **kwargs: Any) -> Any:
                if not self._enabled:
                    return when_not_enabled() if when_not_enabled is not None else None
                return method(self, *args, **kwargs)

            return guarded

        return decorate if wrapped is None else decorate(wrapped)
