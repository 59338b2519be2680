"""One frame's pointmap as a bounded, filtered set of points, with or without its people.

The order of work keeps the cost low: whole-image filters first (confidence, range, flying
pixels), then thinning, and only the few points left are compared with the bodies.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.spatial import cKDTree

from human3r.config import SceneSettings
from human3r.types import FrameEstimate, PersonEstimate, PointSet

_LABEL_VERTEX_STEP = 16
"""Every 16th vertex is enough to tell whose point it is."""
_MARGIN_VERTEX_STEP = 4
"""Every 4th vertex lies about 2 cm from its neighbours, well below any useful margin."""


def select_points(estimate: FrameEstimate, scene: SceneSettings) -> PointSet:
    """Confident points of scene and people, thinned and bounded.

    Args:
        estimate: one frame's result.
        scene: thresholds; ``remove_people`` does not matter here.
    """
    rows, cols = _thinned_pixels(estimate, _keep(estimate, scene), scene)
    points = _gather(estimate, rows, cols)
    is_person = estimate.person_probability[rows, cols] >= scene.mask_threshold
    points.labels[is_person] = _nearest_person(points.points[is_person], estimate.people)
    return points


def select_static_points(estimate: FrameEstimate, scene: SceneSettings) -> PointSet:
    """Confident points of the scene alone: people are taken out by mask, body mesh or both."""
    keep = _keep(estimate, scene)
    if scene.remove_people in ("mask", "both"):
        keep &= ~_dilated_people(estimate, scene)
    rows, cols = _thinned_pixels(estimate, keep, scene)
    if scene.remove_people in ("body", "both") and estimate.people:
        points = estimate.points_camera[rows, cols]
        outside = ~_near_bodies(points, estimate.people, scene.body_margin_m)
        rows, cols = rows[outside], cols[outside]
    return _gather(estimate, rows, cols)


def is_flying(
    depth: Float[np.ndarray, "height width"], relative_step: float
) -> Bool[np.ndarray, "height width"]:
    """Pixels on a depth edge, where the network interpolates between near and far surfaces.

    Args:
        depth: metres along the optical axis.
        relative_step: a pixel flies when a direct neighbour differs by more than this share of
            the nearer of the two; 0 finds none.
    """
    flying = np.zeros(depth.shape, bool)
    if relative_step <= 0:
        return flying
    for axis in (0, 1):
        near = [slice(None)] * 2
        far = [slice(None)] * 2
        near[axis], far[axis] = slice(None, -1), slice(1, None)
        a, b = depth[tuple(near)], depth[tuple(far)]
        step = np.abs(a - b) > relative_step * np.minimum(np.abs(a), np.abs(b))
        flying[tuple(near)] |= step
        flying[tuple(far)] |= step
    return flying


def thin(points: Float[np.ndarray, "points 3"], voxel_m: float) -> Int64[np.ndarray, " kept"]:
    """Indices of the first point in every cube of side ``voxel_m``, ascending.

    Args:
        points: finite metres, within a thousand kilometres for centimetre voxels.
        voxel_m: cube side; 0 keeps every point.
    """
    if voxel_m <= 0 or len(points) == 0:
        return np.arange(len(points))
    cells = np.floor(points / voxel_m).astype(np.int64)
    cells -= cells.min(axis=0)
    extent = cells.max(axis=0) + 1
    keys = (cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2]
    first = np.unique(keys, return_index=True)[1]
    return np.sort(first)


def _keep(estimate: FrameEstimate, scene: SceneSettings) -> np.ndarray:
    points = estimate.points_camera
    # A comparison with NaN is false, so non-finite points drop out without a warning.
    distance = np.linalg.norm(points, axis=-1)
    keep = (distance >= scene.min_range_m) & (distance <= scene.max_range_m)
    keep &= (estimate.confidence >= scene.min_confidence) & (estimate.depth > 0)
    return keep & ~is_flying(estimate.depth, scene.edge_filter)


def _thinned_pixels(
    estimate: FrameEstimate, keep: np.ndarray, scene: SceneSettings
) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.nonzero(keep)
    chosen = thin(estimate.points_camera[rows, cols], scene.voxel_m)
    if len(chosen) > scene.max_points:
        # Evenly spaced over the image rather than its first rows.
        chosen = chosen[np.linspace(0, len(chosen) - 1, scene.max_points).astype(np.int64)]
    return rows[chosen], cols[chosen]


def _gather(estimate: FrameEstimate, rows: np.ndarray, cols: np.ndarray) -> PointSet:
    return PointSet(
        points=np.ascontiguousarray(estimate.points_camera[rows, cols], np.float32),
        colors=estimate.image[rows, cols],
        confidence=estimate.confidence[rows, cols].astype(np.float32),
        labels=np.zeros(len(rows), np.uint16),
    )


def _dilated_people(estimate: FrameEstimate, scene: SceneSettings) -> np.ndarray:
    mask = (estimate.person_probability >= scene.mask_threshold).astype(np.uint8)
    if scene.mask_dilate_px > 0:
        side = 2 * scene.mask_dilate_px + 1
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return mask.astype(bool)


def _nearest_person(points: np.ndarray, people: tuple[PersonEstimate, ...]) -> np.ndarray:
    """1 + index of the person nearest to each point; 0 throughout when nobody is there."""
    if not people or len(points) == 0:
        return np.zeros(len(points), np.uint16)
    samples = [person.vertices_camera[::_LABEL_VERTEX_STEP] for person in people]
    owner = np.repeat(np.arange(1, len(people) + 1), [len(s) for s in samples])
    nearest = cKDTree(np.concatenate(samples)).query(points)[1]
    return owner[nearest].astype(np.uint16)


def _near_bodies(
    points: np.ndarray, people: tuple[PersonEstimate, ...], margin_m: float
) -> np.ndarray:
    near = np.zeros(len(points), bool)
    for person in people:
        vertices = person.vertices_camera[::_MARGIN_VERTEX_STEP]
        low, high = vertices.min(axis=0) - margin_m, vertices.max(axis=0) + margin_m
        candidates = np.nonzero(((points >= low) & (points <= high)).all(axis=1) & ~near)[0]
        if len(candidates):
            distance = cKDTree(vertices).query(
                points[candidates], distance_upper_bound=max(margin_m, 1e-9)
            )[0]
            near[candidates] = distance <= margin_m
    return near
