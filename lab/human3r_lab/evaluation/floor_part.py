"""Do people stand on the floor? Heights of soles that are known to rest on it.

What counts is the difference to the true sole's height: heel and toe of the body are points of the
skin, a little above what they stand on.
"""

import numpy as np

from human3r.geometry import transform_points
from human3r.types import FrameEstimate
from human3r_lab.evaluation.body_metrics import MM_PER_M
from human3r_lab.evaluation.matched_frame import MatchedFrame
from human3r_lab.evaluation.measures import Measure, RunningMean
from human3r_lab.evaluation.scene_part import at_network_pixels
from human3r_lab.evaluation.truth import TrueView

_FLOOR_BAND_M = 0.02
_REACH_M = 1.0
_LEAST_POINTS = 30
_LEAST_WIDTH_M = 0.01
"""Root mean square; points on a line span no plane."""


class FloorPart:
    """Feed it every frame; memory stays flat."""

    def __init__(self) -> None:
        self._height_error = RunningMean()
        self._to_surface = RunningMean()

    def add(self, frame: MatchedFrame) -> None:
        """One more frame; it matters when it has people with a foot on a known floor."""
        view, estimate = frame.view, frame.estimate
        people = view.people
        if estimate is None or people is None or people.contacts is None:
            return
        if view.floor_height_m is None or view.world_from_camera is None:
            return
        standing = people.contacts[frame.true_rows]
        if not standing.any():
            return
        soles = frame.predicted.feet[standing].astype(np.float64)
        truly = frame.true.feet[standing].astype(np.float64)
        heights = [transform_points(view.world_from_camera, x)[:, 2] for x in (soles, truly)]
        self._height_error.add(MM_PER_M * np.abs(heights[0] - heights[1]))
        floor = _predicted_floor(view, estimate)
        for sole, true_height_m in zip(soles, heights[1] - view.floor_height_m, strict=True):
            height_m = _height_over(floor, sole)
            if height_m is not None:
                self._to_surface.add(MM_PER_M * abs(height_m - true_height_m))

    def means(self) -> dict[str, Measure]:
        """Mean distances over standing soles of matched people."""
        found = {
            "sole_height_error_mm": self._height_error.measure(),
            "sole_to_surface_mm": self._to_surface.measure(),
        }
        return {name: measure for name, measure in found.items() if measure is not None}


def _predicted_floor(view: TrueView, estimate: FrameEstimate) -> np.ndarray:
    """(points, 3) in the camera frame: predicted points where the image truly shows floor."""
    if view.depth_m is None or view.intrinsics is None:
        return np.zeros((0, 3))
    geometry = estimate.geometry
    depth = at_network_pixels(view.depth_m, geometry)
    camera = geometry.network_intrinsics(view.intrinsics)
    v, u = np.indices(depth.shape)
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)
    assert view.world_from_camera is not None
    heights = transform_points(view.world_from_camera, rays * depth[..., None])[..., 2]
    is_floor = (depth > 0) & (np.abs(heights - (view.floor_height_m or 0)) < _FLOOR_BAND_M)
    if view.person_index is not None:
        is_floor &= at_network_pixels(view.person_index, geometry) == 0
    return estimate.points_camera[is_floor].astype(np.float64)


def _height_over(floor: np.ndarray, sole: np.ndarray) -> float | None:
    """Height over the plane through the floor points around; None where there are too few.

    Up is the side of the plane on which the camera is.
    """
    around = floor[np.linalg.norm(floor - sole, axis=-1) < _REACH_M] if len(floor) else floor
    if len(around) < _LEAST_POINTS:
        return None
    centre = around.mean(axis=0)
    _, spread, axes = np.linalg.svd(around - centre, full_matrices=False)
    if spread[1] < _LEAST_WIDTH_M * np.sqrt(len(around)):
        return None
    up = -axes[2] if axes[2] @ centre > 0 else axes[2]
    return float(up @ (sole - centre))
