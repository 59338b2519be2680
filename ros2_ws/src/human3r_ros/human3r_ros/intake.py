"""Frames on their way from the callback to the worker: a newest-frame slot or a bounded queue.

Everything received is accounted for, by cause:
received == processed + rejected + every dropped_* + pending.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Arrival:
    """One image as it came, not yet decoded."""

    data: bytes
    """The serialised message."""
    receive_ns: int
    """Node clock at arrival."""
    arrival_s: float = field(default_factory=time.monotonic)
    """Steady clock at arrival."""


@dataclass
class Counters:
    """Frames since activation, by fate."""

    received: int = 0
    processed: int = 0
    """Answered by the network and published."""
    dropped_overwritten: int = 0
    """A newer image replaced it, or the queue was full."""
    dropped_rate: int = 0
    dropped_stale: int = 0
    dropped_order: int = 0
    rejected: int = 0
    """Bad input, and frames on which the network failed: taken, but without a result."""


class Intake:
    """Hands the newest frame (capacity 1) or the oldest of a few to one consumer."""

    def __init__(self, capacity: int, *, keep_newest: bool) -> None:
        """Prepare an empty intake.

        Args:
            capacity: frames waiting at most.
            keep_newest: a full intake drops its oldest frame for the new one; otherwise it
                refuses the new one, so that a replay keeps its beginning whole.
        """
        self.capacity = capacity
        self._keep_newest = keep_newest
        self._waiting: deque[Arrival] = deque()
        self._condition = threading.Condition()
        self._counters = Counters()
        self._is_woken = False

    def put(self, arrival: Arrival) -> bool:
        """Store a frame; never blocks.

        Returns:
            False when a frame was lost because the intake was full.
        """
        with self._condition:
            self._counters.received += 1
            is_full = len(self._waiting) >= self.capacity
            if is_full:
                self._counters.dropped_overwritten += 1
                if self._keep_newest:
                    self._waiting.popleft()
            if not is_full or self._keep_newest:
                self._waiting.append(arrival)
                self._condition.notify()
            return not is_full

    def take(self, timeout_s: float) -> Arrival | None:
        """The next frame, or None after ``timeout_s`` or a ``wake``."""
        with self._condition:
            if not self._waiting and not self._is_woken:
                self._condition.wait(timeout_s)
            self._is_woken = False
            return self._waiting.popleft() if self._waiting else None

    def wake(self) -> None:
        """Let the present ``take`` return, or the next one if none is waiting."""
        with self._condition:
            self._is_woken = True
            self._condition.notify_all()

    def discard_waiting(self) -> None:
        """Drop what waits, counted as stale: time has jumped and it belongs to before."""
        with self._condition:
            self._counters.dropped_stale += len(self._waiting)
            self._waiting.clear()

    def count(self, fate: str) -> None:
        """Add one to the counter called ``fate``, for a frame that was taken."""
        with self._condition:
            setattr(self._counters, fate, getattr(self._counters, fate) + 1)

    @property
    def pending(self) -> int:
        """Frames waiting to be taken."""
        with self._condition:
            return len(self._waiting)

    def counters(self) -> Counters:
        """A snapshot."""
        with self._condition:
            return replace(self._counters)
