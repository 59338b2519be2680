"""Clocks, and callbacks for jumps of time."""

import threading
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from rclpy_lite.clock_type import ClockType
from rclpy_lite.duration import Duration
from rclpy_lite.exceptions import NotInitializedException
from rclpy_lite.time import Time

__all__ = [
    "Clock",
    "ClockChange",
    "ClockType",
    "JumpHandle",
    "JumpThreshold",
    "ROSClock",
    "TimeJump",
]


class ClockChange(IntEnum):
    """How the source of ROS time changed in a jump."""

    ROS_TIME_NO_CHANGE = 1
    ROS_TIME_ACTIVATED = 2
    ROS_TIME_DEACTIVATED = 3
    SYSTEM_TIME_NO_CHANGE = 4


class JumpThreshold:
    """When a jump is large enough to be told."""

    def __init__(
        self,
        *,
        min_forward: Duration | None,
        min_backward: Duration | None,
        on_clock_change: bool = True,
    ) -> None:
        if min_forward is not None and min_forward.nanoseconds <= 0:
            raise ValueError("min_forward must be a positive duration")
        if min_backward is not None and min_backward.nanoseconds >= 0:
            raise ValueError("min_backward must be a negative duration")
        if min_forward is None and min_backward is None and not on_clock_change:
            raise ValueError("At least one jump threshold must be set")
        self.min_forward = min_forward
        self.min_backward = min_backward
        self.on_clock_change = on_clock_change


class TimeJump:
    """What is known about a jump."""

    def __init__(self, clock_change: ClockChange, delta: Duration) -> None:
        self._clock_change = clock_change
        self._delta = delta

    @property
    def clock_change(self) -> ClockChange:
        """Whether the source of time changed."""
        return self._clock_change

    @property
    def delta(self) -> Duration:
        """New time minus old time."""
        return self._delta


class JumpHandle:
    """A registered jump callback; `unregister` ends it."""

    def __init__(
        self,
        *,
        clock: "Clock",
        threshold: JumpThreshold,
        pre_callback: Callable[[], Any] | None,
        post_callback: Callable[[TimeJump], Any] | None,
    ) -> None:
        if pre_callback is None and post_callback is None:
            raise ValueError("One of pre_callback or post_callback must be callable")
        for given in (pre_callback, post_callback):
            if given is not None and not callable(given):
                raise ValueError("pre_callback and post_callback must be callable if given")
        self._clock: Clock | None = clock
        self.threshold = threshold
        self.pre_callback = pre_callback
        self.post_callback = post_callback

    def exceeds(self, jump: TimeJump) -> bool:
        """True when the callback wants to hear of this jump."""
        if jump.clock_change in (
            ClockChange.ROS_TIME_ACTIVATED,
            ClockChange.ROS_TIME_DEACTIVATED,
        ):
            return self.threshold.on_clock_change
        delta = jump.delta.nanoseconds
        forward, backward = self.threshold.min_forward, self.threshold.min_backward
        return (forward is not None and delta > 0 and delta >= forward.nanoseconds) or (
            backward is not None and delta < 0 and delta <= backward.nanoseconds
        )

    def unregister(self) -> None:
        """Call no more; twice does no harm."""
        clock, self._clock = self._clock, None
        if clock is not None:
            clock._forget_jump(self)

    def __enter__(self) -> "JumpHandle":
        return self

    def __exit__(self, *_: object) -> None:
        self.unregister()


