"""Which person each pixel of the person mask shows."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, UInt16

from human3r.types import Intrinsics, PersonEstimate

_CELL_PX = 8
"""Vertices are sparse: within a square of this side the nearest person hides the others."""


def label_people(
    is_person: Bool[np.ndarray, "height width"],
    people: Sequence[PersonEstimate],
    camera: Intrinsics,
) -> UInt16[np.ndarray, "height width"]:
    """1 + index of the person each pixel shows; 0 off the mask, or where no person is known.

    A pixel belongs to the person whose nearest visible vertex is nearest in the image. Depth
    decides only who hides whom, so bodies may lie somewhat before or behind their scene points.

    Args:
        is_person: the person mask.
        people: bodies in the camera frame, predicted ones included.
        camera: of the mask.
    """
    if len(people) < 2 or not is_person.any():
        return is_person.astype(np.uint16) * np.uint16(len(people))
    owner = _visible_vertices(people, camera, is_person.shape)
    if not owner.any():
        return owner
    # Zero pixels are the sources; each other pixel gets the number of the nearest one.
    _, nearest = cv2.distanceTransformWithLabels(
        (owner == 0).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner_of = np.zeros(int(nearest.max()) + 1, np.uint16)
    owner_of[nearest[owner > 0]] = owner[owner > 0]
    return np.where(is_person, owner_of[nearest], np.uint16(0))


def _visible_vertices(
    people: Sequence[PersonEstimate], camera: Intrinsics, shape: tuple[int, int]
) -> np.ndarray:
    """1 + index of the person with a vertex at a pixel; 0 where there is none or it is hidden."""
    owner = np.zeros(shape, np.uint16)
    cells = (shape[0] // _CELL_PX + 1, shape[1] // _CELL_PX + 1)
    nearest_m = np.full((len(people), *cells), np.inf, np.float32)
    places = [_pixels(person.vertices_camera, camera, shape) for person in people]
    for index, (rows, columns, depth) in enumerate(places):
        cell = (rows // _CELL_PX, columns // _CELL_PX)
        np.minimum.at(nearest_m[index], cell, depth)
    front = nearest_m.argmin(axis=0)
    for index, (rows, columns, _) in enumerate(places):
        is_front = front[rows // _CELL_PX, columns // _CELL_PX] == index
        owner[rows[is_front], columns[is_front]] = index + 1
    return owner


def _pixels(
    vertices: np.ndarray, camera: Intrinsics, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and depth of the vertices inside the image."""
    x, y, z = np.ascontiguousarray(vertices[vertices[:, 2] > 1e-3].T)
    u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    inside = (u > -0.5) & (u < shape[1] - 0.5) & (v > -0.5) & (v < shape[0] - 0.5)
    rows, columns = np.rint(v[inside]).astype(np.int64), np.rint(u[inside]).astype(np.int64)
    return rows, columns, z[inside]
