"""The picture of a soak: memory, threads, descriptors, latency, map, people over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from human3r.atomic import whole_file

_ROWS = (
    ("resident memory, MiB", "rss_bytes", 2**20),
    ("threads", "threads", 1),
    ("file descriptors", "descriptors", 1),
    ("stamp to publication, s (median of each second)", "latency_s", 1),
    ("points of the map", "map_points", 1),
    ("people in the last message", "people", 1),
)


def write_plot(path: Path, samples: Sequence[Any], title: str) -> None:
    """One panel per quantity, from zero, over minutes."""
    at_min = np.array([sample.at_s for sample in samples]) / 60
    figure = Figure((9, 10), layout="constrained")
    figure.suptitle(title, fontsize=10)
    panels = figure.subplots(len(_ROWS), sharex=True)
    for axes, (label, name, unit) in zip(panels, _ROWS, strict=True):
        values = np.array([getattr(sample, name) for sample in samples], float) / unit
        known = np.isfinite(values)
        axes.plot(at_min[known], values[known])
        axes.set_title(label, loc="left", fontsize=9)
        axes.set_ylim(0, 1.15 * max(values[known], default=0.0) or 1.0)
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel("minutes")
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=100)
