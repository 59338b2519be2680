"""Frames whose other half (a pose, a depth image) may still be on its way."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_PATIENCE_NS = 2_000_000_000
_MAX_WAITING = 8


class Waiting(Generic[Item, Answer]):
    """A short queue: each frame waits at most two seconds for what arrives separately."""

    def __init__(self) -> None:
        self._items: deque[tuple[int, Item]] = deque(maxlen=_MAX_WAITING)

    def put(self, stamp_ns: int, item: Item) -> None:
        """Queue a frame's half; stamps that went back forget those of before."""
        if self._items and self._items[-1][0] >= stamp_ns:
            self._items.clear()
        self._items.append((stamp_ns, item))

    def matched(
        self, now_ns: int, ask: Callable[[int], Answer | None]
    ) -> Iterator[tuple[int, Item, Answer]]:
        """Those whose other half is there by now, in order; they wait no longer.

        Args:
            now_ns: stamp of the newest frame.
            ask: the other half for a stamp, None while it is not known.
        """
        for _ in range(len(self._items)):
            stamp_ns, item = self._items.popleft()
            answer = ask(stamp_ns)
            if answer is not None:
                yield stamp_ns, item, answer
            elif now_ns - stamp_ns < _PATIENCE_NS:
                self._items.append((stamp_ns, item))

    def clear(self) -> None:
        """Wait for nothing."""
        self._items.clear()
