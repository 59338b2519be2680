"""Whether a camera stood still, turned or moved between two images, and by how much, from features.

Depth that is off by a fifth and features that are off by a fraction of a pixel make a camera that
stands still tremble. So the simplest motion is taken that explains the features about as well as
any: none, a turn on the spot, a free motion. All three are judged by the same robust misfit, as in
Torr, Geometric motion segmentation and model selection, 1998.

Turn: Kabsch's algorithm, iterated with Tukey's weights. Free motion: RANSAC, Fischler and Bolles,
1981, and Levenberg-Marquardt, by OpenCV; its covariance from the normal equations.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from human3r.geometry.rigid import invert

_FEATURE_STDDEV = 0.3 / 224
"""Of a followed feature, in widths of the image."""
_LARGEST_TERM = 9.0
"""A feature off by more than three standard deviations counts as off by three."""
_NO_WORSE = 0.35
"""A simpler motion is taken when its mean squared misfit, in variances, is larger by less."""
_MISFIT = 2 / 224
"""A feature fits a motion when it appears no farther off than this, in widths of the image."""
FEWEST_FITTING = 12
_FITTING_SHARE = 0.4
_TURN_ROUNDS = 5
_TURN_REACH = 3.0
"""Features farther off, in standard deviations, have no say in a turn."""
_DEPTH_SHARE = 0.2
"""Standard deviation of a feature's depth, over its depth."""
_ALIKE = 4.0
"""So many features err alike, as depth is smooth; measured on synthetic sequences."""
_CREEP_RADIANS = 0.3e-3
"""Smaller turns pass for none."""


@dataclass(frozen=True)
class FeaturePose:
    """How the camera stands to the key image."""

    key_from_camera: Float[np.ndarray, "4 4"]
    """Exactly the identity for a camera that stands still."""
    fits: Bool[np.ndarray, " features"]
    """Which features agree."""
    covariance: Float[np.ndarray, "6 6"]
    """Of translation, then rotation, from the right: key_from_camera exp(error)."""


class _Features:
    """Features of a key image, with depth, and where they are now."""

    def __init__(
        self,
        points_key: Float[np.ndarray, "features 3"],
        pixels: Float[np.ndarray, "features 2"],
        camera: Float[np.ndarray, "3 3"],
        width_px: int,
    ) -> None:
        self.points_key, self.pixels = points_key, pixels.astype(np.float64)
        self.camera, self.width_px = camera, width_px

    def off(self, camera_from_key: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, " features"]:
        """Pixels between where features are and where they should be."""
        there = self.points_key @ camera_from_key[:3, :3].T + camera_from_key[:3, 3]
        in_front = np.maximum(there[:, 2:], 1e-6)
        seen = (there / in_front) @ self.camera[:2].T
        return np.linalg.norm(seen - self.pixels, axis=1)

    def misfit(self, off_px: Float[np.ndarray, " features"]) -> float:
        """Mean squared distance in variances, each at most ``_LARGEST_TERM``."""
        scaled = off_px / (_FEATURE_STDDEV * self.width_px)
        return float(np.minimum(scaled**2, _LARGEST_TERM).mean())

    def fits(self, off_px: Float[np.ndarray, " features"]) -> Bool[np.ndarray, " features"]:
        """Which features are where they should be."""
        return off_px <= _MISFIT * self.width_px


def find_pose(
    points_key: Float[np.ndarray, "features 3"],
    pixels: Float[np.ndarray, "features 2"],
    camera: Float[np.ndarray, "3 3"],
    width_px: int,
    start: Float[np.ndarray, "4 4"],
) -> FeaturePose | None:
    """The simplest motion that explains the features; None when too few agree on any.

    Args:
        points_key: features in the frame of the key image's camera.
        pixels: where they are in the present image.
        camera: matrix K of both images.
        width_px: of both images.
        start: key_from_camera of the image before.
    """
    features = _Features(points_key, pixels, camera, width_px)
    still = np.eye(4)
    candidates = [still]
    if features.misfit(features.off(still)) > _NO_WORSE:
        candidates.append(_turn(features))
        moved = _motion(features, start)
        candidates += [] if moved is None else [moved]
    misfits = [features.misfit(features.off(pose)) for pose in candidates]
    chosen = next(i for i, misfit in enumerate(misfits) if misfit <= min(misfits) + _NO_WORSE)
    fits = features.fits(features.off(candidates[chosen]))
    if fits.sum() < max(FEWEST_FITTING, _FITTING_SHARE * len(pixels)):
        return None
    pose = invert(candidates[chosen])
    return FeaturePose(pose, fits, _covariance(features, candidates[chosen], fits))


