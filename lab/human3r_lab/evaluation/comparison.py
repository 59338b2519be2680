"""Two evaluations side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from human3r_lab.evaluation.measures import MEASURES
from human3r_lab.evaluation.results_file import EVERYTHING


@dataclass(frozen=True)
class ComparedMeasure:
    """One measure of both."""

    name: str
    a: float | None
    b: float | None
    sequences_better: int
    """Sequences in both on which b is better than a."""
    sequences_worse: int

    @property
    def is_b_better(self) -> bool | None:
        """None where they are equal, one is missing, or there is no better."""
        return _is_better(self.name, self.a, self.b)


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[ComparedMeasure]:
    """Every measure that either has, over the sequences of each.

    Args:
        a: results as read from a file.
        b: the same.
    """
    found = []
    sequences_a, sequences_b = (
        {sequence["name"]: sequence["numbers"] for sequence in results["sequences"]}
        for results in (a, b)
    )
    shared = sorted(set(sequences_a) & set(sequences_b))
    for name in MEASURES:
        values = [results["numbers"][EVERYTHING].get(name) for results in (a, b)]
        if values == [None, None]:
            continue
        better = [
            _is_better(name, sequences_a[sequence].get(name), sequences_b[sequence].get(name))
            for sequence in shared
        ]
        found.append(ComparedMeasure(name, *values, better.count(True), better.count(False)))
    return found


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Why the two may not be comparable, in words; empty when only the weights differ."""
    found = []
    for part in ("dataset", "settings"):
        names = sorted(set(a[part]) | set(b[part]))
        for name in names:
            first, second = a[part].get(name), b[part].get(name)
            if first != second and name not in ("model.weights", "model.sha256"):
                found.append(f"{part} {name}: {_shown(a[part], name)} and {_shown(b[part], name)}")
    names_a, names_b = ({s["name"] for s in results["sequences"]} for results in (a, b))
    if names_a != names_b:
        found.append(
            f"sequences: {len(names_a - names_b)} only in the first, {len(names_b - names_a)} only "
            "in the second"
        )
    return found


def _shown(values: Mapping[str, Any], name: str) -> str:
    """A value, or that a file of another version does not have it."""
    return str(values[name]) if name in values else "absent"


def _is_better(name: str, a: float | None, b: float | None) -> bool | None:
    if a is None or b is None or a == b:
        return None
    is_low = MEASURES[name].is_better_low
    if is_low is None:
        return abs(b - 1) < abs(a - 1) if "scale" in name else None
    return b < a if is_low else b > a
