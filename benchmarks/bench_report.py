"""Results of ``bench.py`` as a table and as a picture."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from human3r.atomic import whole_file

_COLOURS = ("#9aa5b1", "#6b7c8f", "#2a6fbb", "#4a8f5a", "#c8553d")


def write_table(result: dict[str, Any]) -> str:
    """Markdown: where and when first, then one table per section."""
    gpu = result["gpu"] or "no GPU (so no GPU figure exists)"
    lines = [
        f"# Speed, {result['date']}",
        "",
        f"{result['cpu']}, {result['cores']} cores; {gpu}; commit {result['commit']}; "
        f"Python {result['python']}, PyTorch {result['torch']}, "
        f"{result['torch_threads']} threads; seeded weights, free body.",
        "",
        f"    {result['command']}",
        "",
        "Processor time is that of all threads together and hardly depends on what else runs.",
    ]
    sections = result["sections"]
    for variant, found in sections.get("network", {}).items():
        lines += _ways(f"Network alone, {variant}, 512x288 or the variant's size", found["ways"])
        lines += _pairs("Stages of ours, wall ms", found["stage_ms"], ".1f")
    if "session" in sections:
        lines += _session(sections["session"], result["variant"])
    if "roofline" in sections:
        lines += _roofline(sections["roofline"], result["variant"])
    for name, title in (("people", "people"), ("image", "image size")):
        if "growth" in sections:
            lines += _growth(f"Session against {title}", sections["growth"][name])
    if "growth" in sections:
        lines += _length(sections["growth"]["length"])
    for name in ("start", "messages"):
        if name in sections:
            lines += _pairs(_TITLES[name], sections[name], ".3f")
    if "precision" in sections:
        lines += _precision(sections["precision"])
    for name in ("node", "control"):
        if name in sections:
            lines += _percentiles(_TITLES[name], sections[name])
    return "\n".join(lines) + "\n"


_TITLES = {
    "start": "Start, seconds, fastest of several",
    "messages": "Building messages, processor ms, fastest of many",
    "node": "The node, ms from image stamp to publication",
    "control": "Service calls of a running node, without images and while a 30 Hz camera "
    "outruns the network, ms",
}


def _ways(title: str, ways: dict[str, dict[str, float]]) -> list[str]:
    lines = [
        "",
        f"## {title}",
        "",
        "| | processor ms | wall ms | times faster (processor) | (wall) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in ways.items():
        lines.append(
            f"| {name} | {row['processor_ms']:.1f} | {row['wall_ms']:.1f} | "
            f"{row['times_faster_processor']:.2f} | {row['times_faster_wall']:.2f} |"
        )
    return lines


def _growth(title: str, cases: dict[str, dict[str, float]]) -> list[str]:
    least = next(iter(cases.values()))["peak_bytes"]
    lines = [
        "",
        f"## {title}",
        "",
        "| | processor ms | of the first, % | wall ms | peak memory MB | of the first, % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in cases.items():
        lines.append(
            f"| {name} | {row['processor_ms']:.1f} | {100 / row['times_faster_processor']:.1f} | "
            f"{row['wall_ms']:.1f} | {row['peak_bytes'] / 1e6:.1f} | "
            f"{100 * row['peak_bytes'] / least:.1f} |"
        )
    return lines


def _length(rows: list[dict[str, float]]) -> list[str]:
    lines = [
        "",
        "## Session against length of the stream",
        "",
        "| frames | processor ms, median since the row before | resident MB |",
        "| --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {row['frames']} | {row['processor_ms']:.1f} | {row['resident_bytes'] / 1e6:.1f} |"
        )
    return lines


def _pairs(title: str, found: dict[str, Any], form: str) -> list[str]:
    lines = ["", f"## {title}", "", "| | |", "| --- | --- |"]
    for name, value in found.items():
        text = f"{value:{form}}" if isinstance(value, float) else str(value)
        lines.append(f"| {name.replace('_', ' ')} | {text} |")
    return lines


def _session(found: dict[str, Any], variant: str) -> list[str]:
    frame, ahead = found["frame"], found["looking_ahead"]
    rows = {
        "whole frame, processor ms": frame["processor_ms"],
        "whole frame, wall ms": frame["wall_ms"],
        "frames per second of wall time": found["frames_per_s"],
        "the same, looking one frame ahead": 1e3 / ahead["wall_ms"],
        "times faster, wall, looking one frame ahead": ahead["times_faster_wall"],
        "processor ms, looking one frame ahead": ahead["processor_ms"],
        "frames per second of processor time": found["frames_per_processor_s"],
        "people per frame": found["people_per_frame"],
        "weights": found["weights"],
        **{f"{name}, wall ms, mean": value for name, value in found["stage_ms"].items()},
    }
    return _pairs(f"Session, {variant}, images of 1280x720", rows, ".2f")


def _roofline(found: dict[str, Any], variant: str) -> list[str]:
    whole, per = found["stages"]["whole frame"], found["clock"]
    lines = [
        "",
        f"## Roofline, {variant}, 512x288 or the variant's size",
        "",
        f"Peak of this machine in this run, per second of {per}: "
        f"{found['peak_gmac_per_s']:.1f} GMAC/s (product of two 1024x1024 matrices), "
        f"{found['copy_gb_per_s']:.1f} GB/s (copy, read and written). "
        f"The plain pass has {found['plain_gmac']:.4g} GMAC, "
        f"{found['plain_gmac'] / whole['gmac']:.2f} times as many.",
        "",
        f"| | GMAC | weights MB | activations MB | MAC/byte | ms of {per} | GMAC/s "
        "| % of attainable |",
        "| --- " * 8 + "|",
    ]
    for name, row in found["stages"].items():
        lines.append(
            f"| {name} | {row['gmac']:.4g} | {row['weight_mb']:.1f} | {row['activation_mb']:.1f} | "
            f"{row['mac_per_byte']:.1f} | {row['ms']:.1f} | {row['gmac_per_s']:.1f} | "
            f"{100 * row['share_of_attainable']:.0f} |"
        )
    return lines


def _precision(found: dict[str, Any]) -> list[str]:
    lines = []
    for short in ("bf16", "fp16"):
        lines += [
            "",
            f"## {short} against fp32 over {found['frames']} frames, {found['weights']} weights",
            "",
            "| difference | median | first half | second half | 95 % below | worst |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for name, row in found[short].items():
            cells = [row[key] for key in _DRIFT] if isinstance(row, dict) else [row]
            text = " | ".join(_number(cell) for cell in cells) + " |" * (len(_DRIFT) - len(cells))
            lines.append(f"| {name.replace('_', ' ')} | {text} |")
    return lines


_DRIFT = ("median", "first_half", "second_half", "p95", "worst")


def _percentiles(title: str, found: dict[str, Any]) -> list[str]:
    with_people = any("people" in row for row in found.values())
    columns = ["p50", "p95", "p99", "max", "n", *(["people, mean"] if with_people else [])]
    lines = ["", f"## {title}", "", f"| | {' | '.join(columns)} |"]
    lines.append("| --- " * (1 + len(columns)) + "|")
    for name, row in found.items():
        keys = ("p50", "p95", "p99", "max")
        cells = [f"{1e3 * row[key]:.1f}" if key in row else "-" for key in keys]
        cells.append(str(row.get("count", "-")))
        cells += [f"{row['people']:.1f}"] if with_people else []
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def draw_plot(result: dict[str, Any], path: Path) -> None:
    """Processor time per frame of every way, a bar each, a panel per variant."""
    groups = result["sections"].get("network", {})
    if not groups:
        return
    heights = [len(found["ways"]) for found in groups.values()]
    figure = Figure((9, 0.8 + sum(0.5 + 0.33 * height for height in heights)), layout="constrained")
    figure.suptitle(
        "Processor time per frame, network alone\n"
        f"{result['date']}, {result['cpu']}, commit {result['commit']}, seeded weights",
        fontsize=10,
    )
    panels = figure.subplots(len(groups), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (variant, found) in zip(panels, groups.items(), strict=True):
        ways = found["ways"]
        times_ms = [row["processor_ms"] for row in ways.values()]
        bars = axes.barh(list(ways), times_ms, color=_COLOURS[: len(ways)])
        axes.bar_label(
            bars,
            [
                f"{r['processor_ms']:.0f} ms  {r['times_faster_processor']:.2f}x"
                for r in ways.values()
            ],
            padding=4,
        )
        axes.set_title(variant, loc="left", fontsize=9)
        axes.set_xlim(0, 1.25 * max(times_ms))
        axes.invert_yaxis()
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=100)
