"""The static scene as samples of key frames, and planes of it near points and under feet."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from human3r.geometry.rigid import invert
from human3r.refine.recording import Recording, View

_GRID = 40
"""Samples across an image."""
_SMALLEST_SPREAD_M = 0.005
"""A neighbourhood that is narrower is a line."""
_WINDOW_RAD = 0.15
"""Half the angle around a foot within which the scene of an image belongs to its surroundings."""
_FEWEST = 8


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
        self._clouds = [_Cloud(world, key, one) for one in (_NEAR_BY, _AROUND)]

    def planes(self, points: Float[np.ndarray, "n 3"], near_key: Int[np.ndarray, " n"]) -> Planes:
        """Planes through what lies nearest; of the key frames that saw it, one near in time.

        Where the depth of many frames is too thick a layer to be one near by, of a wider area.
        """
        count = len(points)
        found = _Found.nothing(count)
        for cloud in self._clouds:
            left = np.flatnonzero(~found.is_known)
            if len(left) and cloud.is_enough:
                found.put(left, cloud.planes(points[left], near_key[left]))
        if not len(found.key):
            return Planes(found.is_known, *(found.normal, found.key, found.centre, np.zeros(0)))
        normal, key, centre = found.normal, found.key, found.centre
        towards = np.einsum("ni,ni->n", normal, self._centres[key] - centre)
        normal = normal * np.where(towards < 0, -1, 1)[:, None]
        there = np.einsum("nji,nj->ni", self._rotations[key], centre - self._centres[key])
        place = there / self._scales[key, None]
        distance = np.einsum("ni,ni->n", normal, points - centre)
        return Planes(
            found.is_known, normal, key, place, np.where(found.is_known, distance, np.nan)
        )


@dataclass(frozen=True)
class _Area:
    """How planes are looked for."""

    cube_m: float
    """What lies within one is averaged."""
    neighbours: int
    reach_m: float
    flattest_m: float
    """Standard deviation of thickness."""
    flattest_share: float
    """Of thickness over width."""


_NEAR_BY = _Area(0.04, 16, 0.5, 0.02, 1.0)
_AROUND = _Area(0.1, 200, 0.6, 0.08, 0.35)


@dataclass
class _Found:
    """Planes of asked points, world frame."""

    is_known: np.ndarray
    normal: Float[np.ndarray, "n 3"]
    key: Int[np.ndarray, " n"]
    centre: Float[np.ndarray, "n 3"]

    @classmethod
    def nothing(cls, count: int) -> "_Found":
        """No plane yet."""
        nothing = np.zeros((count, 3))
        return cls(np.zeros(count, bool), nothing, np.zeros(count, int), nothing.copy())

    def put(self, at: np.ndarray, other: "_Found") -> None:
        """Take over what others found of some points."""
        self.is_known[at], self.normal[at] = other.is_known, other.normal
        self.key[at], self.centre[at] = other.key, other.centre


class _Cloud:
    """The scene, averaged over cubes."""

    def __init__(self, world: np.ndarray, key: np.ndarray, area: _Area) -> None:
        self._area = area
        averaged = _averaged(world, key, area.cube_m)
        self._world, self._count, self._first_key, self._last_key = averaged
        self._tree = KDTree(self._world) if len(key) else None

    @property
    def is_enough(self) -> bool:
        """Whether there can be a plane."""
        return len(self._world) >= _FEWEST

    def planes(self, points: np.ndarray, near_key: np.ndarray) -> _Found:
        """Least squares through the neighbours of each point; what is far off it is left out."""
        assert self._tree is not None
        area = self._area
        neighbours = min(area.neighbours, len(self._world))
        reach, index = self._tree.query(points, neighbours, distance_upper_bound=area.reach_m)
        good = np.isfinite(reach)
        index = np.where(good, index, 0)
        centre, normal, thin = _plane(self._world[index], good * self._count[index])
        nearest = index[:, 0]
        key = np.clip(near_key, self._first_key[nearest], self._last_key[nearest])
        is_known = (good.sum(axis=1) >= _FEWEST) & (thin[:, 0] < area.flattest_m)
        is_known &= thin[:, 0] < area.flattest_share * thin[:, 1]
        is_known &= thin[:, 1] > _SMALLEST_SPREAD_M
        return _Found(is_known, normal, key, centre)


def _plane(
    near: Float[np.ndarray, "n neighbours 3"], weight: Float[np.ndarray, "n neighbours"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre, normal, and standard deviations from the least to the largest, of each."""
    weight = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    centre = np.einsum("nk,nki->ni", weight, near)
    off = (near - centre[:, None]) * np.sqrt(weight)[..., None]
    variances, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", off, off))
    return centre, axes[:, :, 0], np.sqrt(np.maximum(variances, 0))


def _averaged(
    points: Float[np.ndarray, "samples 3"], key: Int[np.ndarray, " samples"], cube_m: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Means of the points in each cube, how many, and the first and last key frame that saw it.

    A camera that stands still samples the same spots again and again.
    """
    if len(points) == 0:
        return points, np.zeros(0), key, key
    cubes = np.floor(points / cube_m).astype(np.int64)
    _, which, counts = np.unique(cubes, axis=0, return_inverse=True, return_counts=True)
    which = which.ravel()
    means = np.stack([np.bincount(which, column) for column in points.T], axis=1)
    first = np.full(len(counts), key.max())
    last = np.zeros(len(counts), key.dtype)
    np.minimum.at(first, which, key)
    np.maximum.at(last, which, key)
    return means / counts[:, None], counts.astype(float), first, last


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
