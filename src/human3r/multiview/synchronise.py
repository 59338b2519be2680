"""Images of several cameras that belong to one moment."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar


class _Stamped(Protocol):
    @property
    def stamp_ns(self) -> int: ...


T = TypeVar("T", bound=_Stamped)


def synchronised(
    sources: Mapping[str, Iterable[T]], offsets_ns: Mapping[str, int], tolerance_ns: int
) -> Iterator[dict[str, T]]:
    """Sets of what belongs together, at most one of each source, in the order of time.

    The earliest that is left begins a set; those of others join it when they are no more than the
    tolerance later. A source that has ended, or has a gap, is missing from sets.

    Args:
        sources: by name, each in the order of time.
        offsets_ns: added to a source's stamps; 0 where not given.
        tolerance_ns: most time between the first and the last of a set.
    """
    iterators = {name: iter(source) for name, source in sources.items()}
    heads: dict[str, T] = {}
    for name, iterator in iterators.items():
        _advance(heads, name, iterator)
    while heads:
        times = {name: head.stamp_ns + offsets_ns.get(name, 0) for name, head in heads.items()}
        first = min(times.values())
        found = {name: heads[name] for name in heads if times[name] - first <= tolerance_ns}
        yield found
        for name in found:
            _advance(heads, name, iterators[name])


def _advance(heads: dict[str, T], name: str, iterator: Iterator[T]) -> None:
    following = next(iterator, None)
    if following is None:
        heads.pop(name, None)
    else:
        heads[name] = following


class LiveSets(Generic[T]):
    """Sets of what arrives live from several views: the newest that belong together win.

    A set is complete when every view that is alive has joined it. It goes without those that have
    not, when one of its views speaks again, or when it has waited long enough. Where all that comes
    is older than the last set, for as long as a silent view may be, time has been set back.
    """

    def __init__(self, tolerance_ns: int, patience_s: float, silent_s: float = 1.0) -> None:
        """Nothing has come yet.

        Args:
            tolerance_ns: most time between the first and the last stamp of a set.
            patience_s: so long a set waits for the others.
            silent_s: a view that has not spoken for so long is not waited for.
        """
        self._tolerance_ns, self._patience_s = tolerance_ns, patience_s
        self._silent_s = silent_s
        self._waiting: dict[str, T] = {}
        self._since_s = 0.0
        self._heard_s: dict[str, float] = {}
        self._last_ns = -1
        self._sent_s = math.inf
        self.late: dict[str, int] = {}
        """By view, what came after its set had gone and was left out."""

    def add(self, view: str, item: T, now_s: float) -> list[dict[str, T]]:
        """One more; the sets that are ready now, in the order of time.

        Args:
            view: whose it is.
            item: with a stamp on the common clock.
            now_s: steady clock.
        """
        self._heard_s[view] = now_s
        if item.stamp_ns <= self._last_ns:
            if now_s - self._sent_s <= self._silent_s:
                self.late[view] = self.late.get(view, 0) + 1
                return []
            self._last_ns = -1
        ready = []
        if self._waiting and (view in self._waiting or not self._fits(item)):
            # What is older than the rest of the set waits no longer.
            ready += self._send(now_s)
            if item.stamp_ns <= self._last_ns:
                self.late[view] = self.late.get(view, 0) + 1
                return ready
        if not self._waiting:
            self._since_s = now_s
        self._waiting[view] = item
        if self._alive(now_s) <= self._waiting.keys():
            ready += self._send(now_s)
        return ready

    def tick(self, now_s: float) -> list[dict[str, T]]:
        """The set that has waited long enough, if there is one.

        Args:
            now_s: steady clock.
        """
        is_due = self._waiting and (
            now_s - self._since_s >= self._patience_s or self._alive(now_s) <= self._waiting.keys()
        )
        return self._send(now_s) if is_due else []

    def due_in_s(self, now_s: float) -> float:
        """How long a set still waits for others; infinite where none waits.

        Args:
            now_s: steady clock.
        """
        return max(0.0, self._since_s + self._patience_s - now_s) if self._waiting else math.inf

    def forget_time(self) -> dict[str, T]:
        """The clock was set: stamps of before mean nothing.

        Returns:
            What was waiting; it is left out.
        """
        left_out, self._waiting = self._waiting, {}
        self._last_ns = -1
        return left_out

    def _fits(self, item: T) -> bool:
        stamps = [other.stamp_ns for other in self._waiting.values()] + [item.stamp_ns]
        return max(stamps) - min(stamps) <= self._tolerance_ns

    def _alive(self, now_s: float) -> set[str]:
        return {view for view, at_s in self._heard_s.items() if now_s - at_s <= self._silent_s}

    def _send(self, now_s: float) -> list[dict[str, T]]:
        found, self._waiting = self._waiting, {}
        self._sent_s = now_s
        self._last_ns = max(item.stamp_ns for item in found.values())
        return [found]
