"""Errors of depth and person masks."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from human3r.types import FrameEstimate, ImageGeometry
from human3r_lab.evaluation.depth_metrics import ALIGNMENTS, depth_errors
from human3r_lab.evaluation.depth_pairs import DepthPairs
from human3r_lab.evaluation.measures import Measure
from human3r_lab.evaluation.truth import TrueView


class DepthPart:
    """Feed it every frame; pixels beyond some million wait on disk.

    Args:
        alignments: which of ``ALIGNMENTS`` to report.
        max_depth_m: truth from here on is left out.
        clip_m: aligned depth is clipped here.
    """

    def __init__(
        self,
        alignments: Sequence[str],
        *,
        max_depth_m: float = math.inf,
        clip_m: float = math.inf,
    ) -> None:
        self._alignments = tuple(alignments)
        self._max_depth_m = max_depth_m
        self._clip_m = clip_m
        self._pairs = DepthPairs()

    def add(self, view: TrueView, estimate: FrameEstimate) -> None:
        """One more frame.

        Raises:
            OutputError: the disk of temporary files is full.
        """
        if view.depth_m is None:
            return
        true = covered_part(view.depth_m, estimate.geometry)
        predicted = cv2.resize(
            estimate.depth, (true.shape[1], true.shape[0]), interpolation=cv2.INTER_CUBIC
        )
        valid = (true > 0) & (true < self._max_depth_m) & np.isfinite(true)
        self._pairs.add(predicted[valid], true[valid])

    def means(self) -> dict[str, Measure]:
        """Abs Rel, delta and scale, weighing as many as there are valid pixels."""
        found: dict[str, Measure] = {}
        for name in self._alignments if len(self._pairs) else ():
            alignment = ALIGNMENTS[name](self._pairs)
            errors = depth_errors(self._pairs, alignment, max_depth_m=self._clip_m)
            assert errors is not None
            suffix = "" if name == "metric" else f"_{name}"
            found[f"abs_rel{suffix}"] = Measure(errors.abs_rel, errors.num_pixels)
            found[f"delta_1{suffix}"] = Measure(errors.delta_1, errors.num_pixels)
            if name == "scale":
                found["depth_scale"] = Measure(alignment.scale, errors.num_pixels)
        return found

    def close(self) -> None:
        """Forget the pixels."""
        self._pairs.close()


class MaskPart:
    """Feed it every frame: which pixels belong to people."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._shared_px = 0
        self._joined_px = 0

    def add(self, view: TrueView, estimate: FrameEstimate) -> None:
        """One more frame."""
        if view.person_index is None:
            return
        true = at_network_pixels(view.person_index, estimate.geometry) > 0
        predicted = estimate.person_probability >= self._threshold
        self._shared_px += int((true & predicted).sum())
        self._joined_px += int((true | predicted).sum())

    def counts(self) -> dict[str, int]:
        """What the intersection over union is made of."""
        return {"mask_shared_px": self._shared_px, "mask_joined_px": self._joined_px}


def covered_part(source_map: np.ndarray, geometry: ImageGeometry) -> np.ndarray:
    """The part of a map of the whole image (height, width) that the network saw.

    The map may have another size than the image; borders are rounded to whole pixels of it.
    """
    size = np.array([source_map.shape[1], source_map.shape[0]])
    per_source_px = size / (geometry.source_width_px, geometry.source_height_px)
    corners = geometry.source_from_network(
        np.array([[0, 0], [geometry.width_px, geometry.height_px]]) - 0.5
    )
    low, high = np.rint((corners + 0.5) * per_source_px).astype(int)
    low, high = np.maximum(low, 0), np.minimum(high, size)
    return source_map[low[1] : high[1], low[0] : high[0]]


def at_network_pixels(source_map: np.ndarray, geometry: ImageGeometry) -> np.ndarray:
    """A map of the whole image at the network's pixels, by nearest neighbour."""
    height, width = source_map.shape[:2]
    u = geometry.source_from_network(
        np.stack([np.arange(geometry.width_px), np.zeros(geometry.width_px)], axis=-1)
    )[:, 0]
    v = geometry.source_from_network(
        np.stack([np.zeros(geometry.height_px), np.arange(geometry.height_px)], axis=-1)
    )[:, 1]
    columns = ((u + 0.5) * width / geometry.source_width_px).astype(int).clip(0, width - 1)
    rows = ((v + 0.5) * height / geometry.source_height_px).astype(int).clip(0, height - 1)
    return source_map[rows[:, None], columns[None]]