class Clock:
    """A clock; ``Clock()`` shows system time."""

    def __new__(cls, *, clock_type: ClockType = ClockType.SYSTEM_TIME) -> "Clock":
        if not isinstance(clock_type, ClockType):
            raise TypeError("Clock type must be a ClockType enum")
        return super().__new__(ROSClock if clock_type is ClockType.ROS_TIME else cls)  # pyright: ignore[reportArgumentType]

    def __init__(self, *, clock_type: ClockType = ClockType.SYSTEM_TIME) -> None:
        self._clock_type = clock_type
        self._jumps: list[JumpHandle] = []
        self._lock = threading.RLock()

    @property
    def clock_type(self) -> ClockType:
        """Which time this clock shows."""
        return self._clock_type

    def __repr__(self) -> str:
        return f"Clock(clock_type={self.clock_type.name})"

    def nanoseconds(self) -> int:
        """The time now as a number."""
        return time.monotonic_ns() if self._clock_type is ClockType.STEADY_TIME else time.time_ns()

    def now(self) -> Time:
        """The time now."""
        return Time(nanoseconds=self.nanoseconds(), clock_type=self.clock_type)

    def create_jump_callback(
        self,
        threshold: JumpThreshold,
        *,
        pre_callback: Callable[[], Any] | None = None,
        post_callback: Callable[[TimeJump], Any] | None = None,
    ) -> JumpHandle:
        """Call back before and after jumps beyond the threshold; keep the handle."""
        handle = JumpHandle(
            clock=self, threshold=threshold, pre_callback=pre_callback, post_callback=post_callback
        )
        with self._lock:
            self._jumps.append(handle)
        return handle

    def _forget_jump(self, handle: JumpHandle) -> None:
        with self._lock:
            if handle in self._jumps:
                self._jumps.remove(handle)

    def sleep_until(self, until: Time, context: Any = None) -> bool:
        """Sleep; False when interrupted by shutdown or a change of the time source."""
        from rclpy_lite.context import get_default_context

        context = context or get_default_context()
        if not context.ok():
            raise NotInitializedException()
        if until.clock_type != self.clock_type:
            raise ValueError("until's clock type does not match this clock's type")
        source = self._source()
        with context.shutdown_condition:
            while context.ok() and self._source() == source:
                left_s = (until.nanoseconds - self.nanoseconds()) / 1e9
                if left_s <= 0:
                    return True
                # Simulated time may move at any speed, so it is looked at often.
                context.shutdown_condition.wait(min(left_s, 0.01 if source else 3600.0))
        return False

    def sleep_for(self, rel_time: Duration, context: Any = None) -> bool:
        """Sleep for a while of this clock; see `sleep_until`."""
        until = Time(
            nanoseconds=max(0, self.nanoseconds() + rel_time.nanoseconds),
            clock_type=self.clock_type,
        )
        return self.sleep_until(until, context)

    def _source(self) -> bool:
        """True while time comes from /clock."""
        return False


class ROSClock(Clock):
    """System time, or simulated time while that is active."""

    def __new__(cls, *, clock_type: ClockType = ClockType.ROS_TIME) -> "ROSClock":
        """A clock of ROS time."""
        return object.__new__(cls)

    def __init__(self, *, clock_type: ClockType = ClockType.ROS_TIME) -> None:
        super().__init__(clock_type=ClockType.ROS_TIME)
        self._is_active = False
        self._simulated_ns = 0
        self._listeners: list[Callable[[], None]] = []

    @property
    def ros_time_is_active(self) -> bool:
        """True while /clock sets the time."""
        return self._is_active

    def _source(self) -> bool:
        return self._is_active

    def nanoseconds(self) -> int:
        """The time now as a number."""
        return self._simulated_ns if self._is_active else time.time_ns()

    def _set_ros_time_is_active(self, enabled: bool) -> None:
        if enabled == self._is_active:
            return
        change = ClockChange.ROS_TIME_ACTIVATED if enabled else ClockChange.ROS_TIME_DEACTIVATED
        self._jump(change, enabled, self._simulated_ns)

    def set_ros_time_override(self, time: Time) -> None:
        """Set simulated time, telling jump callbacks and timers."""
        if not isinstance(time, Time):
            raise TypeError(
                f"Time must be specified as rclpy.time.Time. Received type: {type(time)}"
            )
        if self._is_active:
            self._jump(ClockChange.ROS_TIME_NO_CHANGE, True, time.nanoseconds)
        else:
            self._simulated_ns = time.nanoseconds

    def _jump(self, change: ClockChange, is_active: bool, simulated_ns: int) -> None:
        before = self.nanoseconds()
        after = simulated_ns if is_active else time.time_ns()
        jump = TimeJump(change, Duration(nanoseconds=after - before))
        with self._lock:
            told = [handle for handle in self._jumps if handle.exceeds(jump)]
        for handle in told:
            if handle.pre_callback is not None:
                handle.pre_callback()
        self._simulated_ns = simulated_ns
        self._is_active = is_active
        for handle in told:
            if handle.post_callback is not None:
                handle.post_callback(jump)
        for listener in list(self._listeners):
            listener()

    def on_update(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` whenever simulated time moves; the result ends that."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end
