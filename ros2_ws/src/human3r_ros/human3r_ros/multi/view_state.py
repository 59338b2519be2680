"""How one view is doing, for its status."""

import math
import time
from collections import deque
from typing import Protocol

_NUM_TIMES = 30


class ViewState:
    """One view: when it was heard, and how often.

    Attributes:
        name: of the view.
        topic: where it is heard.
        expected: what is heard there, in words, and what to do where nothing is.
        frame_id: of its camera; empty before the first message.
        trouble: what is wrong beside its pose; empty while nothing is.
        apart: why it has nothing in common with the others; empty while it has.
        values: more to tell, by key.
    """

    def __init__(self, name: str, topic: str, expected: str) -> None:
        self.name, self.topic, self.expected = name, topic, expected
        self.frame_id = self.trouble = self.apart = ""
        self.values: dict[str, str] = {}
        self._times_s: deque[float] = deque(maxlen=_NUM_TIMES)

    def hear(self) -> None:
        """A message has come."""
        self._times_s.append(time.monotonic())

    def silent_s(self) -> float:
        """Since the last message; infinite before the first."""
        return time.monotonic() - self._times_s[-1] if self._times_s else math.inf

    def rate_hz(self) -> float:
        """Of the last messages."""
        times_s = list(self._times_s)
        if len(times_s) < 2:
            return 0.0
        return (len(times_s) - 1) / max(times_s[-1] - times_s[0], 1e-6)


class Views(Protocol):
    """Where the people of a moment come from: other nodes, or cameras of our own."""

    states: list[ViewState]

    def begin(self) -> None:
        """From activation on."""
        ...

    def end(self) -> None:
        """Until deactivation; harmless when repeated."""
        ...

    def close(self) -> None:
        """Give everything back; harmless when repeated."""
        ...

    def check(self) -> None:
        """Once per second."""
        ...

    def forget_time(self) -> None:
        """The clock was set back."""
        ...
