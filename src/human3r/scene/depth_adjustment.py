"""Bundle adjustment of one image's depth: what a few features, seen from elsewhere too, say of all.

The depth network's error is smooth: where it is too near, so is what lies beside it at about the
same depth. So the error of the logarithm of depth is a Gaussian process over the image, and a
feature that is seen again from another place measures it at one pixel. Poses of the other cameras
are unknowns as well, for those that the odometry found lean on the very depth that is in question.
The scale stays the network's: of an error that all depth shares, images say nothing.

Sources: bundle adjustment, Triggs et al., 2000, by Gauss and Newton with Geman and McClure's
weights; Gaussian processes, Rasmussen and Williams, 2006, equations 2.23 to 2.26. The covariance
was measured on synthetic images of the split ``val``.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

_FEATURE_STDDEV = 0.25 / 224
"""Of a feature that is found again, in widths of the image."""
_ROUNDS = 4
_REACH, _FIRST_REACH = 2.0, 5.0
"""Features farther off, in standard deviations, lose their say; in the first round, and later."""
_FEWEST = 15
_EVERYWHERE, _WIDE = 0.2, 0.35
"""Shares of the variance that the whole image has in common, and that wide parts of it have."""
_WIDE_WIDTHS, _NARROW_WIDTHS = 80 / 224, 25 / 224
"""How far parts reach, in widths of the image."""
_REACH_LOG_DEPTH = 0.6
"""Neighbours whose logarithms of depth differ by this have little in common."""
_LARGEST_STEP, _LARGEST = 0.3, 0.5
"""Of the logarithm of depth: in one round, and altogether."""
_NEAREST = 0.05
"""Points nearer to another camera than this say nothing of it."""


@dataclass(frozen=True)
class DepthPrior:
    """What the network says at some pixels of an image."""

    places: Float[np.ndarray, "pixels 2"]
    """Column and row, in widths of the image."""
    log_depth: Float[np.ndarray, " pixels"]
    stddev: Float[np.ndarray, " pixels"]
    """Of the logarithm of depth."""

    def covariance(self, other: "DepthPrior") -> Float[np.ndarray, "pixels others"]:
        """Of the errors at these and at other pixels of the same image."""
        square = (self.places**2).sum(1)[:, None] + (other.places**2).sum(1)
        apart = np.sqrt(np.maximum(square - 2 * self.places @ other.places.T, 0))
        deeper = np.abs(self.log_depth[:, None] - other.log_depth)
        parts = _WIDE * np.exp(-apart / _WIDE_WIDTHS - deeper / _REACH_LOG_DEPTH)
        narrow = 1 - _EVERYWHERE - _WIDE
        parts += narrow * np.exp(-apart / _NARROW_WIDTHS - deeper / _REACH_LOG_DEPTH)
        return self.stddev[:, None] * (_EVERYWHERE + parts) * other.stddev


@dataclass(frozen=True)
class Sighting:
    """Where features of an image are in another one."""

    other_from_camera: Float[np.ndarray, "4 4"]
    """About; in the unit of the prior's depth."""
    pixels: Float[np.ndarray, "features 2"]
    """In the other image."""
    is_found: Bool[np.ndarray, " features"]
    camera: Float[np.ndarray, "3 3"]
    """Matrix K of the other image."""


@dataclass(frozen=True)
class Adjustment:
    """What features say of the depth of their whole image."""

    prior: DepthPrior
    """At the features."""
    for_error: Float[np.ndarray, " features"]
    for_explained: Float[np.ndarray, " features"]
    """Weights of the covariance with each feature."""

    def at(
        self, prior: DepthPrior
    ) -> tuple[Float[np.ndarray, " pixels"], Float[np.ndarray, " pixels"]]:
        """At other pixels: what to add to the logarithm of depth, and the share of variance known.

        That share is what features explain, interpolated as the error itself: 0 where nothing is
        known, 1 where depth is measured exactly.
        """
        covariance = prior.covariance(self.prior)
        error = np.clip(covariance @ self.for_error, -_LARGEST, _LARGEST)
        return error, np.clip(covariance @ self.for_explained / prior.stddev, 0, 1)


