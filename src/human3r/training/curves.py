"""The curves of a training as a picture."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from human3r.atomic import whole_file

_SHOWN = (
    *("loss", "points", "pose", "mask", "detection", "rotations"),
    *("translation", "joints_relative", "vertices", "joints_2d"),
)
_PANEL_PX = (360, 220)
_COLUMNS = 5
_MARGINS_PX = (52, 26, 12, 30)
"""Left, top, right, bottom of a panel."""
_RAW, _SMOOTH, _VALIDATION = (215, 222, 232), (36, 92, 168), (206, 84, 44)
_MIN_VALUE = 1e-6


def write_curves(path: Path, lines: list[dict[str, Any]]) -> None:
    """One panel per loss: every step, their running median, and the validation.

    Args:
        path: PNG file.
        lines: of the training's log.

    Raises:
        OutputError: not writable.
    """
    _, data = cv2.imencode(".png", draw_curves(lines)[..., ::-1])
    with whole_file(path) as file:
        file.write(data.tobytes())


def draw_curves(lines: list[dict[str, Any]]) -> UInt8[np.ndarray, "height width 3"]:
    """The curves as RGB."""
    panels = []
    for name in _SHOWN:
        steps, values = _column(lines, name)
        val_steps, val_values = _validation(lines, name)
        panels.append(_panel(name, steps, values, val_steps, val_values))
    blank = np.full_like(panels[0], 255)
    panels += [blank] * (-len(panels) % _COLUMNS)
    rows = [np.hstack(panels[i : i + _COLUMNS]) for i in range(0, len(panels), _COLUMNS)]
    return np.vstack(rows)


def _column(lines: list[dict[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [
        (line["step"], value)
        for line in lines
        if "step" in line and (value := line.get(name, line.get("terms", {}).get(name))) is not None
    ]
    return np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs], float)


def _validation(lines: list[dict[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    return _column(
        [{"step": line["step"], **line["validation"]} for line in lines if line.get("validation")],
        name,
    )


def _panel(
    name: str,
    steps: np.ndarray,
    values: np.ndarray,
    val_steps: np.ndarray,
    val_values: np.ndarray,
) -> np.ndarray:
    width, height = _PANEL_PX
    left, top, right, bottom = _MARGINS_PX
    canvas = np.full((height, width, 3), 255, np.uint8)
    _text(canvas, name, (left, 17), 0.5, (30, 30, 30))
    everything = np.concatenate((values, val_values))
    if not len(everything):
        _text(canvas, "no values yet", (left, height // 2), 0.4, (140, 140, 140))
        return canvas
    low, high = (float(x) for x in np.percentile(everything, (0.5, 99.5)))
    is_log = low > _MIN_VALUE  # Losses with a confidence become negative.
    high = max(high, low * 1.05 if is_log else low + _MIN_VALUE)
    axis = np.log if is_log else np.asarray
    last = max(float(max(steps.max(initial=1), val_steps.max(initial=1))), 1.0)

    def place(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        across = left + x / last * (width - left - right)
        share = (axis(np.clip(y, low, high)) - axis(low)) / (axis(high) - axis(low))
        return np.stack((across, height - bottom - share * (height - top - bottom)), -1)

    for value in (np.geomspace if is_log else np.linspace)(low, high, 4):
        y = int(place(np.zeros(1), np.array([value]))[0, 1])
        cv2.line(canvas, (left, y), (width - right, y), (236, 236, 236), 1)
        _text(canvas, f"{value:.3g}", (4, y + 4), 0.34, (110, 110, 110))
    _text(canvas, f"step {int(last)}", (width - right - 80, height - 8), 0.36, (110, 110, 110))
    _line(canvas, place(steps, values), _RAW, 1)
    _line(canvas, place(steps, _smoothed(values)), _SMOOTH, 2)
    _line(canvas, place(val_steps, val_values), _VALIDATION, 2)
    return canvas


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Running median over the last twentieth."""
    reach = max(1, len(values) // 40)
    padded = np.pad(values, reach, mode="edge") if len(values) else values
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1) if len(values) else []
    return np.median(windows, axis=1) if len(values) else values


def _line(canvas: np.ndarray, points: np.ndarray, color: tuple[int, int, int], width: int) -> None:
    if len(points):
        cv2.polylines(canvas, [np.round(points).astype(np.int32)], False, color, width, cv2.LINE_AA)


def _text(
    canvas: np.ndarray, text: str, at: tuple[int, int], size: float, color: tuple[int, int, int]
) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, color, 1, cv2.LINE_AA)
