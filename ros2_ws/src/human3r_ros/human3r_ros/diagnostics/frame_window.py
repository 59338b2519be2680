"""The frames of the last seconds: what rates, latencies and rows of failures are read from."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from human3r_ros.status import SHED
from human3r_ros.worker import Counters

_MAX_FRAMES = 2048
WINDOW_S = 10.0


@dataclass(frozen=True)
class FrameRecord:
    """What became of one frame."""

    at_s: float
    """Steady clock when it was done with."""
    outcome: str
    """processed, degraded, failed, rejected or a ``dropped_*`` of the counters."""
    message: str = ""
    has_stamp: bool = True
    latency_s: float = float("nan")
    """From stamp to publication; NaN under simulated time, and without a result."""
    stages_s: Mapping[str, float] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    """As they were just after this frame."""
    agreement_m: float = float("nan")
    """Median over its people of body depth minus scene depth; NaN where unknown."""

    @property
    def has_result(self) -> bool:
        """Whether people were published for it."""
        return self.outcome in ("processed", "degraded")


def last_shed(records: Sequence[FrameRecord]) -> str:
    """What the last frame said that went out with less than was asked for; empty: none did.

    A frame may be degraded for another reason, too: nothing is known from it.
    """
    said = [r.message for r in records if r.outcome == "degraded" and SHED in r.message]
    return said[-1] if said else ""


class FrameWindow:
    """Frames of the last ``WINDOW_S`` seconds; bounded, written by one thread, read by any."""

    def __init__(self) -> None:
        self._records: deque[FrameRecord] = deque(maxlen=_MAX_FRAMES)

    def add(self, record: FrameRecord) -> None:
        """Take one more."""
        self._records.append(record)

    def clear(self) -> None:
        """A new activation."""
        self._records.clear()

    def records(self, now_s: float | None = None) -> list[FrameRecord]:
        """Oldest first, none older than the window."""
        since_s = (time.monotonic() if now_s is None else now_s) - WINDOW_S
        return [record for record in self._records.copy() if record.at_s > since_s]


def since(records: Sequence[FrameRecord], start_s: float) -> list[FrameRecord]:
    """Those after ``start_s`` on the steady clock."""
    return [record for record in records if record.at_s > start_s]


def last_row(records: Sequence[FrameRecord], outcomes: frozenset[str]) -> list[FrameRecord]:
    """The unbroken row of frames with one of these outcomes at the end, oldest first.

    Frames that were not looked at because of ``input.max_rate_hz`` neither belong to a row nor
    break it.
    """
    row = []
    for record in reversed(records):
        if record.outcome in outcomes:
            row.append(record)
        elif record.outcome != "dropped_rate":
            break
    return row[::-1]


def median(values: Sequence[float]) -> float:
    """Of the finite values; NaN where there are none."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if known.size else float("nan")
