"""The static scene as samples of key frames, and planes of it near points and under feet."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from human3r.geometry import invert
from human3r.refine.recording import Recording, View

_GRID = 40
"""Samples across an image."""
_CUBE_M = 0.04
_NEIGHBOURS = 16
_REACH_M = 0.5
_FLATTEST, _SMALLEST_SPREAD_M = 0.02, 0.005
"""A neighbourhood is a plane when it is thinner than this, metres, and no line."""
_WINDOW_RAD = 0.15
"""Half the angle around a foot within which the scene of an image belongs to its surroundings."""
_FEWEST = 8
_TREES = 4096
"""Key frames of which the search trees are kept: some ten kilobytes each."""


@dataclass(frozen=True)
class Samples:
    """Scene points in the camera frames of the key frames that saw them; not yet scaled."""

    points: Float[np.ndarray, "samples 3"]
    key: Int[np.ndarray, " samples"]
    """Increasing."""
    first: Int[np.ndarray, " keys_and_one"]
    """Where the samples of each key frame begin; the last: how many there are."""

    def of(self, key: int) -> Float[np.ndarray, "some 3"]:
        """Those of one key frame."""
        return self.points[self.first[key] : self.first[key + 1]]

    @cached_property
    def directions(self) -> Callable[[int], KDTree]:
        """Gives the tree of the samples of one key frame in the plane at depth 1."""

        @lru_cache(_TREES)
        def tree(key: int) -> KDTree:
            points = self.of(key)
            return KDTree(points[:, :2] / points[:, 2:])

        return tree


def take_samples(recording: Recording, keys: Int[np.ndarray, " keys"]) -> Samples:
    """Samples of the depth of every key frame; without any, the cloud as seen from the first."""
    found = [_grid(recording.view(int(frame))) for frame in keys]
    if not any(len(points) for points in found) and len(recording.cloud):
        first_from_world = invert(recording.world_from_camera[keys[0]])
        found[0] = recording.cloud @ first_from_world[:3, :3].T + first_from_world[:3, 3]
    counts = [len(points) for points in found]
    return Samples(
        np.concatenate(found) if found else np.zeros((0, 3)),
        np.repeat(np.arange(len(keys)), counts),
        np.concatenate([[0], np.cumsum(counts)]),
    )


def _grid(view: View | None) -> Float[np.ndarray, "samples 3"]:
    if view is None:
        return np.zeros((0, 3))
    height, width = view.depth.shape
    step = max(1, width // _GRID)
    v, u = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    # A pixel beside a person may show some of them.
    scene = cv2.erode(view.is_scene.astype(np.uint8), np.ones((3, 3), np.uint8))
    keep = scene[v, u] > 0
    depth = view.depth[v, u][keep].astype(np.float64)
    pixels = np.stack([u[keep], v[keep], np.ones(keep.sum())], axis=-1)
    return (pixels @ np.linalg.inv(view.camera).T) * depth[:, None]


@dataclass(frozen=True)
class Planes:
    """Of each asked point the plane of the scene near it."""

    is_known: np.ndarray
    """(n,) bool."""
    normal: Float[np.ndarray, "n 3"]
    """World frame, unit, towards the cameras."""
    key: Int[np.ndarray, " n"]
    """Key frame that saw the plane."""
    place: Float[np.ndarray, "n 3"]
    """A point of the plane in that camera frame, not scaled."""
    distance: Float[np.ndarray, " n"]
    """Of the asked point from the plane, metres, positive in front."""


class Surface:
    """All samples in the world frame, to be asked for planes."""

    def __init__(
        self,
        samples: Samples,
        rotations: Float[np.ndarray, "keys 3 3"],
        places: Float[np.ndarray, "keys 3"],
        scales: Float[np.ndarray, " keys"],
    ) -> None:
        key = samples.key
        self._rotations, self._centres, self._scales = rotations, places, scales
        scaled = samples.points * scales[key, None]
        world = np.einsum("nij,nj->ni", rotations[key], scaled) + places[key]
        self._world, self._first_key, self._last_key = _averaged(world, key)
        self._tree = KDTree(self._world) if len(key) else None

    def planes(self, points: Float[np.ndarray, "n 3"], near_key: Int[np.ndarray, " n"]) -> Planes:
        """Planes through what lies nearest; of the key frames that saw it, one near in time."""
        count = len(points)
        if self._tree is None or count == 0 or len(self._world) < _FEWEST:
            nothing = np.zeros((count, 3))
            return Planes(
                np.zeros(count, bool),
                nothing,
                np.zeros(count, int),
                nothing,
                np.full(count, np.nan),
            )
        neighbours = min(_NEIGHBOURS, len(self._world))
        reach, index = self._tree.query(points, neighbours, distance_upper_bound=_REACH_M)
        good = np.isfinite(reach)
        index = np.where(good, index, 0)
        near = self._world[index]
        weight = good / np.maximum(good.sum(axis=1, keepdims=True), 1)
        centre = np.einsum("nk,nki->ni", weight, near)
        off = (near - centre[:, None]) * np.sqrt(weight)[..., None]
        variances, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", off, off))
        normal = axes[:, :, 0]
        nearest = index[:, 0]
        key = np.clip(near_key, self._first_key[nearest], self._last_key[nearest])
        towards = np.einsum("ni,ni->n", normal, self._centres[key] - centre)
        normal = normal * np.where(towards < 0, -1, 1)[:, None]
        thin = np.sqrt(np.maximum(variances, 0))
        is_known = (good.sum(axis=1) >= _FEWEST) & (thin[:, 0] < _FLATTEST)
        is_known &= thin[:, 1] > _SMALLEST_SPREAD_M
        there = np.einsum("nji,nj->ni", self._rotations[key], centre - self._centres[key])
        place = there / self._scales[key, None]
        distance = np.einsum("ni,ni->n", normal, points - centre)
        return Planes(is_known, normal, key, place, distance)


def _averaged(
    points: Float[np.ndarray, "samples 3"], key: Int[np.ndarray, " samples"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of the points in each cube, and the first and last key frame that saw it.

    A camera that stands still samples the same spots again and again.
    """
    if len(points) == 0:
        return points, key, key
    which, counts = _alike(np.floor(points / _CUBE_M).astype(np.int64))
    means = np.stack([np.bincount(which, column) for column in points.T], axis=1)
    first = np.full(len(counts), key.max())
    last = np.zeros(len(counts), key.dtype)
    np.minimum.at(first, which, key)
    np.maximum.at(last, which, key)
    return means / counts[:, None], first, last


