"""Draws bodies: painter's algorithm over lit triangles, orthographic, with OpenCV.

Good for looking at a body; triangles that pass through each other are not resolved.
"""

import cv2
import numpy as np

SKIN_RGB = np.array([214.0, 178.0, 150.0])
BACKGROUND_RGB = (192, 205, 218)
LIGHT = np.array([0.35, 0.55, 0.75])
AMBIENT = 0.32
SUBPIXEL_BITS = 4


def turn_about_y(angle_rad: float) -> np.ndarray:
    """Rotation (3, 3) about the vertical axis, for looking from another side."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def draw_body(
    vertices: np.ndarray,
    triangles: np.ndarray,
    view: np.ndarray | None = None,
    centre: np.ndarray | None = None,
    height_m: float = 2.2,
    size_px: tuple[int, int] = (480, 420),
    dots: np.ndarray | None = None,
) -> np.ndarray:
    """One body from the front (+z) after ``view`` turned it.

    Args:
        vertices: (vertices, 3) metres, y up.
        triangles: (triangles, 3) vertex numbers, counter-clockwise from outside.
        view: (3, 3) rotation applied first; none means from the front.
        centre: (3,) point shown in the middle, before turning; none means the body's middle.
        height_m: what the picture shows from bottom to top.
        size_px: (height, width).
        dots: (dots, 3) points marked in red, seen through the body.

    Returns:
        (height, width, 3) uint8, RGB.
    """
    view = np.eye(3) if view is None else view
    middle = (vertices.min(0) + vertices.max(0)) / 2 if centre is None else centre
    turned = (vertices - middle) @ view.T
    corners = turned[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    light = LIGHT / np.linalg.norm(LIGHT)
    shade = _smooth(normals, triangles, len(vertices)) @ light
    seen = np.flatnonzero(normals[:, 2] > 0)
    seen = seen[np.argsort(corners[seen, :, 2].mean(1), kind="stable")]
    image = np.full((*size_px, 3), BACKGROUND_RGB, np.uint8)
    pixels = _to_pixels(turned, height_m, size_px)[triangles]
    for face in seen:
        brightness = AMBIENT + (1 - AMBIENT) * max(float(shade[face]), 0.0)
        colour = tuple(float(c) for c in SKIN_RGB * brightness)
        cv2.fillConvexPoly(image, pixels[face], colour, cv2.LINE_AA, SUBPIXEL_BITS)
    if dots is not None:
        for dot in _to_pixels((dots - middle) @ view.T, height_m, size_px):
            cv2.circle(image, dot.tolist(), 2 << SUBPIXEL_BITS, (220, 30, 30), -1, 8, SUBPIXEL_BITS)
    return image


def contact_sheet(images: list[np.ndarray], columns: int) -> np.ndarray:
    """Equal images in rows of ``columns``, the last row filled with background."""
    blank = np.full_like(images[0], BACKGROUND_RGB)
    images = images + [blank] * (-len(images) % columns)
    rows = [np.hstack(images[i : i + columns]) for i in range(0, len(images), columns)]
    return np.vstack(rows)


def _to_pixels(points: np.ndarray, height_m: float, size_px: tuple[int, int]) -> np.ndarray:
    scale = size_px[0] / height_m
    u = (size_px[1] - 1) / 2 + scale * points[:, 0]
    v = (size_px[0] - 1) / 2 - scale * points[:, 1]
    return np.round(np.stack([u, v], axis=-1) * (1 << SUBPIXEL_BITS)).astype(np.int32)


def _smooth(normals: np.ndarray, triangles: np.ndarray, num_vertices: int) -> np.ndarray:
    """Unit normals (triangles, 3): the mean of the normals around the corners."""
    sums = np.zeros((num_vertices, 3))
    for corner in range(3):
        np.add.at(sums, triangles[:, corner], normals)
    mean = sums[triangles].sum(1)
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
