"""What measures the scale of a stream: what its surroundings know of metres, and what that says.

``ScaleSources`` is what the surroundings know: the robot's poses, depth, its height. A pose or a
depth image may come later than the frame it belongs to: ``Waiting``. ``Guess`` is what a source
makes of it, mostly a robust middle of many votes.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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


_NORMAL_FROM_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
_MEDIAN_FROM_MEAN = math.sqrt(math.pi / 2)
"""Standard error of a normal sample's median over that of its mean."""
_PLAUSIBLE = (0.2, 5.0)
"""Beyond this something other than the scale is wrong."""
_MAX_RELATIVE_STDDEV = 0.1
_INDEPENDENT_NS = 1_000_000_000
_FAR_APART = 2.5
"""Values farther from the weighted median of all, in standard deviations, lose weight."""


@dataclass(frozen=True)
class Guess:
    """Metres per network unit as one source sees them."""

    value: float = math.nan
    """NaN while nothing is known."""
    relative_stddev: float = math.inf
    """Standard error of ``value`` over ``value``."""
    samples: int = 0
    trouble: str = ""
    """Why the value must not be used; empty when it may."""
    sources: tuple[str, ...] = ()
    """Which sources it is made of, where several are asked."""


@dataclass(frozen=True)
class Middle:
    """A robust location with its standard error."""

    value: float
    stddev: float


def robust_middle(values: Sequence[float] | np.ndarray, independent: float | None = None) -> Middle:
    """The median, and its standard error from the median absolute deviation.

    Args:
        values: at least one, finite.
        independent: how many of them count as independent; by default all.
    """
    sample = np.asarray(values, np.float64)
    count = max(1.0, len(sample) if independent is None else min(independent, len(sample)))
    median = float(np.median(sample))
    spread = _NORMAL_FROM_MAD * float(np.median(np.abs(sample - median)))
    # The deviation of a few values from their own median is too small; for normal samples this
    # brings it back within some percent from four values on.
    spread *= 1.0 + 1.2 / len(sample)
    return Middle(median, _MEDIAN_FROM_MEAN * spread / math.sqrt(count))


class FrameVotes:
    """Logarithms of the scale, one per frame, of the last seconds.

    Votes of frames that follow each other closely err alike, so only one per second counts as
    independent.
    """

    def __init__(self, window_ns: int, most: int) -> None:
        """No frame has voted.

        Args:
            window_ns: older votes are forgotten.
            most: votes kept, the newest.
        """
        self._window_ns = window_ns
        self._votes: deque[tuple[int, float]] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._votes)

    @property
    def newest_ns(self) -> int:
        """Stamp of the last of at least one vote."""
        return self._votes[-1][0]

    def clear(self) -> None:
        """Forget all votes."""
        self._votes.clear()

    def add(self, stamp_ns: int, log_scale: float) -> None:
        """The vote of one frame."""
        self._votes.append((stamp_ns, log_scale))

    def until(self, now_ns: int) -> None:
        """Forget what is older than the window, which ends with the frame of this stamp."""
        while self._votes and now_ns - self._votes[0][0] > self._window_ns:
            self._votes.popleft()

    def middle(self) -> Middle:
        """The median of at least one vote."""
        stamps, votes = zip(*self._votes, strict=True)
        return robust_middle(votes, 1 + (stamps[-1] - stamps[0]) / _INDEPENDENT_NS)


def combined(middles: Sequence[Middle]) -> Middle:
    """One value from several, each with its standard deviation.

    Weighted means by inverse variance; those far from the weighted median count less (Huber), and
    values that contradict each other make the result as uncertain as they differ (Birge's ratio).
    """
    values = np.array([one.value for one in middles])
    weights = np.array([one.stddev for one in middles]) ** -2.0
    order = np.argsort(values)
    half = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    off = np.abs(values - values[order[min(half, len(values) - 1)]]) * np.sqrt(weights)
    weights = weights * np.minimum(1.0, _FAR_APART / np.maximum(off, 1e-9))
    mean = float((weights * values).sum() / weights.sum())
    variance = 1.0 / weights.sum()
    if len(values) > 1:
        chi_square = float((weights * (values - mean) ** 2).sum()) / (len(values) - 1)
        variance *= max(1.0, chi_square)
    return Middle(mean, math.sqrt(variance))


def judged(value: float, relative_stddev: float, samples: int, what: str, remedy: str) -> Guess:
    """A measured scale, with a reason not to use it where there is one.

    Args:
        value: metres per network unit.
        relative_stddev: of the value.
        samples: behind it.
        what: was compared, for the message.
        remedy: what a user can do about a bad comparison.
    """
    low, high = _PLAUSIBLE
    trouble = ""
    if not low <= value <= high:
        trouble = (
            f"{what} gives a scale of {value:.3g} metres per network unit; expected {low:g} to "
            f"{high:g}. {remedy}"
        )
    elif not relative_stddev <= _MAX_RELATIVE_STDDEV:
        trouble = (
            f"{what} gives a scale of {value:.2f}, uncertain by {relative_stddev:.0%}; expected at "
            f"most {_MAX_RELATIVE_STDDEV:.0%}. {remedy}"
        )
    return Guess(value, relative_stddev, samples, trouble)
