"""Length of time."""

from typing import Any

NANOSECONDS = 10**9


class Duration:
    """A signed length of time in nanoseconds."""

    def __init__(self, *, seconds: float = 0, nanoseconds: float = 0) -> None:
        total = int(seconds * NANOSECONDS) + int(nanoseconds)
        if not -(2**63) <= total < 2**63:
            raise OverflowError("Total nanoseconds value is too large to store in C duration.")
        self._nanoseconds = total

    @property
    def nanoseconds(self) -> int:
        """The length in nanoseconds."""
        return self._nanoseconds

    def __repr__(self) -> str:
        return f"Duration(nanoseconds={self.nanoseconds})"

    def __str__(self) -> str:
        return f"{self.nanoseconds} nanoseconds"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.nanoseconds == other.nanoseconds

    def __hash__(self) -> int:
        return hash(self.nanoseconds)

    def __lt__(self, other: "Duration") -> bool:
        return (
            self.nanoseconds < other.nanoseconds if isinstance(other, Duration) else NotImplemented
        )

    def __le__(self, other: "Duration") -> bool:
        return (
            self.nanoseconds <= other.nanoseconds if isinstance(other, Duration) else NotImplemented
        )

    def __gt__(self, other: "Duration") -> bool:
        return (
            self.nanoseconds > other.nanoseconds if isinstance(other, Duration) else NotImplemented
        )

    def __ge__(self, other: "Duration") -> bool:
        return (
            self.nanoseconds >= other.nanoseconds if isinstance(other, Duration) else NotImplemented
        )

    def to_msg(self) -> Any:
        """A builtin_interfaces/msg/Duration."""
        from rclpy_lite.messages import get_message

        seconds, nanoseconds = divmod(self.nanoseconds, NANOSECONDS)
        return get_message("builtin_interfaces/msg/Duration")(sec=seconds, nanosec=nanoseconds)

    @classmethod
    def from_msg(cls, msg: Any) -> "Duration":
        """The length in a builtin_interfaces/msg/Duration."""
        return cls(nanoseconds=msg.sec * NANOSECONDS + msg.nanosec)


class _Infinite(Duration):
    def __init__(self) -> None:
        super().__init__(nanoseconds=2**63 - 1)

    def __repr__(self) -> str:
        return "Infinite"

    def __str__(self) -> str:
        return "Infinite"


Infinite = _Infinite()
