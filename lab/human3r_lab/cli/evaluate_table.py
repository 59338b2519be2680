"""Tables of an evaluation on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from human3r_lab.evaluation.comparison import compare, differences
from human3r_lab.evaluation.measures import MEASURES
from human3r_lab.evaluation.results_file import image_size, shown_parts, title


def show_results(document: Mapping[str, Any]) -> None:
    """Every measure that was taken, a column per part of the benchmark; then the extremes."""
    parts = shown_parts(document)
    size = image_size(document)
    table = _table(["measure", "unit", *(f"{part} {size}".strip() for part in parts)])
    for name, kind in MEASURES.items():
        values = [document["numbers"][part][name] for part in parts]
        if any(value is not None for value in values):
            table.add_row(kind.title, kind.unit, *(Text(shown(name, value)) for value in values))
    console = _console()
    console.print(Text(title(document), "bold"))
    console.print(table)
    if document["curves"]:
        console.print()
        console.print(_extremes(document["curves"]))
    weights = document["weights"]
    if not weights["trained"]:
        console.print(Text("The weights are untrained: these numbers say nothing.", "yellow"))
    if document["frames_failed"]:
        console.print(
            Text(f"The network failed on {document['frames_failed']} frames.", "bold red")
        )
    for sequence in document["sequences"]:
        if sequence["error"]:
            console.print(Text(f"{sequence['name']}: {sequence['error']}", "bold red"))


def show_comparison(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Every measure of both, and on how many of the shared sequences it became better."""
    console = _console()
    for words in differences(first, second):
        console.print(Text(f"differs: {words}", "yellow"))
    sides = (f"{side} {image_size(of)}".strip() for side, of in (("A", first), ("B", second)))
    table = _table(["measure", "unit", *sides, "change", "better", "worse"])
    for row in compare(first, second):
        kind = MEASURES[row.name]
        style = {True: "green", False: "red", None: ""}[row.is_b_better]
        table.add_row(
            kind.title,
            kind.unit,
            shown(row.name, row.a),
            shown(row.name, row.b),
            Text(_change(row.a, row.b), style),
            str(row.sequences_better),
            str(row.sequences_worse),
        )
    console.print(table)


def _extremes(curves: Mapping[str, Any]) -> Table:
    """Per circumstance, what is measured of people in its lowest and in its highest step."""
    names = list(next(iter(curves.values()))["means"])
    titles = [f"{MEASURES[name].title} {MEASURES[name].unit}".strip() for name in names]
    table = _table(["people by", "from, to", *titles])
    for condition, curve in curves.items():
        known = [step for step, recall in enumerate(curve["means"]["recall"]) if recall]
        if not known:
            continue
        ends = known[0], known[-1]
        cells = [
            [shown(name, (curve["means"][name][step] or {}).get("value")) for step in ends]
            for name in names
        ]
        steps = [curve["steps"][step] for step in ends]
        label = ", ".join(filter(None, (condition, curve["unit"])))
        table.add_row(label, *(Text(" → ".join(pair)) for pair in (steps, *cells)))
    return table


def shown(name: str, value: float | None) -> str:
    """A measure's value with its digits; a dash for none."""
    return "-" if value is None else f"{value:.{MEASURES[name].digits}f}"


def _change(a: float | None, b: float | None) -> str:
    if a is None or b is None or a == 0:
        return "-"
    return f"{100 * (b - a) / abs(a):+.1f} %"


def _table(headings: Sequence[str]) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < 2 else "right")
    return table


def _console() -> Console:
    # A pipe has no width; tables must not be folded there.
    console = Console()
    return console if console.is_terminal else Console(width=120)
