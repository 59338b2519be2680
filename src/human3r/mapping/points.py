"""One frame's pointmap as a bounded, filtered set of points, with or without its people.

The order of work keeps the cost low: whole-image filters first (confidence, range, flying
pixels), then thinning, and only the few points left are compared with the bodies.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int64, UInt16
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from human3r.config import SceneSettings
from human3r.mapping.people_labels import label_people
from human3r.types import FrameEstimate, PersonEstimate, PointSet

_MARGIN_VERTEX_STEP = 4
"""Every 4th vertex lies about 2 cm from its neighbours, well below any useful margin."""


def select_points(
    estimate: FrameEstimate,
    scene: SceneSettings,
    labels: UInt16[np.ndarray, "height width"] | None = None,
    is_sure: Bool[np.ndarray, "height width"] | None = None,
) -> PointSet:
    """Confident points of scene and people, thinned and bounded.

    Args:
        estimate: one frame's result.
        scene: thresholds; ``remove_people`` does not matter here.
        labels: which person each pixel shows; None: found from mask and bodies.
        is_sure: ``sure_pixels`` of the frame; None: looked for.
    """
    if labels is None:
        is_person = estimate.person_probability >= scene.mask_threshold
        labels = label_people(is_person, estimate.people, estimate.intrinsics)
    keep = sure_pixels(estimate, scene) if is_sure is None else is_sure
    pixels = _thinned_pixels(estimate, keep, scene)
    points = _gather(estimate, pixels)
    points.labels[:] = labels.ravel()[pixels]
    return points


def select_static_points(
    estimate: FrameEstimate,
    scene: SceneSettings,
    is_sure: Bool[np.ndarray, "height width"] | None = None,
) -> PointSet:
    """Confident points of the scene alone: people are taken out by mask, body mesh or both.

    Args:
        estimate: one frame's result.
        scene: thresholds.
        is_sure: ``sure_pixels`` of the frame; None: looked for.
    """
    keep = sure_pixels(estimate, scene) if is_sure is None else is_sure
    if scene.remove_people in ("mask", "both"):
        keep = keep & ~_dilated_people(estimate, scene)
    pixels = _thinned_pixels(estimate, keep, scene)
    if scene.remove_people in ("body", "both") and estimate.people:
        points = _points_at(estimate, pixels)
        pixels = pixels[~_near_bodies(points, estimate.people, scene.body_margin_m)]
    return _gather(estimate, pixels)


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
    """Indices of the first point in every voxel of side ``voxel_m``, ascending.

    Args:
        points: finite metres, within a thousand kilometres for centimetre voxels.
        voxel_m: side of a voxel; 0 keeps every point.
    """
    if voxel_m <= 0 or len(points) == 0:
        return np.arange(len(points))
    # By column: reducing an (n, 3) array along its long axis takes fifty times as long.
    x, y, z = (_cells(column, voxel_m) for column in points.T)
    keys = (x * (y.max() + 1) + y) * (z.max() + 1) + z
    return np.sort(np.unique(keys, return_index=True)[1])


def _cells(places: np.ndarray, voxel_m: float) -> np.ndarray:
    """Numbers of the voxels along one axis, from 0."""
    cells = np.floor(places / voxel_m).astype(np.int64)
    return cells - cells.min()


def sure_pixels(estimate: FrameEstimate, scene: SceneSettings) -> Bool[np.ndarray, "height width"]:
    """Pixels whose point is confident, in range, and on no depth edge."""
    points = estimate.points_camera
    # A comparison with NaN is false, so non-finite points drop out without a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.einsum("hwi,hwi->hw", points, points)
    keep = (squared >= scene.min_range_m**2) & (squared <= scene.max_range_m**2)
    keep &= (estimate.confidence >= scene.min_confidence) & (estimate.depth > 0)
    return keep & ~is_flying(estimate.depth, scene.edge_filter)


def _thinned_pixels(estimate: FrameEstimate, keep: np.ndarray, scene: SceneSettings) -> np.ndarray:
    """Numbers of the chosen pixels, row by row."""
    pixels = np.flatnonzero(keep)
    chosen = thin(_points_at(estimate, pixels), scene.voxel_m)
    if len(chosen) > scene.max_points:
        # Evenly spaced over the image rather than its first rows.
        chosen = chosen[np.linspace(0, len(chosen) - 1, scene.max_points).astype(np.int64)]
    return pixels[chosen]


def _points_at(estimate: FrameEstimate, pixels: np.ndarray) -> np.ndarray:
    # A quarter of the time of indexing with an array.
    return np.take(estimate.points_camera.reshape(-1, 3), pixels, axis=0).astype(np.float32)


def _gather(estimate: FrameEstimate, pixels: np.ndarray) -> PointSet:
    return PointSet(
        points=_points_at(estimate, pixels),
        colors=estimate.image.reshape(-1, 3)[pixels],
        confidence=estimate.confidence.ravel()[pixels].astype(np.float32),
        labels=np.zeros(len(pixels), np.uint16),
    )


def _dilated_people(estimate: FrameEstimate, scene: SceneSettings) -> np.ndarray:
    mask = (estimate.person_probability >= scene.mask_threshold).astype(np.uint8)
    if scene.mask_dilate_px > 0:
        side = 2 * scene.mask_dilate_px + 1
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return mask.astype(bool)


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
