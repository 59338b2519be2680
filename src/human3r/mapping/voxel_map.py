"""The static scene over time: a hash of voxels in the level frame, bounded and able to forget."""

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from human3r.types import Intrinsics

_AXIS_BITS = 21
_MAX_OBSERVATIONS = 255
"""Counts stop here, so that what is gone leaves after as many looks at what was behind it."""
_IN_FRONT_VOXELS = 3.0
_EVICTED_SHARE = 0.1
"""Evicting somewhat more than necessary makes it rare: it goes over the whole map."""
_DEAD_SHARE = 0.25
_NEAREST_M = 1e-3


class VoxelMap:
    """Mean position and colour, observation count and last stamp of every voxel that was seen.

    Keys of the voxels are kept sorted and point to rows, so that one search finds the voxels of a
    frame. A row without observations is dead: it is not shown, and is removed or revived later.
    """

    def __init__(self, voxel_m: float, max_voxels: int) -> None:
        """An empty map.

        Args:
            voxel_m: side of a voxel.
            max_voxels: voxels kept at most.
        """
        self.voxel_m = voxel_m
        self._max_voxels = max_voxels
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._keys = np.zeros(0, np.int64)
        self._rows = np.zeros(0, np.int64)
        self._means = np.zeros((0, 6), np.float32)
        """x, y, z in metres, red, green, blue; some rows at the end are not in use yet."""
        self._counts = np.zeros(0, np.int32)
        self._stamps_ns = np.zeros(0, np.int64)

    def __len__(self) -> int:
        """Voxels with at least one observation."""
        return int(np.count_nonzero(self._counts[: len(self._keys)]))

    @property
    def last_seen_ns(self) -> Int64[np.ndarray, " voxels"]:
        """Stamp of the last observation of every voxel, in the order of ``points``."""
        return self._stamps_ns[self._shown(1)]

    def add(
        self,
        points_level: Float[np.ndarray, "points 3"],
        colors: UInt8[np.ndarray, "points 3"],
        stamp_ns: int,
    ) -> None:
        """One observation of every voxel that holds one of these points.

        Args:
            points_level: metres; those that are not finite or absurdly far are left out.
            colors: RGB.
            stamp_ns: of the frame; the oldest go first when the map is full.
        """
        keys, means = _cube_means(points_level, colors, self.voxel_m)
        at = np.searchsorted(self._keys, keys)
        known = np.zeros(len(keys), bool)
        inside = at < len(self._keys)
        known[inside] = self._keys[at[inside]] == keys[inside]
        self._observe(self._rows[at[known]], means[known], stamp_ns)
        self._append(keys[~known], at[~known], means[~known], stamp_ns)
        self._bound()

    def clear_seen_through(
        self,
        depth: Float[np.ndarray, "height width"],
        is_sure: Bool[np.ndarray, "height width"],
        camera: Intrinsics,
        level_from_camera: Float[np.ndarray, "4 4"],
    ) -> int:
        """Take one observation from every voxel that lies clearly in front of what is seen now.

        Args:
            depth: metres along the optical axis.
            is_sure: pixels whose depth can be relied on.
            camera: of the depth image.
            level_from_camera: of this frame.

        Returns:
            How many voxels lost one.
        """
        rows = np.flatnonzero(self._counts[: len(self._keys)])
        camera_from_level = level_from_camera[:3, :3].T.astype(np.float32)
        origin = level_from_camera[:3, 3].astype(np.float32)
        x, y, z = camera_from_level @ (self._means[rows, :3] - origin).T
        height, width = depth.shape
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        seen = (z > _NEAREST_M) & (u > -0.5) & (u < width - 0.5) & (v > -0.5) & (v < height - 0.5)
        rows, z = rows[seen], z[seen]
        column, row = np.rint(u[seen]).astype(np.int64), np.rint(v[seen]).astype(np.int64)
        surface = depth[row, column]
        is_open = is_sure[row, column] & (z < surface - _IN_FRONT_VOXELS * self.voxel_m)
        self._counts[rows[is_open]] -= 1
        return int(np.count_nonzero(is_open))

    def forget_far(self, center_level: Float[np.ndarray, "3"], radius_m: float) -> int:
        """Drop the voxels farther than ``radius_m`` from a place; says how many."""
        rows = np.flatnonzero(self._counts[: len(self._keys)])
        offsets = self._means[rows, :3] - center_level.astype(np.float32)
        far = rows[np.einsum("ij,ij->i", offsets, offsets) > np.float32(radius_m) ** 2]
        self._counts[far] = 0
        return len(far)

    def points(
        self, min_observations: int = 1, limit: int | None = None
    ) -> tuple[
        Float[np.ndarray, "points 3"], UInt8[np.ndarray, "points 3"], Float[np.ndarray, " points"]
    ]:
        """Mean positions in metres (level frame), mean RGB colours, and observations.

        Args:
            min_observations: voxels seen less often are left out.
            limit: points at most, evenly picked; None for all.
        """
        rows = self._shown(min_observations)
        if limit is not None and len(rows) > limit:
            rows = rows[np.linspace(0, len(rows) - 1, limit).astype(np.int64)]
        means = self._means[rows]
        colors = np.round(means[:, 3:]).astype(np.uint8)
        return means[:, :3].copy(), colors, self._counts[rows].astype(np.float32)

    def _shown(self, min_observations: int) -> np.ndarray:
        """Rows in the order of the keys, so that equal maps give equal clouds."""
        return self._rows[self._counts[self._rows] >= max(1, min_observations)]

    def _observe(self, rows: np.ndarray, means: np.ndarray, stamp_ns: int) -> None:
        counts = np.minimum(self._counts[rows] + 1, _MAX_OBSERVATIONS)
        # What is left of a dead row drops out: its count becomes one.
        self._means[rows] += (means - self._means[rows]) / counts[:, None]
        self._counts[rows] = counts
        self._stamps_ns[rows] = stamp_ns

    def _append(
        self, keys: np.ndarray, before: np.ndarray, means: np.ndarray, stamp_ns: int
    ) -> None:
        used, more = len(self._keys), len(keys)
        if used + more > len(self._counts):
            spare = max(used + more, 2 * used) - len(self._counts)
            self._means = np.concatenate([self._means, np.zeros((spare, 6), np.float32)])
            self._counts = np.concatenate([self._counts, np.zeros(spare, np.int32)])
            self._stamps_ns = np.concatenate([self._stamps_ns, np.zeros(spare, np.int64)])
        new = slice(used, used + more)
        self._means[new], self._counts[new], self._stamps_ns[new] = means, 1, stamp_ns
        self._keys = np.insert(self._keys, before, keys)
        self._rows = np.insert(self._rows, before, np.arange(used, used + more))

    def _bound(self) -> None:
        """Evict the voxels that were not seen for longest, and make room for new rows."""
        living = len(self)
        used = len(self._keys)
        if living > self._max_voxels:
            rows = np.flatnonzero(self._counts[:used])
            surplus = living - self._max_voxels + int(_EVICTED_SHARE * self._max_voxels)
            oldest = np.argpartition(self._stamps_ns[rows], surplus - 1)[:surplus]
            self._counts[rows[oldest]] = 0
            living -= surplus
        if used - living > _DEAD_SHARE * max(used, 1):
            self._compact()

    def _compact(self) -> None:
        keep = self._counts[self._rows] > 0
        rows = self._rows[keep]
        self._keys = self._keys[keep]
        self._rows = np.arange(len(rows))
        self._means, self._counts = self._means[rows], self._counts[rows]
        self._stamps_ns = self._stamps_ns[rows]


def _cube_means(
    points: np.ndarray, colors: np.ndarray, voxel_m: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted keys of the voxels with points in them, and position and colour means (voxels, 6)."""
    half = 2 ** (_AXIS_BITS - 1)
    # A comparison with NaN is false.
    good = (np.abs(points) < 0.99 * half * voxel_m).all(axis=1)
    values = np.concatenate([points[good], colors[good]], axis=1, dtype=np.float32)
    cells = np.floor(values[:, :3] / voxel_m).astype(np.int64) + half
    keys = (cells[:, 0] << (2 * _AXIS_BITS)) | (cells[:, 1] << _AXIS_BITS) | cells[:, 2]
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    if len(keys) == 0:
        return keys, values
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    counts = np.diff(np.r_[first, len(keys)])
    return keys[first], np.add.reduceat(values, first, axis=0) / counts[:, None].astype(np.float32)
