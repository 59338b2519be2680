"""What a depth camera gives: the scale, and its own values in the place of the network's.

The scale is the median ratio of measured depth to the network's. One frame gives one vote, the
median over its pixels of log(measured / network). Votes of frames that follow each other closely
err alike, so only one per second counts as independent.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from human3r.scale.guess import Guess, judged, robust_middle
from human3r.scale.sources import ScaleSources, Waiting
from human3r.types import FrameEstimate

RANGE_M = (0.3, 8.0)
"""Where depth cameras measure to a few percent."""
_MIN_MEASURED_SHARE = 0.02
"""Of the pixels; with fewer measured the image stays the network's."""
_CONFIDENCE = 30.0
"""Of a measured pixel, on the scale of ``FrameEstimate.confidence``: a relative error of 1 %."""
_MAX_PIXELS = 4000
_MIN_PIXELS = 100
_WINDOW_NS = 20_000_000_000
_MIN_FRAMES, _MAX_FRAMES = 5, 200
_INDEPENDENT_NS = 1_000_000_000
_WHAT = "measured depth against the network's"
_REMEDY = (
    "Check that the depth image is aligned to the colour image and in metres (32FC1) or "
    "millimetres (16UC1)."
)


class DepthScale:
    """Compares depth images; remembers the votes of the last twenty seconds."""

    def __init__(self, sources: ScaleSources) -> None:
        self._sources = sources
        self._waiting: Waiting = Waiting()
        self._votes: deque[tuple[int, float]] = deque(maxlen=_MAX_FRAMES)
        self._is_seen = False
        self._last_share = 0.0

    def forget(self) -> None:
        """A new world: what was measured of the old one says little about it."""
        self._waiting.clear()
        self._votes.clear()

    def update(self, raw: FrameEstimate) -> Guess:
        """What is known after a frame, whose lengths are in network units."""
        self._waiting.put(raw.stamp_ns, _sample(raw))
        for stamp_ns, (pixels, network), measure in self._waiting.matched(
            raw.stamp_ns, self._sources.depth_at
        ):
            self._is_seen = True
            self._compare(stamp_ns, network, measure(pixels))
        while self._votes and raw.stamp_ns - self._votes[0][0] > _WINDOW_NS:
            self._votes.popleft()
        return self._guess()

    def _compare(self, stamp_ns: int, network: np.ndarray, measured_m: np.ndarray) -> None:
        # A comparison with NaN is false.
        known = (measured_m >= RANGE_M[0]) & (measured_m <= RANGE_M[1])
        self._last_share = float(known.mean()) if len(known) else 0.0
        if known.sum() >= _MIN_PIXELS:
            ratio = np.log(measured_m[known].astype(np.float64) / network[known])
            self._votes.append((stamp_ns, float(np.median(ratio))))

    def _guess(self) -> Guess:
        count = len(self._votes)
        if not self._is_seen:
            reason = self._sources.trouble() or (
                "no depth image has come with the stamp of an image; expected one on topic depth. "
                "Publish it with the colour image's stamp, or remap depth."
            )
            return Guess(trouble=reason)
        if count < _MIN_FRAMES:
            return Guess(
                samples=count,
                trouble=f"depth was compared in {count} frames, the last one with depth from "
                f"{RANGE_M[0]} to {RANGE_M[1]} m in {self._last_share:.0%} of its pixels; "
                f"expected {_MIN_FRAMES} frames with {_MIN_PIXELS} such pixels.",
            )
        stamps, votes = zip(*self._votes, strict=True)
        middle = robust_middle(votes, 1 + (stamps[-1] - stamps[0]) / _INDEPENDENT_NS)
        return judged(float(np.exp(middle.value)), middle.stddev, count, _WHAT, _REMEDY)


def _sample(raw: FrameEstimate) -> tuple[np.ndarray, np.ndarray]:
    """Source pixels (n, 2) all over the picture, and the network's depth there (n,)."""
    step = max(1, round((raw.depth.size / _MAX_PIXELS) ** 0.5))
    rows, cols = np.mgrid[
        step // 2 : raw.depth.shape[0] : step, step // 2 : raw.depth.shape[1] : step
    ]
    keep = ((raw.depth > 0) & np.isfinite(raw.depth))[rows, cols]
    rows, cols = rows[keep], cols[keep]
    pixels = raw.geometry.source_from_network(np.stack([cols, rows], -1).astype(np.float64))
    return pixels, raw.depth[rows, cols].astype(np.float64)


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
    if is_measured.mean() < _MIN_MEASURED_SHARE or not both.any():
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
