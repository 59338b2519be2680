"""Warnings that repeat with every frame, said once in a while, by cause."""

import time
from collections.abc import Callable, Hashable

_MAX_KEYS = 256


class Notices:
    """Limits how often each kind of warning is logged; counters elsewhere are not limited."""

    def __init__(self, log: Callable[[str], object], period_s: float = 5.0) -> None:
        """Prepare the limiter.

        Args:
            log: writes one line at warning level.
            period_s: pause between two lines of the same kind.
        """
        self._log = log
        self._period_s = period_s
        self._next_s: dict[Hashable, float] = {}

    def warn(self, kind: Hashable, text: str, period_s: float | None = None) -> None:
        """Log ``text`` unless one of this kind was logged less than ``period_s`` ago."""
        now_s = time.monotonic()
        if now_s < self._next_s.get(kind, 0.0):
            return
        if len(self._next_s) >= _MAX_KEYS:
            self._next_s.clear()
        self._next_s[kind] = now_s + (self._period_s if period_s is None else period_s)
        self._log(text)

    def once(self, kind: Hashable, text: str) -> None:
        """Log ``text`` the first time only."""
        self.warn(kind, text, period_s=float("inf"))

    def forget(self) -> None:
        """Everything may be said again."""
        self._next_s.clear()
