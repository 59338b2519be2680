"""Small plots as SVG, to be put into a page."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "human3r",
    "text.parse_math": False,
    "font.size": 8,
    # Readable on a light and on a dark page.
    **dict.fromkeys(("text.color", "axes.edgecolor", "xtick.color", "ytick.color"), "#7a8290"),
    "axes.labelcolor": "#7a8290",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#9aa0a8",
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
_SIZE_INCH = (4.2, 2.5)
_MARGINS = {"left": 0.12, "right": 0.97, "bottom": 0.19, "top": 0.88}
"""Shares of the figure; room for numbers of five digits on the left."""
_GOAL_COLOR = "#c0392b"


def step_plot(
    title: str,
    axis: str,
    steps: Sequence[str],
    values: Sequence[float | None],
    weights: Sequence[float],
) -> str:
    """A mean per step of a condition; the bars below say how many it is the mean of.

    Args:
        title: what is shown.
        axis: the condition.
        steps: their names.
        values: None where nothing fell into a step.
        weights: how many did.

    Returns:
        An SVG document.
    """
    places = np.arange(len(values))
    with matplotlib.rc_context(_STYLE):
        figure, axes = _frame(title, axis)
        counts = axes.twinx()
        counts.set_axis_off()
        counts.bar(places, weights, color="#9aa0a8", alpha=0.35, zorder=1)
        counts.set_ylim(0, 3.3 * max(1.0, *weights))
        known = [(step, value) for step, value in enumerate(values) if value is not None]
        axes.plot(*np.array(known, float).reshape(-1, 2).T, "o-", markersize=4, zorder=3)
        axes.set_xticks(places, steps)
        axes.set_ylim(bottom=0)
        return _svg(figure)


def sorted_plot(
    title: str, series: Sequence[tuple[str, Sequence[tuple[str, float]]]], goal: float | None
) -> str:
    """One dot per sequence, in order of size; a series each for the parts of a benchmark.

    The largest of each series is named.

    Args:
        title: what is shown.
        series: name, and per sequence its name and value.
        goal: a dashed line; None draws none.

    Returns:
        An SVG document.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _frame(title, "sequences, sorted")
        for name, dots in series:
            ordered = sorted(dots, key=lambda dot: dot[1])
            at = (np.arange(len(ordered)) + 0.5) / len(ordered)
            (line,) = axes.plot(at, [v for _, v in ordered], "o", markersize=3, label=name or None)
            axes.annotate(
                ordered[-1][0], (at[-1], ordered[-1][1]), (-4, 0), textcoords="offset points",
                ha="right", va="center", fontsize=6, color=line.get_color(),
            )  # fmt: skip
        if goal is not None:
            axes.axhline(goal, color=_GOAL_COLOR, linestyle="--", linewidth=1, label="goal")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper left", fontsize=7)
        axes.set_xticks([])
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        return _svg(figure)


def _frame(title: str, axis: str) -> tuple[Figure, Any]:
    # Fixed margins: the layouts that measure every label take half of a report's time.
    figure = Figure(_SIZE_INCH)
    axes = figure.subplots(gridspec_kw=_MARGINS)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(axis)
    axes.grid(axis="y")
    return figure, axes


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()
