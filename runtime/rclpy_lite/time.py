"""Points in time of a clock."""

from typing import Any

from rclpy_lite.clock_type import ClockType
from rclpy_lite.duration import NANOSECONDS, Duration


class Time:
    """Nanoseconds since the epoch of one kind of clock."""

    def __init__(
        self,
        *,
        seconds: float = 0,
        nanoseconds: float = 0,
        clock_type: ClockType = ClockType.SYSTEM_TIME,
    ) -> None:
        if not isinstance(clock_type, ClockType):
            raise TypeError("Clock type must be a ClockType enum")
        if seconds < 0:
            raise ValueError("Seconds value must not be negative")
        if nanoseconds < 0:
            raise ValueError("Nanoseconds value must not be negative")
        total = int(seconds * NANOSECONDS) + int(nanoseconds)
        if total >= 2**63:
            raise OverflowError("Total nanoseconds value is too large to store in C time point.")
        self._nanoseconds = total
        self._clock_type = clock_type

    @property
    def nanoseconds(self) -> int:
        """Nanoseconds since the epoch."""
        return self._nanoseconds

    @property
    def clock_type(self) -> ClockType:
        """The kind of clock this time belongs to."""
        return self._clock_type

    def seconds_nanoseconds(self) -> tuple[int, int]:
        """Whole seconds and the remaining nanoseconds."""
        return divmod(self.nanoseconds, NANOSECONDS)

    def __repr__(self) -> str:
        return f"Time(nanoseconds={self.nanoseconds}, clock_type={self.clock_type.name})"

    def __add__(self, other: Duration) -> "Time":
        if not isinstance(other, Duration):
            return NotImplemented
        return Time(nanoseconds=self.nanoseconds + other.nanoseconds, clock_type=self.clock_type)

    __radd__ = __add__

    def __sub__(self, other: "Time | Duration") -> Any:
        if isinstance(other, Time):
            self._require_same_clock(other, "subtract")
            return Duration(nanoseconds=self.nanoseconds - other.nanoseconds)
        if isinstance(other, Duration):
            left = self.nanoseconds - other.nanoseconds
            if left < 0:
                raise ValueError("Subtraction leads to negative time")
            return Time(nanoseconds=left, clock_type=self.clock_type)
        return NotImplemented

    def _require_same_clock(self, other: "Time", what: str) -> None:
        if self.clock_type != other.clock_type:
            raise TypeError(f"Can't {what} times with different clock types")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Time):
            return NotImplemented
        self._require_same_clock(other, "compare")
        return self.nanoseconds == other.nanoseconds

    def __hash__(self) -> int:
        return hash((self.nanoseconds, self.clock_type))

    def __lt__(self, other: "Time") -> bool:
        if not isinstance(other, Time):
            return NotImplemented
        self._require_same_clock(other, "compare")
        return self.nanoseconds < other.nanoseconds

    def __le__(self, other: "Time") -> bool:
        return NotImplemented if not isinstance(other, Time) else not other < self

    def __gt__(self, other: "Time") -> bool:
        return NotImplemented if not isinstance(other, Time) else other < self

    def __ge__(self, other: "Time") -> bool:
        return NotImplemented if not isinstance(other, Time) else not self < other

    def to_msg(self) -> Any:
        """A builtin_interfaces/msg/Time."""
        from rclpy_lite.messages import get_message

        seconds, nanoseconds = self.seconds_nanoseconds()
        return get_message("builtin_interfaces/msg/Time")(sec=seconds, nanosec=nanoseconds)

    @classmethod
    def from_msg(cls, msg: Any, clock_type: ClockType = ClockType.ROS_TIME) -> "Time":
        """The time in a builtin_interfaces/msg/Time."""
        if getattr(type(msg), "__ros_typename__", "") != "builtin_interfaces/msg/Time":
            raise TypeError("Must pass a builtin_interfaces.msg.Time object")
        return cls(seconds=msg.sec, nanoseconds=msg.nanosec, clock_type=clock_type)
