"""The curves of a training as a picture."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import median_filter

from human3r.atomic import whole_file

_SHOWN = (
    *("loss", "points", "pose", "mask", "detection", "rotations"),
    *("translation", "joints_relative", "vertices", "joints_2d"),
)
_COLUMNS = 5
_PANEL_INCH = (3.6, 2.2)
_RAW, _SMOOTH, _VALIDATION = "#d7dee8", "#245ca8", "#ce542c"
_MIN_VALUE = 1e-6


def write_curves(path: Path, lines: list[dict[str, Any]]) -> None:
    """One panel per loss: every step, their running median, and the validation.

    Args:
        path: PNG file.
        lines: of the training's log.

    Raises:
        OutputError: not writable.
    """
    with whole_file(path) as file:
        draw_curves(lines).savefig(file, format="png", dpi=100)


def draw_curves(lines: list[dict[str, Any]]) -> Figure:
    """The figure of ``write_curves``."""
    rows = -(-len(_SHOWN) // _COLUMNS)
    figure = Figure((_COLUMNS * _PANEL_INCH[0], rows * _PANEL_INCH[1]), layout="constrained")
    validations = [
        {"step": line["step"], **line["validation"]} for line in lines if line.get("validation")
    ]
    for axes, name in zip(figure.subplots(rows, _COLUMNS).flat, _SHOWN, strict=True):
        _draw_panel(axes, name, _column(lines, name), _column(validations, name))
    return figure


def _column(lines: list[dict[str, Any]], name: str) -> np.ndarray:
    """(2, n): steps and values of one loss."""
    pairs = [
        (line["step"], value)
        for line in lines
        if "step" in line and (value := line.get(name, line.get("terms", {}).get(name))) is not None
    ]
    return np.array(pairs, float).reshape(-1, 2).T


def _draw_panel(axes: Axes, name: str, training: np.ndarray, validation: np.ndarray) -> None:
    axes.set_title(name, loc="left", fontsize=10)
    values = np.concatenate((training[1], validation[1]))
    values = values[np.isfinite(values)]
    if not len(values):
        axes.text(0.5, 0.5, "no values yet", transform=axes.transAxes, ha="center", color="grey")
        axes.set_axis_off()
        return
    low, high = np.percentile(values, (0.5, 99.5))
    if low > _MIN_VALUE:  # Losses with a confidence become negative.
        axes.set_yscale("log")
    axes.set_ylim(low, max(high, low * 1.05 if low > _MIN_VALUE else low + _MIN_VALUE))
    axes.plot(*training, color=_RAW, linewidth=1)
    if training.size:
        reach = max(1, training.shape[1] // 40)
        smooth = median_filter(training[1], 2 * reach + 1, mode="nearest")
        axes.plot(training[0], smooth, color=_SMOOTH, linewidth=1.5)
    axes.plot(*validation, color=_VALIDATION, linewidth=1.5)
    axes.tick_params(labelsize=7, which="both")
    axes.grid(alpha=0.3)
