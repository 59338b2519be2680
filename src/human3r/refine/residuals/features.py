"""Features of the static scene: seen in one key frame with their depth, they appear in others.

Found by the corners of Shi and Tomasi 1994, followed by Lucas and Kanade 1981, both by OpenCV;
the residual is the reprojection error of every bundle adjustment (Triggs et al. 2000).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int

from human3r.geometry import invert
from human3r.refine.recording import Recording, View
from human3r.refine.residuals.derivatives import cross, scaled
from human3r.refine.solver import Block, Residuals
from human3r.refine.unknowns import Layout, State

_APART = (1, 3, 10)
"""Key frames between which features are followed."""
_MOST, _APART_PX, _AWAY_FROM_PEOPLE_PX = 80, 5, 9
_WINDOW_PX, _LEVELS = 15, 2
_THERE_AND_BACK_PX = 0.7
_OFF_PX, _OFF_SHARE = 3.0, 0.3
"""Farthest from where the live path has them, pixels and a share of how far they moved."""
_STDDEV_PX = 0.4
_DEPTH_SHARE = 0.05
"""Of the depth of one feature against the others."""
_COUNTS = 15.0
"""All features of a pair count as so many: their depth errs together."""
_ROBUST = 3.0
_FEWEST = 12
_NEAREST_M = 0.1
_HELD_OUT = 4
"""One of so many features is kept for the test of the outcome."""


@dataclass(frozen=True)
class FeaturePairs:
    """Where points of one key frame appear in another."""

    key: Int[np.ndarray, " n"]
    place: Float[np.ndarray, "n 3"]
    """In the camera frame of ``key``, not scaled."""
    other: Int[np.ndarray, " n"]
    pixel: Float[np.ndarray, "n 2"]
    """Where it appears, from the principal point, over the focal length."""
    stddev: Float[np.ndarray, " n"]
    """Of ``pixel``, in the same unit."""

    def steps_seen(self, num_keys: int) -> np.ndarray:
        """(keys - 1,) bool: over which steps from key to key there are some."""
        is_seen = np.zeros(num_keys - 1, bool)
        is_seen[self.key[self.other - self.key == 1]] = True
        return is_seen

    def chosen(self, which: np.ndarray) -> "FeaturePairs":
        """Some of them."""
        return FeaturePairs(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def no_features() -> FeaturePairs:
    """None at all."""
    none, empty = np.zeros(0, int), np.zeros((0, 3))
    return FeaturePairs(none, empty, none, np.zeros((0, 2)), np.zeros(0))


@dataclass(frozen=True)
class Features:
    """Features appear where cameras have them."""

    layout: Layout
    pairs: FeaturePairs

    def residuals(self, state: State) -> list[Residuals]:
        """Reprojection errors, one of two numbers per feature and pair."""
        pairs = self.pairs
        if len(pairs.key) == 0:
            return []
        # a: where it was seen first; b: where it appears.
        ra, rb = state.rotation[pairs.key], state.rotation[pairs.other]
        there = scaled(self.layout, state, pairs.key, pairs.place)
        world = np.einsum("nij,nj->ni", ra, there) + state.centre[pairs.key]
        seen = np.einsum("nji,nj->ni", rb, world - state.centre[pairs.other])
        depth = np.maximum(seen[:, 2:], _NEAREST_M)
        factor = 1 / pairs.stddev[:, None]
        values = (seen[:, :2] / depth - pairs.pixel) * factor
        by_seen = np.zeros((len(seen), 2, 3))
        by_seen[:, 0, 0] = by_seen[:, 1, 1] = 1
        by_seen[:, :, 2] = -seen[:, :2] / depth
        by_seen *= (factor / depth)[:, :, None]
        back = np.swapaxes(rb, 1, 2)
        by_world = by_seen @ back
        of_a = np.concatenate([-by_world @ ra @ cross(there), by_world], axis=2)
        of_b = np.concatenate([by_seen @ cross(seen), -by_world], axis=2)
        of_scale = by_world @ ra @ there[:, :, None]
        at = self.layout.scale_at + self.layout.chunk[pairs.key]
        blocks = [Block(6 * pairs.key, of_a), Block(6 * pairs.other, of_b), Block(at, of_scale)]
        return [Residuals(values, blocks, _ROBUST)]


def follow_features(
    recording: Recording, keys: Int[np.ndarray, " keys"]
) -> tuple[FeaturePairs, FeaturePairs]:
    """Features of key frames followed to later ones: those to solve with, and those held out.

    None where no images were saved. Only pairs of one session count.
    """
    found, pose = [], recording.world_from_camera[keys]
    views: dict[int, tuple[View, np.ndarray] | None] = {}
    for key in range(len(keys)):
        views[key] = _grey(recording.view(int(keys[key])))
        views.pop(key - max(_APART) - 1, None)
        for apart in _APART:
            a, b = views.get(key - apart), views[key]
            if (
                a is None
                or b is None
                or recording.session[keys[key - apart]] != (recording.session[keys[key]])
            ):
                continue
            pair = _followed(a, b, invert(pose[key]) @ pose[key - apart])
            if pair is not None:
                found.append((np.full(len(pair[0]), key - apart), *pair, key))
    if not found:
        return no_features(), no_features()
    columns = [
        (first, place, np.full(len(first), other), pixel, stddev)
        for first, place, pixel, stddev, other in found
    ]
    everything = FeaturePairs(*(np.concatenate(column) for column in zip(*columns, strict=True)))
    # Neighbours in the list are of one pair: every fourth is of all pairs and places.
    is_held = np.arange(len(everything.key)) % _HELD_OUT == 0
    return everything.chosen(~is_held), everything.chosen(is_held)


def _grey(view: View | None) -> tuple[View, np.ndarray] | None:
    if view is None or view.image is None:
        return None
    return view, cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY)


def _followed(
    a: tuple[View, np.ndarray], b: tuple[View, np.ndarray], b_from_a: Float[np.ndarray, "4 4"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Places in a, where they appear in b, and the standard deviation of that.

    The live path says where to look; what is found far from there is something else.
    """
    (view, image), (other, other_image) = a, b
    size = _AWAY_FROM_PEOPLE_PX
    mask = cv2.erode(view.is_scene.astype(np.uint8), np.ones((size, size), np.uint8))
    start = cv2.goodFeaturesToTrack(image, _MOST, 0.01, _APART_PX, mask=mask)
    if start is None or len(start) < _FEWEST:
        return None
    start = start[:, 0].astype(float)
    column, row = np.round(start).astype(int).T
    rays = np.column_stack([start, np.ones(len(start))]) @ np.linalg.inv(view.camera).T
    place = rays * view.depth[row, column][:, None]
    guess = _pixels(other, place @ b_from_a[:3, :3].T + b_from_a[:3, 3])
    height, width = view.depth.shape
    inside = ((guess >= 0) & (guess <= [width - 1, height - 1])).all(axis=1)
    start, rays, place, guess = start[inside], rays[inside], place[inside], guess[inside]
    if len(start) < _FEWEST:
        return None
    there, is_found = _tracked(image, other_image, start, guess)
    back, is_back = _tracked(other_image, image, there, start)
    good = is_found & is_back & (np.linalg.norm(back - start, axis=1) < _THERE_AND_BACK_PX)
    good &= ((there >= 0) & (there <= [width - 1, height - 1])).all(axis=1)
    # Depth that is off shows by as much as the feature moved because the camera did.
    moved = np.linalg.norm(guess - _pixels(other, rays @ b_from_a[:3, :3].T), axis=1)
    good &= np.linalg.norm(there - guess, axis=1) < _OFF_PX + _OFF_SHARE * moved
    column, row = np.round(np.where(good[:, None], there, 0)).astype(int).T
    good &= other.is_scene[row, column]
    if good.sum() < _FEWEST:
        return None
    camera = other.camera
    pixel = (there[good] - camera[:2, 2]) / camera[[0, 1], [0, 1]]
    stddev = np.hypot(_STDDEV_PX, _DEPTH_SHARE * moved[good]) / camera[0, 0]
    return place[good], pixel, stddev * np.sqrt(max(1.0, good.sum() / _COUNTS))


def _pixels(view: View, points: np.ndarray) -> Float[np.ndarray, "n 2"]:
    depth = np.maximum(points[:, 2:], _NEAREST_M)
    return (points / depth) @ view.camera[:2].T


def _tracked(
    image: np.ndarray, other: np.ndarray, start: np.ndarray, guess: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where features are in another image, and whether they were found."""
    there, is_found, _ = cv2.calcOpticalFlowPyrLK(
        image,
        other,
        start[:, None].astype(np.float32),
        guess[:, None].astype(np.float32),
        winSize=(_WINDOW_PX, _WINDOW_PX),
        maxLevel=_LEVELS,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return there[:, 0].astype(float), is_found[:, 0] > 0
