"""Least-squares similarity between corresponding points, many sets at once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Similarity:
    """Scale, rotation and translation: ``target = scale * rotation @ source + translation``."""

    scale: Float[np.ndarray, "*batch"]
    rotation: Float[np.ndarray, "*batch 3 3"]
    translation: Float[np.ndarray, "*batch 3"]

    def apply(
        self, points: Float[np.ndarray, "*batch points 3"]
    ) -> Float[np.ndarray, "*batch points 3"]:
        """Source points in the target frame."""
        rotated = points @ np.swapaxes(self.rotation, -1, -2)
        return self.scale[..., None, None] * rotated + self.translation[..., None, :]


def align_similarity(
    source: Float[np.ndarray, "*batch points 3"],
    target: Float[np.ndarray, "*batch points 3"],
    *,
    with_scale: bool = True,
) -> Similarity:
    """The similarity, or rigid motion, that brings source closest to target.

    Points that do not fix a rotation (fewer than three, or on a line) get one of the best ones;
    source points that all coincide keep scale 1. A reflection is never returned.

    Args:
        source: positions in metres, any frame.
        target: the same points in the target frame.
        with_scale: False keeps the scale at 1.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two
    point patterns", eq. 40-43.
    """
    source = np.asarray(source, np.float64)
    target = np.asarray(target, np.float64)
    source_mean, target_mean = source.mean(-2), target.mean(-2)
    centred = source - source_mean[..., None, :]
    covariance = np.swapaxes(target - target_mean[..., None, :], -1, -2) @ centred
    u, singular, vt = np.linalg.svd(covariance)
    signs = np.ones_like(singular)
    signs[..., 2] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    rotation = (u * signs[..., None, :]) @ vt
    spread = (centred**2).sum((-1, -2))
    scale = np.ones(spread.shape)
    if with_scale:
        np.divide((singular * signs).sum(-1), spread, out=scale, where=spread > 0)
    moved = (rotation @ source_mean[..., None])[..., 0]
    return Similarity(scale, rotation, target_mean - scale[..., None] * moved)
