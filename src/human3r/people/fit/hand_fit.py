"""Hands fitted to their landmarks: palm, and bends of the fingers within what fingers can do.

Landmarks in the image are good to a fiftieth of a hand's region; their depths are so poor that
the palm of one person comes out between 22 and 60 mm wide. So a hand of known size is fitted: how
far it turns out of the image follows from how short it looks there, depths say to which side.
"""

from dataclasses import dataclass

import numpy as np

from human3r.people.fit.fingers import LEAST, MOST, ORDER, HandSkeleton
from human3r.people.fit.rotations import cross_matrices, matrices
from human3r.people.hands import FINGERS, NUM_POINTS

_STEPS = 6
_IMAGE_SIGMA = 0.02
"""Of a landmark in the image, as a share of the region's side."""
_DEPTH_SIGMA_M, _SCALE_SIGMA = 0.03, 0.12
_RELAXED = np.deg2rad([(25, 0, 35, 20)] * 4 + [(0, 0, 15, 20)])
"""(5, 4) rad: fingers as they mostly are, of the bends that are fitted."""
_FLEXION_SIGMA, _SPREAD_SIGMA = np.deg2rad(35), np.deg2rad(10)
"""How far they mostly are from there."""
_DAMPING = 1e-3
_MAX_TURN_RAD = 0.5
_JOINTS, _KINDS = np.array([0, 0, 1, 2]), np.array([0, 1, 0, 0])
"""Bends that are fitted, of each finger: joint, flexion or spread."""
_CHAINS = np.array([FINGERS[finger] for finger in ORDER])
_MOVED = (np.arange(3) >= _JOINTS[:, None])[..., None]
"""(4, 3, 1): whether a bend moves the second, third, fourth point of its finger."""
_SCALE, _SHIFT, _BENDS = 3, slice(4, 6), slice(6, 26)
_NUM_UNKNOWNS = 26
"""Turn of the palm, logarithm of the scale, shift in the image, bends."""
_COLUMNS = np.arange(_BENDS.start, _BENDS.stop).reshape(5, 4)
_PRIOR_WEIGHTS = np.zeros(_NUM_UNKNOWNS)
_PRIOR_WEIGHTS[_SCALE] = _SCALE_SIGMA**-2
_PRIOR_WEIGHTS[_BENDS] = np.tile(np.where(_KINDS, _SPREAD_SIGMA, _FLEXION_SIGMA) ** -2.0, 5)


@dataclass(frozen=True)
class HandEvidence:
    """Landmarks of hands, as cameras see them that look straight at each."""

    sides: np.ndarray
    """(n,) indices into ``SIDES``."""
    rays: np.ndarray
    """(n, 21, 2) directions at depth 1."""
    sigmas: np.ndarray
    """(n,) of the rays, as ``ray_sigma`` gives them."""
    depths_m: np.ndarray
    """(n, 21) about any depth."""
    distances: np.ndarray
    """(n,) expected distance over the size of the hand, an average adult's being 1."""


@dataclass(frozen=True)
class FittedHands:
    """Hands in the axes of cameras that look straight at them."""

    palms: np.ndarray
    """(n, 3, 3) turns from the rest pose."""
    bends: np.ndarray
    """(n, 5, 3, 2) rad, see ``HandSkeleton``."""
    misfits: np.ndarray
    """(n,) root of the mean squared error in the image, in standard deviations."""


def ray_sigma(side_px: float, focal_px: float) -> float:
    """Standard deviation of rays to landmarks of a region."""
    return _IMAGE_SIGMA * side_px / focal_px


def fit_hands(skeleton: HandSkeleton, given: HandEvidence) -> FittedHands:
    """Palms and bends by damped Gauss-Newton steps from the closed form."""
    sides, count = given.sides, len(given.sides)
    scales = 1 / given.distances
    in_metres = given.rays * given.distances[:, None, None]
    points = np.concatenate([in_metres, given.depths_m[..., None]], -1)
    palms = skeleton.palms(points, sides)
    bends = skeleton.bends(points, sides, palms)
    shifts = given.rays.mean(1) - scales[:, None] * skeleton.pose(palms, bends, sides)[0][
        ..., :2
    ].mean(1)
    for _ in range(_STEPS):
        rows, errors = _equations(given, skeleton.pose(palms, bends, sides), scales, shifts)
        unlikely = np.zeros((count, _NUM_UNKNOWNS))
        unlikely[:, _SCALE] = np.log(scales * given.distances)
        unlikely[:, _BENDS] = (bends[:, :, _JOINTS, _KINDS] - _RELAXED).reshape(count, -1)
        normal = rows.swapaxes(1, 2) @ rows + np.diag(_PRIOR_WEIGHTS + _DAMPING)
        slope = (errors[:, None] @ rows)[:, 0] + _PRIOR_WEIGHTS * unlikely
        step = np.linalg.solve(normal, -slope[..., None])[..., 0]
        length = np.linalg.norm(step[:, :3], axis=1, keepdims=True)
        turn = step[:, :3] * np.minimum(1, _MAX_TURN_RAD / np.maximum(length, 1e-9))
        palms = matrices(turn) @ palms
        scales = scales * np.exp(np.clip(step[:, _SCALE], -0.5, 0.5))
        shifts = shifts + step[:, _SHIFT]
        bends[:, :, _JOINTS, _KINDS] += step[:, _BENDS].reshape(count, -1, len(_JOINTS))
        bends = np.clip(bends, LEAST, MOST)
    points, _ = skeleton.pose(palms, bends, sides)
    flat = scales[:, None, None] * points[..., :2] + shifts[:, None] - given.rays
    misfits = np.sqrt((flat**2).mean((1, 2))) / given.sigmas
    return FittedHands(palms, bends, misfits)


def _equations(
    given: HandEvidence,
    posed: tuple[np.ndarray, np.ndarray],
    scales: np.ndarray,
    shifts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives (n, 63, 26) and values (n, 63) of errors, in standard deviations."""
    points, axes = posed
    count = len(points)
    moves = np.zeros((count, NUM_POINTS, _NUM_UNKNOWNS, 3))
    moves[:, :, :3] = cross_matrices(points)
    chains = points[:, _CHAINS]
    arms = chains[:, :, None, 1:] - chains[:, :, _JOINTS, None]
    turned = (cross_matrices(axes[:, :, _JOINTS, _KINDS])[:, :, :, None] @ arms[..., None])[..., 0]
    moves[:, _CHAINS[:, None, 1:], _COLUMNS[..., None]] = turned * _MOVED
    flat, deep = moves[..., :2] * scales[:, None, None, None], moves[..., 2]
    flat[:, :, _SCALE] = scales[:, None, None] * points[..., :2]
    flat[:, :, _SHIFT] = np.eye(2)
    off = scales[:, None, None] * points[..., :2] + shifts[:, None] - given.rays
    off_deep = points[..., 2] - given.depths_m
    deep = (deep - deep.mean(1, keepdims=True)) / _DEPTH_SIGMA_M
    off_deep = (off_deep - off_deep.mean(1, keepdims=True)) / _DEPTH_SIGMA_M
    flat = flat.swapaxes(2, 3).reshape(count, -1, _NUM_UNKNOWNS) / given.sigmas[:, None, None]
    off = off.reshape(count, -1) / given.sigmas[:, None]
    return np.concatenate([flat, deep], 1), np.concatenate([off, off_deep], 1)
