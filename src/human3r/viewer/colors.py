"""Colours: one per person, stable over runs; and depth as colour."""

import colorsys

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Rgb = tuple[int, int, int]

_GOLDEN_RATIO = 0.618034
_FIRST_HUE = 0.57


def person_color(track_id: int) -> Rgb:
    """A bright colour for an identity; neighbouring ids get hues far apart."""
    hue = (_FIRST_HUE + track_id * _GOLDEN_RATIO) % 1.0
    # Blue looks darker than yellow at the same value, so it gets less saturation.
    saturation = 0.58 if 0.55 < hue < 0.8 else 0.66
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, 0.97)
    return round(255 * red), round(255 * green), round(255 * blue)


def colorize_depth(
    depth: Float[np.ndarray, "height width"],
    near_m: float | None = None,
    far_m: float | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Depth in metres as RGB: near is warm, far is cold, unknown is black.

    Args:
        depth: metres along the optical axis; not finite or not positive means unknown.
        near_m: depth of the warmest colour; by default the 2nd percentile of what is known.
        far_m: depth of the coldest colour; by default the 98th percentile.
    """
    known = np.isfinite(depth) & (depth > 0)
    if not known.any():
        return np.zeros((*depth.shape, 3), np.uint8)
    nearness = np.zeros(depth.shape, np.float32)
    np.divide(1.0, depth, out=nearness, where=known)
    sample = depth[known][:: max(1, int(known.sum()) // 20_000)]
    low, high = np.percentile(sample, (2, 98))
    bottom, top = 1 / (far_m or float(high)), 1 / (near_m or float(low))
    scaled = np.clip((nearness - bottom) / max(top - bottom, 1e-6), 0, 1)
    bgr = cv2.applyColorMap(np.round(255 * scaled).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.where(known[..., None], bgr[..., ::-1], np.uint8(0))
