"""Timers and rates."""

import threading
from collections.abc import Callable
from typing import Any

from rclpy_lite.callback_groups import CallbackGroup
from rclpy_lite.clock import Clock, ROSClock
from rclpy_lite.exceptions import InvalidHandle, ROSInterruptException
from rclpy_lite.waitable import Waitable


class Timer(Waitable):
    """Calls back periodically; made by `Node.create_timer`."""

    def __init__(
        self,
        callback: Callable[..., Any],
        callback_group: CallbackGroup,
        timer_period_ns: int,
        clock: Clock,
        *,
        wake: Callable[[], None],
        autostart: bool = True,
    ) -> None:
        if timer_period_ns < 0:
            raise ValueError("timer period must be greater than or equal to zero")
        super().__init__(callback_group, wake)
        self.callback = callback
        self._clock = clock
        self._period_ns = int(timer_period_ns)
        self._lock = threading.Lock()
        self._is_destroyed = False
        self._is_canceled = not autostart
        now_ns = clock.nanoseconds()
        self._last_ns = now_ns
        self._next_ns = now_ns + self._period_ns
        self._jump = None
        if isinstance(clock, ROSClock):
            self._jump = clock.on_update(self._on_clock)

    def _on_clock(self) -> None:
        with self._lock:
            now_ns = self._clock.nanoseconds()
            if now_ns < self._last_ns:
                self._last_ns = now_ns
                self._next_ns = now_ns + self._period_ns
        self._wake_executor()

    @property
    def clock(self) -> Clock:
        """The clock that decides."""
        return self._clock

    @property
    def timer_period_ns(self) -> int:
        """Nanoseconds between calls."""
        return self._period_ns

    @timer_period_ns.setter
    def timer_period_ns(self, value: int) -> None:
        with self._lock:
            self._period_ns = int(value)
            self._next_ns = self._last_ns + self._period_ns
        self._wake_executor()

    def is_ready(self) -> bool:
        """True when a call is due."""
        if self._is_canceled or self._is_destroyed:
            return False
        return self._clock.nanoseconds() >= self._next_ns

    is_ready_now = is_ready

    def claim(self) -> None:
        """Move on to the next call; calls that were missed are skipped."""
        with self._lock:
            now_ns = self._clock.nanoseconds()
            self._last_ns = now_ns
            self._next_ns += self._period_ns
            if self._next_ns < now_ns:
                if self._period_ns == 0:
                    self._next_ns = now_ns
                else:
                    missed = 1 + (now_ns - self._next_ns) // self._period_ns
                    self._next_ns += missed * self._period_ns

    def seconds_until_ready(self) -> float | None:
        """When to look again; simulated time says so itself."""
        if self._is_canceled or self._is_destroyed:
            return None
        if isinstance(self._clock, ROSClock) and self._clock.ros_time_is_active:
            return None
        return max(0.0, (self._next_ns - self._clock.nanoseconds()) / 1e9)

    def take(self) -> Callable[[], Any] | None:
        """The callback, unless the timer was stopped in the meantime."""
        if self._is_canceled or self._is_destroyed or self.callback is None:
            return None
        return self.callback

    def cancel(self) -> None:
        """Stop calling until `reset`."""
        self._check()
        self._is_canceled = True

    def is_canceled(self) -> bool:
        """True after `cancel`."""
        self._check()
        return self._is_canceled

    def reset(self) -> None:
        """Start anew, one period from now."""
        self._check()
        with self._lock:
            self._last_ns = self._clock.nanoseconds()
            self._next_ns = self._last_ns + self._period_ns
            self._is_canceled = False
        self._wake_executor()

    def time_since_last_call(self) -> int:
        """Nanoseconds since the last call or the start."""
        self._check()
        return self._clock.nanoseconds() - self._last_ns

    def time_until_next_call(self) -> int | None:
        """Nanoseconds until the next call, negative when overdue; None when stopped."""
        self._check()
        return None if self._is_canceled else self._next_ns - self._clock.nanoseconds()

    def _check(self) -> None:
        if self._is_destroyed:
            raise InvalidHandle("the timer was destroyed")

    def destroy(self) -> None:
        """Stop for good; prefer `Node.destroy_timer`."""
        self._is_destroyed = True
        if self._jump is not None:
            self._jump()
            self._jump = None


class Rate:
    """Sleeps so that a loop runs at a fixed rate; the node must be spun by another thread."""

    def __init__(self, timer: Timer, *, context: Any) -> None:
        self._timer = timer
        self._context = context
        self._condition = threading.Condition()
        self._ticks = 0
        self._is_destroyed = False
        timer.callback = self._tick
        context.on_shutdown(self._interrupt)

    def _tick(self) -> None:
        with self._condition:
            self._ticks += 1
            self._condition.notify_all()

    def _interrupt(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def sleep(self) -> None:
        """Wait for the next tick.

        Raises:
            ROSInterruptException: the context was shut down.
        """
        with self._condition:
            seen = self._ticks
            while self._ticks == seen:
                if self._is_destroyed:
                    raise RuntimeError("Rate cannot sleep because it has been destroyed")
                if not self._context.ok():
                    raise ROSInterruptException()
                self._condition.wait(1.0)

    def destroy(self) -> None:
        """Wake sleepers and stop."""
        self._is_destroyed = True
        self._interrupt()
        self._timer.destroy()


__all__ = ["Rate", "Timer"]
