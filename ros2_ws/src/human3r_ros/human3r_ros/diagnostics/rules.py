"""When a part of the node is well, worth a warning, or in error: pure functions of facts."""

from collections.abc import Callable

from human3r_ros.diagnostics import inference_rules, input_rules
from human3r_ros.diagnostics.facts import (
    OK,
    Facts,
    Finding,
    Part,
    errors,
    name_of,
    number,
    warnings,
)
from human3r_ros.diagnostics.frame_window import last_shed, median, since

MAX_DISAGREEMENT_M = 0.5
MAX_MEMORY_SHARE = 0.9
_RECENT_S = 5.0
_LEVELS = ("none", "camera", "tf", "floor")


def judge(facts: Facts) -> list[Part]:
    """Every part of the report, always all and in this order."""
    return [
        _part("input", input_rules.findings, input_rules.values, facts),
        _part("inference", inference_rules.findings, inference_rules.values, facts),
        _part("people", _people_findings, _people_values, facts),
        _part("frames", _frames_findings, _frames_values, facts),
        _part("gpu", _gpu_findings, _gpu_values, facts),
        _part("outputs", _outputs_findings, _outputs_values, facts),
    ]


def _part(
    name: str,
    findings_of: Callable[[Facts], list[Finding]],
    values_of: Callable[[Facts], dict[str, object]],
    facts: Facts,
) -> Part:
    found = sorted(findings_of(facts), key=lambda finding: -finding[0])
    texts = list(dict.fromkeys(text for _, text in found))
    if not texts:
        texts = ["OK" if facts.is_active else facts.state]
    level = max((level for level, _ in found), default=OK)
    return Part(name, level, " | ".join(texts), values_of(facts))


# -- people --------------------------------------------------------------------------------------


def _people_findings(facts: Facts) -> list[Finding]:
    if not facts.is_active:
        return []
    return warnings(_crowd(facts), _disagreement(facts))


def _crowd(facts: Facts) -> str:
    limit, left_out = facts.settings.people.max_count, facts.latest.left_out
    if not left_out:
        return ""
    return (
        f"{limit + left_out} people seen, people.max_count is {limit}; those of the lowest scores "
        "are left out. Raise people.max_count, or people.min_score if some of them are none."
    )


def _disagreement(facts: Facts) -> str:
    gap_m = _agreement_m(facts)
    if not abs(gap_m) > MAX_DISAGREEMENT_M:
        return ""
    side = "behind" if gap_m > 0 else "before"
    return (
        f"bodies stand {abs(gap_m):.2f} m {side} the surface seen over {_RECENT_S:g} s; expected "
        f"at most {MAX_DISAGREEMENT_M:g} m. Check the camera's calibration and the scale."
    )


def _agreement_m(facts: Facts) -> float:
    recent = since(facts.records, facts.now_s - _RECENT_S)
    return median([record.agreement_m for record in recent])


def _people_values(facts: Facts) -> dict[str, object]:
    return {
        "tracked": facts.latest.tracked,
        "coasting": facts.latest.coasting,
        "left_out": facts.latest.left_out,
        "ids_issued": facts.ids_issued,
        "scene_agreement_m": number(_agreement_m(facts), 3),
    }


# -- frames --------------------------------------------------------------------------------------


def _frames_findings(facts: Facts) -> list[Finding]:
    place = facts.placement
    if not facts.is_active or place is None:
        return []
    return [*errors(place.conflict), *warnings(place.waiting)]


def _frames_values(facts: Facts) -> dict[str, object]:
    settings, place = facts.settings, facts.placement
    found: dict[str, object] = {"mode": settings.tf.mode, "level": settings.frames.level}
    found["optical"] = facts.latest.frame_id
    if place is not None:
        found["broadcasts"] = f"{place.parent} -> {place.child}" if place.child else "nothing"
        found["level_source"] = name_of(_LEVELS, place.level_source)
        found["lookup_age_s"] = number(place.lookup_age_s, 3)
    return found


# -- gpu -----------------------------------------------------------------------------------------


def _gpu_findings(facts: Facts) -> list[Finding]:
    device = facts.device
    found = [*errors(facts.device_trouble), *warnings(_full_memory(facts))]
    if device is not None and device.total == 0 and not found:
        return [(OK, f"no GPU in use: the network runs on {device.name}")]
    return found


def _full_memory(facts: Facts) -> str:
    device = facts.device
    if device is None or device.total == 0:
        return ""
    share = 1.0 - device.free / device.total
    if share <= MAX_MEMORY_SHARE:
        return ""
    return (
        f"{share:.0%} of the memory of {device.name} is taken, {device.free / 2**20:.0f} MiB are "
        f"free; expected at most {MAX_MEMORY_SHARE:.0%}. End other programs on it, or use a "
        "smaller network."
    )


def _gpu_values(facts: Facts) -> dict[str, object]:
    device = facts.device
    if device is None or device.total == 0:
        return {"device": device.name if device else facts.settings.model.device}
    sizes = ("allocated", "reserved", "peak", "free", "total")
    found: dict[str, object] = {"device": device.name, "driver": device.driver}
    return found | {f"{name}_bytes": getattr(device, name) for name in sizes}


# -- outputs -------------------------------------------------------------------------------------


def _outputs_findings(facts: Facts) -> list[Finding]:
    shed = last_shed(facts.records) if facts.is_active else ""
    return [*warnings(shed), *facts.said("outputs")]


def _outputs_values(facts: Facts) -> dict[str, object]:
    return {
        topic: f"{subscribers} subscribers, {rate:.0f} B/s"
        for topic, (subscribers, rate) in facts.outputs.items()
    }
