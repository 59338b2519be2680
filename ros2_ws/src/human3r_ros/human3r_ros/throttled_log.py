"""Warnings that repeat with every frame, said once in a while, by cause."""

import time
from collections.abc import Callable, Hashable

_MAX_KEYS = 256


class ThrottledLog:
    """Limits how often each kind of warning is logged; counters elsewhere are not limited.

    What was logged, or would have been, is also kept for ``recent``: diagnostics show the present.
    """

    def __init__(self, log: Callable[[str], object], period_s: float = 5.0) -> None:
        """Prepare the limiter.

        Args:
            log: writes one line at warning level.
            period_s: pause between two lines of the same kind.
        """
        self._log = log
        self._period_s = period_s
        self._next_s: dict[Hashable, float] = {}
        self._last: dict[Hashable, tuple[float, str]] = {}

    def warn(self, kind: Hashable, text: str, period_s: float | None = None) -> None:
        """Log ``text`` unless one of this kind was logged less than ``period_s`` ago."""
        now_s = time.monotonic()
        if kind not in self._last and len(self._last) >= _MAX_KEYS:
            self._last.clear()
        self._last[kind] = (now_s, text)
        if now_s < self._next_s.get(kind, 0.0):
            return
        if len(self._next_s) >= _MAX_KEYS:
            self._next_s.clear()
        self._next_s[kind] = now_s + (self._period_s if period_s is None else period_s)
        self._log(text)

    def once(self, kind: Hashable, text: str) -> None:
        """Log ``text`` the first time only."""
        self.warn(kind, text, period_s=float("inf"))

    def recent(self, within_s: float) -> list[tuple[Hashable, str]]:
        """Kind and last text of what came up less than ``within_s`` ago, logged or not."""
        since_s = time.monotonic() - within_s
        # A copy in one step: other threads may warn meanwhile.
        return [(kind, text) for kind, (at_s, text) in self._last.copy().items() if at_s > since_s]

    def forget(self) -> None:
        """Everything may be said again."""
        self._next_s.clear()
        self._last.clear()