def adjust(
    rays: Float[np.ndarray, "features 3"],
    prior: DepthPrior,
    sightings: list[Sighting],
    width_px: int,
) -> Adjustment | None:
    """Depth at features and poses of other cameras that agree with each other; None when none do.

    Args:
        rays: of the features, camera frame, 1 deep.
        prior: at the features.
        sightings: of the same features in other images.
        width_px: of the images.
    """
    sightings = [sighting for sighting in sightings if sighting.is_found.sum() >= _FEWEST]
    if not sightings:
        return None
    num = len(rays)
    information = np.linalg.inv(prior.covariance(prior) + 1e-6 * np.eye(num))
    error, poses = np.zeros(num), [sighting.other_from_camera for sighting in sightings]
    for number in range(_ROUNDS):
        reach = _REACH if number else _FIRST_REACH
        points = rays * np.exp(prior.log_depth + error)[:, None]
        terms = [
            _terms(points, pose, sighting, width_px, reach)
            for pose, sighting in zip(poses, sightings, strict=True)
        ]
        normal, side = _normal_equations(information, error, terms)
        step = np.linalg.solve(normal, side)
        error = error + np.clip(step[:num], -_LARGEST_STEP, _LARGEST_STEP)
        changes = step[num:].reshape(-1, 6)
        poses = [_moved(pose, change) for pose, change in zip(poses, changes, strict=True)]
    left = np.diag(np.linalg.inv(normal))[:num] / prior.stddev**2  # pyright: ignore[reportPossiblyUnboundVariable]
    explained = information @ (prior.stddev * np.clip(1 - left, 0, 1))
    return Adjustment(prior, information @ error, explained)


_Terms = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Off by (features, 2), derivatives by log depth and pose (features, 2, 7), weights (features,)."""


def _terms(
    points: Float[np.ndarray, "features 3"],
    other_from_camera: Float[np.ndarray, "4 4"],
    sighting: Sighting,
    width_px: int,
    reach: float,
) -> _Terms:
    """What one image says; a pose changes from the left, by translation and rotation."""
    turned = points @ other_from_camera[:3, :3].T
    there = turned + other_from_camera[:3, 3]
    depth = np.maximum(there[:, 2], _NEAREST)
    seen = there / depth[:, None]
    off = sighting.pixels - seen @ sighting.camera[:2].T
    by_place = np.zeros((len(points), 2, 3))
    by_place[:, 0, 0] = by_place[:, 1, 1] = 1 / depth
    by_place[:, :, 2] = -seen[:, :2] / depth[:, None]
    by_place *= np.diag(sighting.camera)[:2, None]
    by_depth = by_place @ turned[:, :, None]
    by_turn = np.cross(there[:, None], by_place)
    variance = (_FEATURE_STDDEV * width_px) ** 2
    weight = (1 + (off**2).sum(1) / (variance * reach**2)) ** -2 / variance
    weight *= sighting.is_found & (there[:, 2] > _NEAREST)
    return off, np.concatenate((by_depth, by_place, by_turn), axis=2), weight


def _normal_equations(
    information: Float[np.ndarray, "features features"],
    error: Float[np.ndarray, " features"],
    terms: list[_Terms],
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and right side for a step of all log depths, then of each pose."""
    num = len(error)
    normal, side = np.zeros((num + 6 * len(terms),) * 2), np.zeros(num + 6 * len(terms))
    normal[:num, :num], side[:num] = information, -information @ error
    every = np.arange(num)
    for index, (off, by, weight) in enumerate(terms):
        pose = slice(num + 6 * index, num + 6 * index + 6)
        weighted = by * weight[:, None, None]
        normal[every, every] += (weighted[:, :, 0] * by[:, :, 0]).sum(1)
        normal[:num, pose] = (weighted[:, :, :1] * by[:, :, 1:]).sum(1)
        normal[pose, :num] = normal[:num, pose].T
        normal[pose, pose] = np.tensordot(weighted[:, :, 1:], by[:, :, 1:], ((0, 1), (0, 1)))
        normal[pose, pose] += 1e-9 * np.trace(normal[pose, pose]) * np.eye(6)
        side[:num] += (weighted[:, :, 0] * off).sum(1)
        side[pose] = (weighted[:, :, 1:] * off[:, :, None]).sum((0, 1))
    return normal, side


def _moved(
    other_from_camera: Float[np.ndarray, "4 4"], change: Float[np.ndarray, "6"]
) -> Float[np.ndarray, "4 4"]:
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = cv2.Rodrigues(change[3:])[0], change[:3]
    return motion @ other_from_camera
