"""Part ``inference`` of the diagnostics: are frames answered, and in time?"""

import math
from collections.abc import Sequence

from human3r_ros.commands.report import STAGES, percentiles
from human3r_ros.diagnostics.facts import OK, Facts, Finding, errors, name_of, number, warnings
from human3r_ros.diagnostics.frame_window import (
    WINDOW_S,
    FrameRecord,
    last_row,
    last_shed,
    median,
    since,
)
from human3r_ros.diagnostics.input_rules import arrival_rate_hz, is_fed, only_unusable

RATE_WINDOW_S = 5.0
MAX_DROPPED_SHARE = 0.5
FAILURES_IN_A_ROW = 2
_KEEPS_UP = 0.7
"""Share of the images answered above which it is the camera that is slow."""
_DROPS = ("overwritten", "stale", "order")
"""Lost against the user's wish; ``dropped_rate`` is what input.max_rate_hz asks for."""
_RESETS = (
    "none",
    "activated",
    "service",
    "time jump",
    "stream changed",
    "gap",
    "interval",
    "fault",
)
_HINTS = {
    "unconfigured": "unconfigured: configure and activate it to begin",
    "inactive": "inactive: activate it to begin",
}


def findings(facts: Facts) -> list[Finding]:
    """Why nothing runs, or what is slow or fails."""
    if not facts.is_active:
        if facts.last_failure:
            return errors(f"{facts.state}: {facts.last_failure}")
        return [(OK, _HINTS.get(facts.state, facts.state))]
    # Where no image can be used, a faster machine would refuse them faster; part input says why.
    is_used = not only_unusable(facts)
    too_slow = (_low_rate(facts), _losses(facts)) if is_used else ()
    return [
        *errors(_failures(facts)),
        *warnings(*too_slow, _late(facts), _shed(facts)),
        *facts.said("inference"),
    ]


def _results(facts: Facts) -> list[FrameRecord]:
    return [r for r in since(facts.records, facts.now_s - RATE_WINDOW_S) if r.has_result]


def _failures(facts: Facts) -> str:
    row = last_row(facts.records, frozenset(("failed",)))
    if len(row) < FAILURES_IN_A_ROW:
        return ""
    return f"{len(row)} frames failed in a row: {row[-1].message}"


def _low_rate(facts: Facts) -> str:
    """Once the node was active that long, and only while images arrive."""
    limit_hz = facts.settings.diagnostics.min_rate_hz
    rate_hz = len(_results(facts)) / RATE_WINDOW_S
    if not is_fed(facts) or facts.active_s < RATE_WINDOW_S or rate_hz >= limit_hz:
        return ""
    arrival_hz = arrival_rate_hz(facts)
    advice = "Use a smaller network or a faster device, or lower diagnostics.min_rate_hz."
    if arrival_hz < limit_hz and rate_hz > _KEEPS_UP * arrival_hz:
        advice = (
            f"Only {arrival_hz:.1f} images per second arrive: raise the camera's rate, or lower "
            "diagnostics.min_rate_hz."
        )
    return (
        f"{rate_hz:.1f} frames per second over {RATE_WINDOW_S:g} s; diagnostics.min_rate_hz is "
        f"{limit_hz:g}. {advice}"
    )


def _late(facts: Facts) -> str:
    limit_s = facts.settings.diagnostics.max_latency_s
    latency_s = median([record.latency_s for record in _results(facts)])
    if not 0 < limit_s < latency_s:
        return ""
    return (
        f"{latency_s:.2f} s from stamp to publication over {RATE_WINDOW_S:g} s; "
        f"diagnostics.max_latency_s is {limit_s:g}. Use a smaller network or image, leave outputs "
        "out, or check the camera's clock."
    )


def _shed(facts: Facts) -> str:
    is_shed = last_shed(_results(facts))
    return "outputs are shed to keep up; see part outputs" if is_shed else ""


def _losses(facts: Facts) -> str:
    share = _dropped_share(facts.records)
    if share <= MAX_DROPPED_SHARE:
        return ""
    return (
        f"{share:.0%} of the images of the last {WINDOW_S:g} s were lost, as they came too fast, "
        f"too late or out of order; expected at most {MAX_DROPPED_SHARE:.0%}. Lower the camera's "
        "rate, set input.max_rate_hz, or use a smaller network."
    )


def _dropped_share(records: Sequence[FrameRecord]) -> float:
    """Lost images among those received between the first and the last frame of the window."""
    if len(records) < 2:
        return 0.0
    first, last = vars(records[0].counters), vars(records[-1].counters)
    received = last["received"] - first["received"]
    lost = sum(last[f"dropped_{name}"] - first[f"dropped_{name}"] for name in _DROPS)
    return lost / received if received > 0 else 0.0


def values(facts: Facts) -> dict[str, object]:
    """State, rate, latency and stages."""
    done = [record for record in facts.records if record.has_result]
    rate_hz = len(_results(facts)) / RATE_WINDOW_S if facts.is_active else math.nan
    found: dict[str, object] = {
        "state": facts.state,
        "last_failure": facts.last_failure,
        "network": facts.network,
        "rate_hz": number(rate_hz, 2),
    }
    found.update(_spread("latency", [record.latency_s for record in done]))
    for stage in STAGES:
        found.update(_spread(stage, [r.stages_s.get(stage, math.nan) for r in done]))
    found["dropped_share"] = number(_dropped_share(facts.records), 3)
    found["session"] = facts.latest.session
    found["frame_index"] = facts.latest.frame_index
    found["last_reset"] = name_of(_RESETS, facts.latest.reset_reason)
    return found


def _spread(name: str, values_s: Sequence[float]) -> dict[str, object]:
    known = percentiles(list(values_s)) or {}
    return {f"{name}_{key}_s": number(known.get(key, math.nan), 4) for key in ("p50", "p95", "max")}
