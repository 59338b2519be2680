"""``report.html``: one page that needs nothing else, with tables, plots and pictures."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from human3r.atomic import whole_file
from human3r.evaluation.measures import MEASURES, MeasureKind
from human3r.evaluation.pictures import KeptPicture
from human3r.evaluation.results_file import EVERYTHING, shown_parts
from human3r.evaluation.svg_plots import sorted_plot, step_plot

_SORTED = ("mpjpe_mm", "pa_mpjpe_mm", "root_error_percent", "f1", "abs_rel", "ate_percent")
_PER_SEQUENCE = (
    *("f1", "mpjpe_mm", "pa_mpjpe_mm", "pve_mm", "root_error_percent", "mask_iou"),
    *("id_switches_per_1000_frames", "abs_rel", "delta_1", "ate_m", "ate_percent"),
)
_GOAL_PART = "easy"
_STYLE = """
:root { color-scheme: light dark; --ink: #1c1f24; --soft: #667; --rule: #d5d8dd; --bar: #dfe6ee;
  --back: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ec; --soft: #9aa; --rule: #3a3f47;
  --bar: #2c3744; --back: #16181c; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 1080px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 2px 12px 2px 0; text-align: right; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.group td { font-weight: 600; padding-top: .9em; }
.soft { color: var(--soft); } .reached { color: #2b8a4b; } .missed, .alarm { color: #c0392b; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 14px; }
.wide { overflow-x: auto; }
svg { width: 100%; } svg text { fill: var(--soft); }
svg .title { fill: var(--ink); font-weight: 600; } svg text.name { font-weight: 600; }
svg .grid { stroke: var(--rule); } svg .bar { fill: var(--bar); }
figure { margin: 0 0 1.2em; } figure img { max-width: 100%; border-radius: 4px; }
figcaption { color: var(--soft); font-size: .9em; }
"""


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
    name = escape(str(document["dataset"]["name"]))
    body = [
        f"<h1>Evaluation on {name}</h1>",
        _introduction(document),
        "<h2>Numbers</h2>",
        _numbers(document),
        *_plots(document),
        *_pictures(pictures),
        "<h2>Sequences</h2>",
        _sequences(document),
        "<h2>How it was made</h2>",
        _facts("Dataset", document["dataset"]),
        _facts("Weights", document["weights"]),
        _facts("Hardware", document["hardware"]),
        _facts("Settings", document["settings"]),
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>human3r on {name}</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join(body)
        + "</body></html>\n"
    )
    with whole_file(path) as file:
        file.write(page.encode("utf-8"))


def _introduction(document: Mapping[str, Any]) -> str:
    weights, hardware = document["weights"], document["hardware"]
    rate = document["network_rate_hz"]
    words = [
        f"{escape(weights['file'])} ({escape(weights['variant'])}, SHA-256 "
        f"{weights['sha256'][:12]}…), human3r {escape(document['version'])}, {document['date']}.",
        f"{len(document['sequences'])} sequences, {document['frames']} frames, "
        f"{document['seconds']:.0f} s on {escape(hardware['gpu'] or hardware['cpu'])}"
        + (f", {rate:.1f} frames/s in the network." if rate else "."),
    ]
    alarms = []
    if not weights["trained"]:
        alarms.append("The weights are untrained: these numbers say nothing.")
    if document["interrupted"]:
        alarms.append("Interrupted: not all sequences were evaluated.")
    if document["frames_failed"]:
        alarms.append(
            f"The network failed on {document['frames_failed']} frames; the people in them count "
            "as missed."
        )
    if document["sequences_failed"]:
        alarms.append(f"{document['sequences_failed']} sequences ended early; see their errors.")
    return f"<p>{' '.join(words)}</p>" + "".join(f'<p class="alarm">{a}</p>' for a in alarms)


def _numbers(document: Mapping[str, Any]) -> str:
    parts = shown_parts(document)
    has_goals = _GOAL_PART in parts
    heads = "".join(f"<th>{escape(part)}</th>" for part in parts)
    rows, group = [], ""
    for name, kind in MEASURES.items():
        values = [document["numbers"][part][name] for part in parts]
        if all(value is None for value in values):
            continue
        if kind.group != group:
            group = kind.group
            rows.append(f'<tr class="group"><td colspan="{len(parts) + 3}">{group}</td></tr>')
        cells = "".join(f"<td>{_shown(kind, value)}</td>" for value in values)
        goal = _goal(kind, document["numbers"][_GOAL_PART][name]) if has_goals else ""
        rows.append(
            f'<tr><td>{escape(kind.title)}</td><td class="soft">{escape(kind.unit)}</td>'
            f"{cells}{goal}</tr>"
        )
    goal_head = f"<th>goal, {_GOAL_PART}</th>" if has_goals else ""
    return (
        f'<div class="wide"><table><tr><th>measure</th><th></th>{heads}{goal_head}</tr>'
        f"{''.join(rows)}</table></div>"
    )


def _goal(kind: MeasureKind, value: float | None) -> str:
    if kind.goal is None or value is None:
        return "<td></td>"
    is_reached = value < kind.goal if kind.is_better_low else value > kind.goal
    sign = "&lt;" if kind.is_better_low else "&gt;"
    style, mark = ("reached", "✓") if is_reached else ("missed", "✗")
    return f'<td class="{style}">{sign} {kind.goal:g} {mark}</td>'


def _plots(document: Mapping[str, Any]) -> list[str]:
    plots = []
    for name in _SORTED:
        series = _series(document, name)
        if series:
            kind = MEASURES[name]
            goal = kind.goal if len(series) > 1 or series[0][0] == _GOAL_PART else None
            plots.append(sorted_plot(_title(kind), series, goal))
    for curve in document["curves"].values():
        for name, steps in curve["means"].items():
            values = [step["value"] if step else None for step in steps]
            weights = [step["weight"] if step else 0 for step in steps]
            plots.append(
                step_plot(_title(MEASURES[name]), curve["title"], curve["borders"], values, weights)
            )
    if not plots:
        return []
    return ["<h2>Plots</h2>", f'<div class="plots">{"".join(plots)}</div>']


def _series(document: Mapping[str, Any], name: str) -> list[tuple[str, list[tuple[str, float]]]]:
    """Per part of the benchmark, the sequences' values."""
    series: dict[str, list[tuple[str, float]]] = {}
    for sequence in document["sequences"]:
        value = sequence["numbers"][name]
        if value is not None:
            series.setdefault(sequence["group"], []).append((sequence["name"], value))
    return sorted(series.items())


def _pictures(pictures: Mapping[str, Sequence[KeptPicture]]) -> list[str]:
    parts = []
    for kind, title in (("worst", "Worst frames"), ("best", "Best frames")):
        figures = "".join(_figure(picture) for picture in pictures.get(kind, ()))
        if figures:
            parts += [f"<h2>{title}</h2>", figures]
    return parts


def _figure(picture: KeptPicture) -> str:
    data = base64.b64encode(picture.jpeg).decode("ascii")
    words = f"{picture.sequence}, frame {picture.frame}: {picture.badness_m:.2f} m"
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="estimate beside truth">'
        f"<figcaption>{escape(words)}</figcaption></figure>"
    )


def _sequences(document: Mapping[str, Any]) -> str:
    shown = [name for name in _PER_SEQUENCE if document["numbers"][EVERYTHING][name] is not None]
    heads = "".join(f"<th>{escape(_title(MEASURES[name]))}</th>" for name in shown)
    rows = []
    for sequence in document["sequences"]:
        cells = "".join(
            f"<td>{_shown(MEASURES[name], sequence['numbers'][name])}</td>" for name in shown
        )
        failed = f'<span class="alarm">{sequence["frames_failed"]} failed</span>'
        frames = f"{sequence['frames']} {failed if sequence['frames_failed'] else ''}"
        error = f'<td class="alarm">{escape(sequence["error"])}</td>' if sequence["error"] else ""
        rows.append(f"<tr><td>{escape(sequence['name'])}</td><td>{frames}</td>{cells}{error}</tr>")
    return (
        f'<details><summary>all {len(rows)}</summary><div class="wide"><table>'
        f"<tr><th>sequence</th><th>frames</th>{heads}</tr>{''.join(rows)}</table></div></details>"
    )


def _facts(title: str, facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(str(name))}</td><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<details><summary>{title}</summary><table>{rows}</table></details>"


def _shown(kind: MeasureKind, value: float | None) -> str:
    return "-" if value is None else f"{value:.{kind.digits}f}"


def _title(kind: MeasureKind) -> str:
    return f"{kind.title}, {kind.unit}" if kind.unit else kind.title