def _alike(cubes: Int[np.ndarray, "n 3"]) -> tuple[np.ndarray, np.ndarray]:
    """As np.unique of the rows: which of them each is, and how often it is there. Faster."""
    which, counts = np.zeros(len(cubes), np.int64), np.zeros(0, np.int64)
    for column in cubes.T:
        place = column - column.min()
        _, which, counts = np.unique(
            which * (place.max() + 1) + place, return_inverse=True, return_counts=True
        )
    return which, counts


def plane_behind(
    scene: Float[np.ndarray, "samples 3"], point: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "3"], float] | None:
    """The plane that an image shows around a point: (normal, offset) with normal . x = offset.

    Works on directions alone, so it does not care how far off the scale of the scene is.

    Args:
        scene: samples in the camera frame.
        point: in the same camera frame.

    Returns:
        Unit normal away from the camera and a positive offset; None where there is no plane.
    """
    if point[2] <= 0 or len(scene) < _FEWEST:
        return None
    off = np.abs(scene[:, :2] / scene[:, 2:] - point[:2] / point[2]).max(axis=1)
    near = scene[off < _WINDOW_RAD]
    centre = normal = variances = np.zeros(3)
    for _ in range(3):
        if len(near) < _FEWEST:
            return None
        centre = near.mean(axis=0)
        variances, axes = np.linalg.eigh((near - centre).T @ (near - centre) / len(near))
        normal = axes[:, 0]
        away = np.abs((near - centre) @ normal)
        keep = away < max(2.5 * 1.4826 * float(np.median(away)), 1e-6)
        if keep.all():
            break
        near = near[keep]
    offset = float(centre @ normal)
    if offset < 0:
        normal, offset = -normal, -offset
    # Seen edge-on or no plane at all.
    thin = np.sqrt(max(variances[0], 0)) / np.sqrt(max(variances[1], 1e-12))
    if thin > 0.35 or offset < 0.1 * float(np.linalg.norm(centre)):
        return None
    return normal, offset
