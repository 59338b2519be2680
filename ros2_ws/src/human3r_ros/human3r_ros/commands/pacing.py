"""When to send which frame: media time becomes clock time, without bursts."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from human3r.types import Frame

T = TypeVar("T")
_DEFAULT_STEP_NS = 33_333_333
_LEAP_NS = 60_000_000_000
"""A pause longer than this, where a session begins, is the clock that was set."""


class Pacer:
    """Maps the media times of a recording to due times on a monotonic clock.

    A source that falls behind by more than half a frame delays everything after it: like a camera
    that stalled, and unlike a player that catches up in a burst.

    Args:
        start_ns: due time of the first frame.
        rate: media seconds per second.
    """

    def __init__(self, start_ns: int, rate: float = 1.0) -> None:
        self._rate = rate
        self._origin_ns = start_ns
        self._first_media_ns: int | None = None
        self._last_due_ns: int | None = None
        self.delayed_ns = 0
        """How far the plan has slipped since the start."""

    def due_ns(self, media_ns: int, now_ns: int) -> int:
        """When to send the frame of this media time; media times must increase."""
        if self._first_media_ns is None:
            self._first_media_ns = media_ns
        due_ns = self._origin_ns + round((media_ns - self._first_media_ns) / self._rate)
        step_ns = _DEFAULT_STEP_NS if self._last_due_ns is None else due_ns - self._last_due_ns
        behind_ns = now_ns - due_ns
        if behind_ns > step_ns // 2:
            self._origin_ns += behind_ns
            self.delayed_ns += behind_ns
            due_ns = now_ns
        self._last_due_ns = due_ns
        return due_ns


class MediaClock:
    """Media times that go on increasing when a source starts again from its beginning."""

    def __init__(self) -> None:
        self._step_ns = _DEFAULT_STEP_NS
        self._last_ns: int | None = None
        self._fixed_step = False

    def fix_rate(self, rate_hz: float) -> None:
        """Ignore the stamps of the source; its frames follow each other at this rate."""
        self._step_ns, self._fixed_step = round(1e9 / rate_hz), True

    def expect_rate(self, rate_hz: float | None) -> None:
        """How far apart two frames are, until the source's own stamps say better."""
        if rate_hz and not self._fixed_step and self._last_ns is None:
            self._step_ns = round(1e9 / rate_hz)

    def walk(
        self, items: Iterable[T], frame_of: Callable[[T], Frame] = lambda item: item
    ) -> Iterator[tuple[T, int]]:
        """One pass: each item with its media time in nanoseconds.

        Where the recording's clock was set, media time goes on as if it had not been.

        Args:
            items: frames, or what has some.
            frame_of: the frame whose stamp counts.
        """
        offset_ns: int | None = None
        for item in items:
            frame = frame_of(item)
            following_ns = 0 if self._last_ns is None else self._last_ns + self._step_ns
            if offset_ns is None or self._fixed_step:
                offset_ns = following_ns - frame.stamp_ns
            if (
                frame.begins_session
                and not 0 < frame.stamp_ns + offset_ns - following_ns < _LEAP_NS
            ):
                offset_ns = following_ns - frame.stamp_ns
            media_ns = frame.stamp_ns + offset_ns
            if self._last_ns is not None:
                self._step_ns = media_ns - self._last_ns
            self._last_ns = media_ns
            yield item, media_ns
