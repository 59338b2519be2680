"""The static scene of a whole run as one bounded, thinned, coloured cloud."""

import logging

import numpy as np
from jaxtyping import Float, Int64, UInt8

log = logging.getLogger(__name__)

_AXIS_BITS = 21
_MERGE_AFTER = 200_000


class SceneCloud:
    """Points of many frames, averaged per voxel of side ``voxel_m``.

    Bounded: when more than ``max_points`` voxels are filled, voxels grow to twice their side.
    """

    def __init__(self, voxel_m: float, max_points: int = 1_000_000) -> None:
        self.voxel_m = voxel_m
        self._max_points = max_points
        self.clear()

    def clear(self) -> None:
        """Forget all points: the world they were in ends."""
        self._sums = np.zeros((0, 7))
        """Per voxel: sums of x, y, z, red, green, blue, and how many points they sum."""
        self._waiting: list[np.ndarray] = []
        self._num_waiting = 0

    def add(
        self, points_world: Float[np.ndarray, "points 3"], colors: UInt8[np.ndarray, "points 3"]
    ) -> None:
        """Take in points in metres; those that are not finite or absurdly far are left out."""
        limit_m = self.voxel_m * 2 ** (_AXIS_BITS - 1) * 0.99
        # A comparison with NaN is false.
        good = (np.abs(points_world) < limit_m).all(axis=1)
        rows = np.ones((int(good.sum()), 7))
        rows[:, :3] = points_world[good]
        rows[:, 3:6] = colors[good]
        self._waiting.append(rows)
        self._num_waiting += len(rows)
        if self._num_waiting > _MERGE_AFTER:
            self._merge()

    def result(
        self,
    ) -> tuple[
        Float[np.ndarray, "points 3"], UInt8[np.ndarray, "points 3"], Int64[np.ndarray, " points"]
    ]:
        """Mean positions in metres, mean colours, and how many points each is the mean of."""
        self._merge()
        counts = self._sums[:, 6]
        means = self._sums[:, :6] / counts[:, None]
        return (
            means[:, :3].astype(np.float32),
            np.round(means[:, 3:]).astype(np.uint8),
            counts.astype(np.int64),
        )

    def _merge(self) -> None:
        rows = np.concatenate([self._sums, *self._waiting])
        self._waiting.clear()
        self._num_waiting = 0
        while True:
            means = rows[:, :3] / rows[:, 6:7]
            rows = _sum_by_key(_cube_keys(means, self.voxel_m), rows)
            if len(rows) <= self._max_points:
                break
            self.voxel_m *= 2
            log.info("scene: more than %d points; voxels now %g m", self._max_points, self.voxel_m)
        self._sums = rows


def _cube_keys(points: np.ndarray, voxel_m: float) -> np.ndarray:
    cells = np.floor(points / voxel_m).astype(np.int64) + 2 ** (_AXIS_BITS - 1)
    return (cells[:, 0] << (2 * _AXIS_BITS)) | (cells[:, 1] << _AXIS_BITS) | cells[:, 2]


def _sum_by_key(keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    if len(keys) == 0:
        return rows
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    return np.add.reduceat(rows, first, axis=0)
