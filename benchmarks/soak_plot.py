"""The picture of a soak: memory, threads, descriptors, latency over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from human3r.atomic import whole_file

_PANEL_PX = (900, 170)
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 30, 22
_INK, _FAINT, _LINE = (40, 40, 40), (228, 228, 228), (36, 92, 168)
_ROWS = (
    ("resident memory, MiB", "rss_bytes", 2**20),
    ("threads", "threads", 1),
    ("file descriptors", "descriptors", 1),
    ("stamp to publication, s (median of each second)", "latency_s", 1),
)


def write_plot(path: Path, samples: Sequence[Any], title: str) -> None:
    """One panel per quantity, from zero, over minutes."""
    at_min = np.array([sample.at_s for sample in samples]) / 60
    panels = [_title(title)]
    for label, name, unit in _ROWS:
        values = [getattr(sample, name) for sample in samples]
        numbers = np.array([np.nan if v is None else v for v in values], float) / unit
        panels.append(_panel(label, at_min, numbers))
    _, data = cv2.imencode(".png", np.vstack(panels)[..., ::-1])
    with whole_file(path) as file:
        file.write(data.tobytes())


def _title(text: str) -> np.ndarray:
    canvas = np.full((34, _PANEL_PX[0], 3), 255, np.uint8)
    _text(canvas, text, (12, 22), 0.46)
    return canvas


def _panel(label: str, at_min: np.ndarray, values: np.ndarray) -> np.ndarray:
    width, height = _PANEL_PX
    canvas = np.full((height, width, 3), 255, np.uint8)
    _text(canvas, label, (_LEFT, 18), 0.46)
    top = max(1e-9, 1.15 * float(np.nanmax(values, initial=0.0)))
    end = max(1e-9, float(at_min[-1]))
    floor = height - _BOTTOM
    for value in np.linspace(0, top, 4):
        y = round(floor - value / top * (floor - _TOP))
        cv2.line(canvas, (_LEFT, y), (width - _RIGHT, y), _FAINT, 1)
        _text(canvas, f"{value:.4g}", (8, y + 4), 0.38)
    for minute in np.linspace(0, end, 6):
        x = round(_LEFT + minute / end * (width - _LEFT - _RIGHT))
        _text(canvas, f"{minute:.1f} min", (min(x, width - 70), height - 6), 0.36)
    known = np.isfinite(values)
    x = _LEFT + at_min[known] / end * (width - _LEFT - _RIGHT)
    y = floor - values[known] / top * (floor - _TOP)
    points = np.round(np.stack((x, y), -1)).astype(np.int32)
    cv2.polylines(canvas, [points], False, _LINE, 2, cv2.LINE_AA)
    return canvas


def _text(canvas: np.ndarray, text: str, at: tuple[int, int], size: float) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)
