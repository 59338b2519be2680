"""Small plots as SVG text, to be put into a page."""

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 26, 38
_COLORS = ("#2a6fbb", "#c8553d", "#4a8f5a", "#8a6bb1")


def step_plot(
    title: str,
    axis: str,
    borders: Sequence[float],
    values: Sequence[float | None],
    weights: Sequence[float],
) -> str:
    """A mean per step of a condition; the bars below say how many it is the mean of.

    Args:
        title: what is shown.
        axis: the condition.
        borders: between the steps, one fewer than values.
        values: None where nothing fell into a step.
        weights: how many did.
    """
    top = _nice_top([value for value in values if value is not None])
    width = (WIDTH - _LEFT - _RIGHT) / len(values)
    most = max(weights, default=0) or 1
    parts = _frame(title, axis, top)
    points = []
    for step, (value, weight) in enumerate(zip(values, weights, strict=True)):
        x = _LEFT + (step + 0.5) * width
        bar = 0.3 * (HEIGHT - _TOP - _BOTTOM) * weight / most
        parts.append(
            f'<rect x="{x - 0.4 * width:.1f}" y="{HEIGHT - _BOTTOM - bar:.1f}" '
            f'width="{0.8 * width:.1f}" height="{bar:.1f}" fill="#dfe6ee" class="bar">'
            f"<title>{weight:.0f}</title></rect>"
        )
        parts.append(_label(x, HEIGHT - _BOTTOM + 12, _step_name(borders, step), "middle"))
        if value is not None:
            points.append((x, _y(value, top), value))
    if points:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{_COLORS[0]}" class="line"/>')
    for x, y, value in points:
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{_COLORS[0]}">'
            f"<title>{value:.4g}</title></circle>"
        )
    return _svg(parts)


def sorted_plot(
    title: str, series: Sequence[tuple[str, Sequence[tuple[str, float]]]], goal: float | None
) -> str:
    """One dot per sequence, in order of size; a series each for the parts of a benchmark.

    Args:
        title: what is shown.
        series: name, and per sequence its name and value.
        goal: a dashed line; None draws none.
    """
    values = [value for _, dots in series for _, value in dots]
    top = _nice_top([*values, *([goal] if goal is not None else [])])
    parts = _frame(title, "sequences, sorted", top)
    if goal is not None:
        y = _y(goal, top)
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="#c0392b" stroke-dasharray="4 3" class="goal"/>'
        )
    for number, (name, dots) in enumerate(series):
        color = _COLORS[number % len(_COLORS)]
        ordered = sorted(dots, key=lambda dot: dot[1])
        for rank, (sequence, value) in enumerate(ordered):
            x = _LEFT + (rank + 0.5) / len(ordered) * (WIDTH - _LEFT - _RIGHT)
            parts.append(
                f'<circle cx="{x:.1f}" cy="{_y(value, top):.1f}" r="2.6" fill="{color}" '
                f'fill-opacity="0.75"><title>{escape(sequence)}: {value:.4g}</title></circle>'
            )
        if name:
            parts.append(
                f'<text x="{_LEFT + 8}" y="{_TOP + 14 + 13 * number}" style="fill:{color}" '
                f'class="name">{escape(name)}</text>'
            )
    return _svg(parts)


def _frame(title: str, axis: str, top: float) -> list[str]:
    parts = [f'<text x="{_LEFT}" y="15" font-size="12.5" class="title">{escape(title)}</text>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = _y(share * top, top)
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="#d5d8dd" stroke-width="0.7" class="grid"/>'
        )
        parts.append(_label(_LEFT - 5, y + 3.5, f"{share * top:.3g}", "end"))
    parts.append(_label((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 8, axis, "middle"))
    return parts


def _svg(parts: Sequence[str]) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" font-size="10.5" role="img">{body}</svg>'


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _y(value: float, top: float) -> float:
    share = min(max(value / top, 0.0), 1.0)
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _nice_top(values: Sequence[float]) -> float:
    """A round number not below any value: 1, 2, 2.5, 4, 5 or 8 times a power of ten."""
    most = max(values, default=0)
    if most <= 0 or not math.isfinite(most):
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(factor * power for factor in (1, 2, 2.5, 4, 5, 8, 10) if factor * power >= most)


def _step_name(borders: Sequence[float], step: int) -> str:
    low = f"{borders[step - 1]:g}" if step else ""
    high = f"{borders[step]:g}" if step < len(borders) else ""
    if not low:
        return f"< {high}"
    return f"{low}-{high}" if high else f"≥ {low}"
