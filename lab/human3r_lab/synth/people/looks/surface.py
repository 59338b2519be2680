"""Pieces of the body's surface with exact borders, and points on the surface by its vertices."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Patch:
    """A piece of a mesh; its points lie on edges, between vertex ``first`` and ``second``."""

    first: np.ndarray
    """(N,) int."""
    second: np.ndarray
    """(N,) int; the same as ``first`` where the point is a vertex."""
    share: np.ndarray
    """(N,) float32 of the way from ``first`` to ``second``."""
    faces: np.ndarray
    """(F, 3) into the points."""
    border: np.ndarray
    """(B, 2) directed edges of the points along which the piece was cut, the piece on the left."""

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(N, ...) of the points, from (V, ...) of the mesh's vertices."""
        share = self.share.reshape(-1, *[1] * (values.ndim - 1))
        return (1 - share) * values[self.first] + share * values[self.second]


def cut(faces: np.ndarray, coverage: np.ndarray) -> Patch:
    """The part of a mesh where a field is positive, cut along the field's zero line.

    Args:
        faces: (F, 3) of the mesh.
        coverage: (V,) the field.
    """
    inside = coverage > 0
    count = inside[faces].sum(1)
    crossed = faces[(count == 1) | (count == 2)]
    # Turn every crossed face so that its first corner is alone on its side of the line.
    alone_inside = inside[crossed].sum(1) == 1
    odd = np.where(alone_inside[:, None], inside[crossed], ~inside[crossed]).argmax(1)
    turned = crossed[np.arange(len(crossed))[:, None], (odd[:, None] + np.arange(3)) % 3]
    tip, left, right = turned.T

    labels = np.concatenate([_edge_label(tip, left), _edge_label(tip, right)])
    labels, place = np.unique(labels, return_inverse=True)
    unique = np.stack([labels >> 32, labels & 0xFFFFFFFF], 1)
    near, far = place[: len(tip)], place[len(tip) :]
    a, b = coverage[unique[:, 0]], coverage[unique[:, 1]]
    share = np.clip(a / np.where(a == b, 1, a - b), 0, 1)

    kept = np.flatnonzero(inside)
    number = np.full(len(coverage), -1)
    number[kept] = np.arange(len(kept))
    on_left, on_right = len(kept) + near, len(kept) + far
    one, two = alone_inside, ~alone_inside
    pieces = [
        number[faces[count == 3]],
        np.stack([number[tip], on_left, on_right], 1)[one],
        np.stack([on_left, number[left], number[right]], 1)[two],
        np.stack([on_left, number[right], on_right], 1)[two],
    ]
    border = np.concatenate(
        [np.stack([on_left, on_right], 1)[one], np.stack([on_right, on_left], 1)[two]]
    )
    return Patch(
        first=np.concatenate([kept, unique[:, 0]]),
        second=np.concatenate([kept, unique[:, 1]]),
        share=np.concatenate([np.zeros(len(kept)), share]).astype(np.float32),
        faces=np.concatenate(pieces).astype(np.int32),
        border=border.astype(np.int32),
    )


def _edge_label(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One number per undirected edge."""
    return (np.minimum(a, b).astype(np.int64) << 32) | np.maximum(a, b)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, weighted by area."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    summed = np.stack(
        [np.bincount(faces.ravel(), np.repeat(normals[:, k], 3), len(vertices)) for k in range(3)],
        1,
    )
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    return (summed / np.maximum(length, 1e-12)).astype(np.float32)
