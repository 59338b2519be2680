"""Triangles to pixels on the CPU, with OpenCV's polygon filler doing the inner loop."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Int32

_SHIFT = 4
"""Fraction bits of the coordinates OpenCV is given: a sixteenth of a pixel."""
_MAX_COORDINATE = 2.0**17
NEAR_M = 0.05
"""Triangles that come nearer to the camera than this are left out."""


def triangle_ids(
    pixels: Float[np.ndarray, "vertices 2"],
    depth: Float[np.ndarray, " vertices"],
    faces: Int[np.ndarray, "faces 3"],
    width_px: int,
    height_px: int,
) -> Int32[np.ndarray, "height width"]:
    """Which face is seen at each pixel; -1 where none is. Painter's algorithm.

    Args:
        pixels: projected vertices.
        depth: metres in front of the camera.
        faces: vertex numbers.
        width_px: of the picture.
        height_px: of the picture.
    """
    ids = np.full((height_px, width_px), -1, np.int32)
    visible = _visible(pixels, depth, faces, width_px, height_px)
    order = visible[np.argsort(-depth[faces[visible]].mean(axis=1), kind="stable")]
    corners = _fixed_point(pixels)[faces[order]]
    for face, triangle in zip(order.tolist(), corners, strict=True):
        cv2.fillConvexPoly(ids, triangle, face, cv2.LINE_8, _SHIFT)
    return ids


def silhouette(
    pixels: Float[np.ndarray, "vertices 2"],
    depth: Float[np.ndarray, " vertices"],
    faces: Int[np.ndarray, "faces 3"],
    width_px: int,
    height_px: int,
) -> Bool[np.ndarray, "height width"]:
    """The pixels a mesh covers; triangles below a pixel are drawn as dots."""
    mask = np.zeros((height_px, width_px), np.uint8)
    visible = _visible(pixels, depth, faces, width_px, height_px)
    corners = pixels[faces[visible]]
    tiny = (np.ptp(corners, axis=1) < 1.5).all(axis=1)
    dots = np.round(corners[tiny].mean(axis=1)).astype(np.int64)
    inside = ((dots >= 0) & (dots < (width_px, height_px))).all(axis=1)
    mask[dots[inside, 1], dots[inside, 0]] = 255
    for triangle in _fixed_point(pixels)[faces[visible[~tiny]]]:
        cv2.fillConvexPoly(mask, triangle, 255, cv2.LINE_8, _SHIFT)
    return mask > 0


def vertex_normals(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> Float[np.ndarray, "vertices 3"]:
    """Unit normals, weighted by the areas of the faces around each vertex."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    per_face = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for axis in range(3):
        for corner in range(3):
            normals[:, axis] += np.bincount(
                faces[:, corner], weights=per_face[:, axis], minlength=len(vertices)
            )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _fixed_point(pixels: np.ndarray) -> np.ndarray:
    clipped = np.clip(pixels, -_MAX_COORDINATE, _MAX_COORDINATE)
    return np.round(clipped * 2**_SHIFT).astype(np.int32)


def _visible(
    pixels: np.ndarray, depth: np.ndarray, faces: np.ndarray, width_px: int, height_px: int
) -> np.ndarray:
    """Numbers of the faces in front of the camera that touch the picture."""
    usable = (depth > NEAR_M) & np.isfinite(pixels).all(axis=1)
    corners = np.where(usable[:, None], pixels, 0.0)[faces]
    low, high = corners.min(axis=1), corners.max(axis=1)
    touches = (high >= 0).all(axis=1) & (low <= (width_px, height_px)).all(axis=1)
    return np.flatnonzero(usable[faces].all(axis=1) & touches)
