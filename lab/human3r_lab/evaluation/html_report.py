"""``report.html``: one page that needs nothing else, with tables, plots and pictures."""

import base64
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from human3r.atomic import whole_file
from human3r_lab.evaluation.measures import MEASURES, MeasureKind
from human3r_lab.evaluation.pictures import KeptPicture
from human3r_lab.evaluation.plots import sorted_plot, step_plot
from human3r_lab.evaluation.results_file import EVERYTHING, image_size, shown_parts, title

_SORTED = ("mpjpe_mm", "pa_mpjpe_mm", "root_error_percent", "f1", "abs_rel", "ate_percent")
_PER_SEQUENCE = (
    *("f1", "mpjpe_mm", "pa_mpjpe_mm", "pve_mm", "root_error_percent", "facing_median_deg"),
    "mask_iou",
    *("id_switches_per_1000_frames", "abs_rel", "delta_1", "ate_m", "ate_percent"),
)
_GOAL_PART = "easy"


def write_report(
    path: Path, document: Mapping[str, Any], pictures: Mapping[str, Sequence[KeptPicture]]
) -> None:
    """The page for a results document, whole or not at all.

    Args:
        path: of the page.
        document: as ``results_document`` made it.
        pictures: ``worst`` and ``best`` frames.

    Raises:
        OutputError: not writable.
    """
    parts = shown_parts(document)
    everything = document["numbers"][EVERYTHING]
    page = _template().render(
        document=document,
        title=title(document),
        parts=parts,
        image_size=image_size(document),
        goal_part=_GOAL_PART if _GOAL_PART in parts else "",
        groups=_groups(document, parts),
        plots=_plots(document),
        circumstances=[_circumstance(curve) for curve in document["curves"].values()],
        pictures=[
            (title, pictures.get(kind, ()))
            for kind, title in (("worst", "Worst frames"), ("best", "Best frames"))
        ],
        per_sequence={
            name: MEASURES[name] for name in _PER_SEQUENCE if everything[name] is not None
        },
    )
    with whole_file(path) as file:
        file.write(page.encode("utf-8"))


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(shown=_shown, titled=_title, base64=_base64)
    return environment.get_template("report.html.jinja")


_Row = tuple[MeasureKind, list[float | None], bool | None]


def _groups(document: Mapping[str, Any], parts: Sequence[str]) -> list[tuple[str, list[_Row]]]:
    """By group of measures: each measure that has a value, and whether it reaches its goal."""
    rows: list[_Row] = []
    for name, kind in MEASURES.items():
        values = [document["numbers"][part][name] for part in parts]
        if any(value is not None for value in values):
            of_goal = document["numbers"][_GOAL_PART][name] if _GOAL_PART in parts else None
            rows.append((kind, values, _is_reached(kind, of_goal)))
    return [(group, list(found)) for group, found in groupby(rows, lambda row: row[0].group)]


def _is_reached(kind: MeasureKind, value: float | None) -> bool | None:
    if kind.goal is None or value is None:
        return None
    return value < kind.goal if kind.is_better_low else value > kind.goal


def _plots(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Title and SVG of each."""
    plots = []
    for name in _SORTED:
        series = _series(document, name)
        if series:
            kind = MEASURES[name]
            goal = kind.goal if len(series) > 1 or series[0][0] == _GOAL_PART else None
            plots.append((_title(kind), sorted_plot(_title(kind), series, goal)))
    return plots


def _circumstance(curve: Mapping[str, Any]) -> dict[str, Any]:
    """One condition's table, a row per step and a column per measure, and its plots."""
    steps, axis = curve["steps"], _with_unit(curve["title"], curve["unit"])
    kinds = {name: MEASURES[name] for name in curve["means"]}
    values = {name: _each(curve["means"][name], "value", None) for name in kinds}
    weights = {name: _each(curve["means"][name], "weight", 0) for name in kinds}
    plots = [
        (title, step_plot(title, axis, steps, values[name], weights[name]))
        for name, title in ((name, _title(kind)) for name, kind in kinds.items())
    ]
    rows = [
        (step, weights["recall"][index], [(kinds[name], values[name][index]) for name in kinds])
        for index, step in enumerate(steps)
    ]
    return {"title": axis, "kinds": kinds, "rows": rows, "plots": plots}


def _each(steps: Sequence[Mapping[str, Any] | None], key: str, otherwise: Any) -> list[Any]:
    return [otherwise if step is None else step[key] for step in steps]


def _series(document: Mapping[str, Any], name: str) -> list[tuple[str, list[tuple[str, float]]]]:
    """Per part of the benchmark, the sequences' values."""
    series: dict[str, list[tuple[str, float]]] = {}
    for sequence in document["sequences"]:
        value = sequence["numbers"][name]
        if value is not None:
            series.setdefault(sequence["group"], []).append((sequence["name"], value))
    return sorted(series.items())


def _shown(value: float | None, kind: MeasureKind) -> str:
    return "-" if value is None else f"{value:.{kind.digits}f}"


def _title(kind: MeasureKind) -> str:
    return _with_unit(kind.title, kind.unit)


def _with_unit(title: str, unit: str) -> str:
    return f"{title}, {unit}" if unit else title


def _base64(data: bytes | str) -> str:
    return base64.b64encode(data.encode("utf-8") if isinstance(data, str) else data).decode("ascii")
