"""Part ``input`` of the diagnostics: do usable images arrive?"""

import math

from human3r_ros.diagnostics.facts import Facts, Finding, errors, number, warnings
from human3r_ros.diagnostics.frame_window import last_row, since

NO_IMAGE_S = 2.0
ONLY_REJECTED_S = 1.0
_RECENT_S = 5.0
_UNUSABLE = frozenset(("rejected", "dropped_stale", "dropped_order"))


def findings(facts: Facts) -> list[Finding]:
    """What is wrong with what arrives; nothing while nothing is read."""
    if not facts.is_active:
        return []
    unmatched = facts.input.unmatched if facts.input else ()
    return [
        *errors(_no_image(facts), only_unusable(facts), _no_stamp(facts)),
        *warnings(*unmatched),
        *facts.said("input"),
    ]


def is_fed(facts: Facts) -> bool:
    """Whether images arrive at all."""
    return facts.input is None or facts.input.silent_s <= NO_IMAGE_S


def _no_image(facts: Facts) -> str:
    if is_fed(facts):
        return ""
    seen = facts.input
    advice = "It has no publisher: start the camera, or remap image."
    if seen.cause:  # pyright: ignore[reportOptionalMemberAccess]
        advice = seen.cause  # pyright: ignore[reportOptionalMemberAccess]
    elif seen.publishers:  # pyright: ignore[reportOptionalMemberAccess]
        advice = (
            f"{', '.join(seen.publishers)} publishes it: check its rate, QoS and the network; a "  # pyright: ignore[reportOptionalMemberAccess]
            "recording may be paused."
        )
    return f"no image on {seen.topic} for {seen.silent_s:.1f} s; expected a stream. {advice}"  # pyright: ignore[reportOptionalMemberAccess]


def only_unusable(facts: Facts) -> str:
    """What is wrong with every image that has arrived for more than a second; empty when none."""
    row = last_row(facts.records, _UNUSABLE)
    if not row or facts.now_s - row[0].at_s < ONLY_REJECTED_S:
        return ""
    return f"no usable image for {facts.now_s - row[0].at_s:.1f} s: {row[-1].message}"


def _no_stamp(facts: Facts) -> str:
    recent = since(facts.records, facts.now_s - _RECENT_S)
    return next((r.message for r in recent if r.outcome == "rejected" and not r.has_stamp), "")


def arrival_rate_hz(facts: Facts) -> float:
    """Images received per second, from the counters of the first and the last frame known."""
    recent = since(facts.records, facts.now_s - _RECENT_S)
    if len(recent) < 2:
        return math.nan
    span_s = recent[-1].at_s - recent[0].at_s
    received = recent[-1].counters.received - recent[0].counters.received
    return received / span_s if span_s > 0 else math.nan


def values(facts: Facts) -> dict[str, object]:
    """The image topic and what became of its images."""
    found: dict[str, object] = {"state": facts.state}
    if facts.input is not None:
        found["topic"] = facts.input.topic
        found["publishers"] = ", ".join(facts.input.publishers) or "none"
        found["qos"] = facts.input.qos
    found["rate_hz"] = number(arrival_rate_hz(facts), 2)
    found["resolution"] = facts.latest.size
    found["encoding"] = facts.latest.encoding
    found["frame_id"] = facts.latest.frame_id
    found["calibrated"] = facts.latest.calibrated
    if (scale := facts.latest.scale) is not None:
        found["scale"] = number(scale.value, 4)
        found["scale_source"] = scale.source
        found["scale_measured"] = number(scale.measured, 4)
        found["scale_relative_stddev"] = number(scale.relative_stddev, 4)
        found["scale_samples"] = scale.samples
    found.update(vars(facts.counters))
    return found
