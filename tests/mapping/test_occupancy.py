"""The map from above: floor, obstacles and what nobody has seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from human3r.errors import InputError
from human3r.mapping.occupancy import (
    FREE,
    OCCUPIED,
    UNKNOWN,
    floor_height_m,
    occupancy_grid,
)

CELL_M = 0.05


def lattice(length_m: float, width_m: float) -> np.ndarray:
    """Points 2 cm apart on the ground."""
    x, y = np.meshgrid(np.arange(0.01, length_m, 0.02), np.arange(0.01, width_m, 0.02))
    return np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])


def room(floor_m: float, noise_m: float = 0.0) -> np.ndarray:
    """A floor of 4 by 3 m, a box on it, a ceiling, and a wall at x = 4; z up."""
    rng = np.random.default_rng(0)
    flat = lattice(4, 3)
    is_under_box = (abs(flat[:, :2] - (2.0, 1.0)) < 0.2).all(axis=1)
    top = np.add(flat[is_under_box], [0, 0, 0.5])
    ceiling = np.add(flat, [0, 0, 2.5])
    wall = np.add(lattice(2.5, 3)[:, [2, 1, 0]], [3.99, 0, 0])
    points = np.concatenate([flat[~is_under_box], top, ceiling, wall])
    points[:, 2] += floor_m
    return points + rng.normal(0, noise_m, points.shape) * [0, 0, 1]


@given(st.floats(-3.0, 3.0), st.floats(0.3, 2.3), st.floats(0.0, 0.03))
def test_the_floor_is_found_wherever_the_level_frame_begins(floor_m, camera_m, noise_m):
    found = floor_height_m(room(floor_m, noise_m), floor_m + camera_m, CELL_M)
    assert found == pytest.approx(floor_m, abs=0.03)


def test_a_robot_may_drive_on_floor_and_not_through_things():
    grid = occupancy_grid(room(-1.2, 0.01), 0.0, CELL_M, 0.25, 1.8)

    def at(x, y):
        column, row = ((np.array([x, y]) - grid.origin) / grid.cell_m).astype(int)
        return grid.cells[row, column]

    assert at(1.0, 1.0) == FREE, "under the ceiling too"
    assert at(2.0, 1.0) == OCCUPIED
    assert at(3.99, 2.0) == OCCUPIED
    assert grid.cells.shape == (60, 80)
    assert np.mean(grid.cells == FREE) > 0.9
    assert grid.floor_m == pytest.approx(-1.2, abs=0.02)


def test_what_nobody_has_seen_is_unknown_and_low_robots_pass_below():
    points = room(-1.2)
    points = points[~((points[:, 0] > 1.0) & (points[:, 0] < 1.5))]
    grid = occupancy_grid(points, 0.0, CELL_M, 0.25, 1.8)
    assert (grid.cells[:, 21:29] == UNKNOWN).all()
    low = occupancy_grid(points, 0.0, CELL_M, 0.25, 0.4)
    assert (low.cells == OCCUPIED).sum() < (grid.cells == OCCUPIED).sum()


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 3)),
        np.full((50, 3), np.nan),
        np.array([[1.0, 1.0, 1.0]] * 500),
        np.array([[1.0, 1.0, -1.0]] * 500),
        np.add(lattice(2.5, 3)[:, [2, 1, 0]], [3.99, 0, -2.0]),
    ],
    ids=["empty", "nan", "above the camera", "one cell", "a wall alone"],
)
def test_a_map_without_floor_says_so(points):
    with pytest.raises(InputError, match="shows no floor"):
        occupancy_grid(points, 0.0, CELL_M, 0.25, 1.8)


def test_a_grid_of_a_world_is_refused():
    points = room(-1.2)
    points[0, :2] = 1e5
    with pytest.raises(InputError, match=r"expected at most 4000000"):
        occupancy_grid(points, 0.0, CELL_M, 0.25, 1.8)