def _turn(features: _Features) -> Float[np.ndarray, "4 4"]:
    """camera_from_key of a camera that turned on the spot."""
    rays = np.column_stack((features.pixels, np.ones(len(features.pixels))))
    rays = rays @ np.linalg.inv(features.camera).T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    before = features.points_key / np.linalg.norm(features.points_key, axis=1, keepdims=True)
    pose, weight = np.eye(4), np.ones(len(rays))
    for _ in range(_TURN_ROUNDS):
        u, _, vt = np.linalg.svd((rays * weight[:, None]).T @ before)
        pose[:3, :3] = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        off = features.off(pose)
        # The first rounds reach as far as half of the features need.
        reach = max(_TURN_REACH * _FEATURE_STDDEV * features.width_px, 2 * float(np.median(off)))
        weight = np.clip(1 - (off / reach) ** 2, 0, None) ** 2
    return pose


def _motion(
    features: _Features, key_from_camera: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "4 4"] | None:
    """camera_from_key of a camera that moved freely; None when nothing is found."""
    last = invert(key_from_camera)
    is_found, rotation, translation, fits = cv2.solvePnPRansac(
        features.points_key,
        features.pixels,
        features.camera,
        None,
        rvec=cv2.Rodrigues(last[:3, :3])[0],
        tvec=last[:3, 3:].copy(),
        useExtrinsicGuess=True,
        reprojectionError=_MISFIT * features.width_px,
        flags=cv2.SOLVEPNP_ITERATIVE,
    )
    if not is_found or len(fits) < FEWEST_FITTING:
        return None
    fits = fits[:, 0]
    rotation, translation = cv2.solvePnPRefineLM(
        features.points_key[fits],  # pyright: ignore[reportArgumentType, reportCallIssue]
        features.pixels[fits],  # pyright: ignore[reportArgumentType, reportCallIssue]
        features.camera,
        None,
        rotation,
        translation,
    )
    camera_from_key = np.eye(4)
    camera_from_key[:3, :3] = cv2.Rodrigues(rotation)[0]
    camera_from_key[:3, 3:] = translation
    return camera_from_key if np.isfinite(camera_from_key).all() else None


def _covariance(
    features: _Features,
    camera_from_key: Float[np.ndarray, "4 4"],
    fits: Bool[np.ndarray, " features"],
) -> Float[np.ndarray, "6 6"]:
    """Of key_from_camera, from features whose places and depths are both uncertain.

    A feature whose depth is off appears off by as much as the motion lets it: by the parallax times
    the share of depth. A camera that stands still has none, and small motions hide in the features'
    own noise.
    """
    there = features.points_key[fits] @ camera_from_key[:3, :3].T + camera_from_key[:3, 3]
    x, y, z = there[:, 0], there[:, 1], np.maximum(there[:, 2], 1e-3)
    zero, one = np.zeros_like(x), np.ones_like(x)
    focal = features.camera[0, 0]
    # By how much a point moves in the image when the camera moves, and turns, by a little.
    rows = [
        np.stack([-one / z, zero, x / z**2, x * y / z**2, -(1 + x**2 / z**2), y / z], -1),
        np.stack([zero, -one / z, y / z**2, 1 + y**2 / z**2, -x * y / z**2, -x / z], -1),
    ]
    shift = camera_from_key[:3, 3]
    parallax = np.hypot(shift[0] - x / z * shift[2], shift[1] - y / z * shift[2]) / z * focal
    variance = (_FEATURE_STDDEV * features.width_px) ** 2 + (_DEPTH_SHARE * parallax) ** 2
    normal = sum(row.T @ (row / variance[:, None]) for row in rows) * focal**2
    creep = np.diag([0.0] * 3 + [_CREEP_RADIANS**2] * 3)
    return _ALIKE * np.linalg.inv(normal + 1e-9 * np.trace(normal) * np.eye(6)) + creep
