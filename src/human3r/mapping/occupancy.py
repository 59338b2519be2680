"""The map seen from above: where a robot can drive, where it cannot, and what was not seen yet.

The floor is the level below the camera at which the map spreads over the most ground. What
rises above it, and is lower than the robot is tall, is an obstacle; floor that is seen is free.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from human3r.errors import InputError

FREE, OCCUPIED, UNKNOWN = 0, 100, -1
"""As in nav_msgs/OccupancyGrid."""
_FLOOR_STEP_M = 0.05
_FLOOR_BAND_M = 0.1
"""Points this far from the floor, up or down, are floor."""
_MIN_FLOOR_CELLS = 20
_WIDER = 2.0
"""A floor covers more ground than the other levels by this; a wall covers as much at each."""
_MAX_CELLS = 4_000_000
_CELL_BITS = 20
_CELL_MASK = (1 << _CELL_BITS) - 1


@dataclass(frozen=True)
class OccupancyGrid:
    """Cells of the level frame, seen from above."""

    cells: Int8[np.ndarray, "rows columns"]
    """``FREE``, ``OCCUPIED`` or ``UNKNOWN``; columns along x, rows along y, from the origin on."""
    origin: tuple[float, float]
    """x and y of the first cell's corner, metres, level frame."""
    cell_m: float
    floor_m: float
    """Height of the floor in the level frame."""


def floor_height_m(
    points_level: Float[np.ndarray, "points 3"], camera_m: float, cell_m: float
) -> float | None:
    """Height of the floor in the level frame, or None where too little of it is seen.

    Args:
        points_level: metres, z up.
        camera_m: height of the camera in the same frame; only what is lower can be floor.
        cell_m: side of the cells in which ground is counted.
    """
    below = points_level[points_level[:, 2] < camera_m - _FLOOR_BAND_M]
    if not len(below):
        return None
    steps = np.floor(below[:, 2] / _FLOOR_STEP_M).astype(np.int64)
    x, y = (np.floor(below[:, :2] / cell_m).astype(np.int64) & _CELL_MASK).T
    distinct = np.unique((steps << 2 * _CELL_BITS) | (x << _CELL_BITS) | y)
    levels, areas = np.unique(distinct >> 2 * _CELL_BITS, return_counts=True)
    best = int(areas.argmax())
    others = np.delete(areas, best)
    if areas[best] < max(_MIN_FLOOR_CELLS, _WIDER * np.median(others) if len(others) else 0):
        return None
    middle = (levels[best] + 0.5) * _FLOOR_STEP_M
    near = below[np.abs(below[:, 2] - middle) < _FLOOR_BAND_M, 2]
    return float(np.median(near))


def occupancy_grid(
    points_level: Float[np.ndarray, "points 3"],
    camera_m: float,
    cell_m: float,
    lowest_m: float,
    highest_m: float,
) -> OccupancyGrid:
    """The grid of a map.

    Args:
        points_level: of the static scene, metres, z up.
        camera_m: height of the camera in the same frame.
        cell_m: side of a cell.
        lowest_m: height above the floor from which on something is an obstacle.
        highest_m: what is higher does not stand in the way.

    Raises:
        InputError: no floor in the map, or a map too large for one grid.
    """
    points = points_level[np.isfinite(points_level).all(axis=1)]
    floor_m = floor_height_m(points, camera_m, cell_m)
    if floor_m is None:
        raise InputError(
            f"the map of {len(points)} points shows no floor below the camera; expected "
            f"{_MIN_FLOOR_CELLS} cells of it. Let the camera see the floor, and check level.source."
        )
    height = points[:, 2] - floor_m
    is_obstacle = (height >= lowest_m) & (height <= highest_m)
    is_floor = np.abs(height) < min(_FLOOR_BAND_M, lowest_m)
    places = np.floor(points[:, :2] / cell_m).astype(np.int64)
    counted = is_obstacle | is_floor
    low, high = places[counted].min(axis=0), places[counted].max(axis=0)
    columns, rows = (high - low + 1).tolist()
    if rows * columns > _MAX_CELLS:
        raise InputError(
            f"the map covers {columns}x{rows} cells of {cell_m:g} m; expected at most "
            f"{_MAX_CELLS}. Use larger cells, or a map of less."
        )
    cells = np.full((rows, columns), UNKNOWN, np.int8)
    for those, value in ((is_floor, FREE), (is_obstacle, OCCUPIED)):
        x, y = (places[those] - low).T
        cells[y, x] = value
    return OccupancyGrid(cells, (float(low[0] * cell_m), float(low[1] * cell_m)), cell_m, floor_m)
