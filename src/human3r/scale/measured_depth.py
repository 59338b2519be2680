"""A depth camera's values in the place of the network's, and the network's in its holes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from human3r.types import FrameEstimate

RANGE_M = (0.3, 8.0)
"""Where depth cameras measure to a few percent."""
_MIN_SHARE = 0.02
"""Of the pixels; with fewer measured the image stays the network's."""
_CONFIDENCE = 30.0
"""Of a measured pixel, on the scale of ``FrameEstimate.confidence``: a relative error of 1 %."""


def with_measured_depth(
    estimate: FrameEstimate, measure: Callable[[np.ndarray], np.ndarray]
) -> FrameEstimate:
    """The estimate with measured depth where there is any; holes keep the shape the network has.

    What the network says in the holes is scaled by the median ratio at the measured pixels, so that
    both are one surface.

    Args:
        estimate: in metres, along the rays of its ``intrinsics``.
        measure: as of ``ScaleSources.depth_at``.
    """
    rows, columns = np.indices(estimate.depth.shape)
    pixels = estimate.geometry.source_from_network(np.stack([columns, rows], -1).reshape(-1, 2))
    measured_m = np.asarray(measure(pixels), np.float64).reshape(estimate.depth.shape)
    depth_m = estimate.depth.astype(np.float64)
    # A comparison with NaN is false.
    is_measured = (measured_m >= RANGE_M[0]) & (measured_m <= RANGE_M[1])
    both = is_measured & (depth_m > 0)
    if is_measured.mean() < _MIN_SHARE or not both.any():
        return estimate
    ratio = np.exp(np.median(np.log(measured_m[both] / depth_m[both])))
    filled_m = np.where(is_measured, measured_m, depth_m * ratio)
    camera = estimate.intrinsics
    rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy], -1)
    points = np.concatenate([rays * filled_m[..., None], filled_m[..., None]], -1)
    confidence = np.where(is_measured, np.float32(_CONFIDENCE), estimate.confidence)
    return replace(
        estimate,
        points_camera=points.astype(np.float32),
        confidence=confidence.astype(np.float32),
        is_depth_measured=True,
    )
