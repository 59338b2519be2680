"""Several ways of doing the same, measured turn by turn, so that ratios hold on a busy machine."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """One turn."""

    wall_s: float
    processor_s: float
    """Of all threads of this process; hardly depends on what else the machine does."""


def take_turns(
    candidates: Mapping[str, Callable[[int], object]], rounds: int, warm_up: int = 1
) -> dict[str, list[Timing]]:
    """Each candidate once per round, in another order each time.

    Args:
        candidates: name to what is measured; called with the number of the turn.
        rounds: turns that count.
        warm_up: turns before, which do not.
    """
    timings: dict[str, list[Timing]] = {name: [] for name in candidates}
    names = list(candidates)
    for turn in range(warm_up + rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            began_s, began_processor_s = time.perf_counter(), time.process_time()
            candidates[name](turn)
            timing = Timing(time.perf_counter() - began_s, time.process_time() - began_processor_s)
            if turn >= warm_up:
                timings[name].append(timing)
    return timings


def describe(timings: Mapping[str, list[Timing]], yardstick: str) -> dict[str, dict[str, float]]:
    """Medians in milliseconds, and how many times faster than ``yardstick``, turn by turn."""
    found = {}
    for name, turns in timings.items():
        pairs = list(zip(timings[yardstick], turns, strict=True))
        found[name] = {
            "wall_ms": 1e3 * statistics.median(turn.wall_s for turn in turns),
            "processor_ms": 1e3 * statistics.median(turn.processor_s for turn in turns),
            "fastest_wall_ms": 1e3 * min(turn.wall_s for turn in turns),
            "times_faster_wall": statistics.median(a.wall_s / b.wall_s for a, b in pairs),
            "times_faster_processor": statistics.median(
                a.processor_s / b.processor_s for a, b in pairs
            ),
            "turns": len(turns),
        }
    return found
