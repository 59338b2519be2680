"""What the surroundings of a stream know about metres: the robot's poses, depth, its height.

A pose or a depth image may come later than the frame it belongs to: ``Waiting``.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np


def _unknown(stamp_ns: int) -> None:
    return None


def _no_height() -> float:
    return 0.0


def _nothing_wrong() -> str:
    return ""


@dataclass(frozen=True)
class ScaleSources:
    """Callables that a node fills in; by default nothing is known."""

    pose_at: Callable[[int], np.ndarray | None] = _unknown
    """(4, 4) anchor_from_camera in metres at a stamp, by the robot's own odometry; None while it is
    not known. Never extrapolated."""
    depth_at: Callable[[int], Callable[[np.ndarray], np.ndarray] | None] = _unknown
    """What measures depth in the image of a stamp: takes pixels (n, 2) of the source image, gives
    metres (n,) along the optical axis, NaN where there is none. None while no depth has come."""
    camera_height_m: Callable[[], float] = _no_height
    """Height of the camera above the floor by the robot's own model; 0 while it is not known."""
    trouble: Callable[[], str] = _nothing_wrong
    """Why ``pose_at`` or ``depth_at`` answers None, where that is known."""


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
