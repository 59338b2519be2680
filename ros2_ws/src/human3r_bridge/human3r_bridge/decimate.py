"""Fewer triangles for meshes whose triangles never change, only their vertices' places."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

_SHRINK = 0.95


@dataclass(frozen=True)
class CoarseMesh:
    """A mesh on some of another mesh's vertices."""

    kept: np.ndarray
    """(n,) vertex numbers of the fine mesh, increasing."""
    faces: np.ndarray
    """(m, 3) indices into ``kept``, wound as the fine mesh's faces."""


def decimate(vertices: np.ndarray, faces: np.ndarray, max_faces: int) -> CoarseMesh:
    """A coarse mesh on evenly spread vertices.

    Each vertex joins the kept vertex that is nearest along the mesh's edges, and every fine
    triangle between three such groups becomes a coarse one. Distances along the edges keep an arm
    apart from the body it touches.

    Args:
        vertices: (vertices, 3) of one pose, finite.
        faces: (faces, 3) vertex numbers.
        max_faces: at least 4.
    """
    if len(faces) <= max_faces:
        kept, renumbered = np.unique(faces, return_inverse=True)
        return CoarseMesh(kept, renumbered.reshape(-1, 3))
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    lengths = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    # Sparse matrices take zero for no edge; doubled edges would add up, so each is put in once.
    first = np.unique(edges, axis=0, return_index=True)[1]
    graph = coo_matrix(
        (np.maximum(lengths[first], 1e-9), edges[first].T), shape=(len(vertices),) * 2
    ).tocsr()
    # A closed surface has two triangles per vertex.
    wanted = min(max_faces // 2, len(vertices))
    while True:
        kept = np.sort(_spread(vertices, np.unique(faces), wanted))
        coarse = _between_groups(graph, kept, faces)
        if len(coarse) <= max_faces:
            return CoarseMesh(kept, coarse)
        wanted = int(wanted * _SHRINK)


def _spread(vertices: np.ndarray, candidates: np.ndarray, count: int) -> np.ndarray:
    """Vertices as far from each other as can be, by farthest points."""
    places = vertices[candidates].astype(np.float64)
    distance = np.full(len(places), np.inf)
    chosen = [0]
    while len(chosen) < min(count, len(places)):
        distance = np.minimum(distance, ((places - places[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))
    return np.unique(candidates[chosen])


def _between_groups(graph, kept: np.ndarray, faces: np.ndarray) -> np.ndarray:
    _, _, nearest = dijkstra(
        graph, directed=False, indices=kept, min_only=True, return_predecessors=True
    )
    # Vertices that no edge leads to are of no patch; their faces fall away.
    owner = np.searchsorted(kept, nearest)
    corners = owner[faces]
    reached = (nearest[faces] >= 0).all(axis=1)
    distinct = (
        (corners[:, 0] != corners[:, 1])
        & (corners[:, 1] != corners[:, 2])
        & (corners[:, 2] != corners[:, 0])
    )
    corners = corners[reached & distinct]
    # The same triangle starts with its smallest corner, so that copies are found.
    turned = np.argmin(corners, axis=1)[:, None] + np.arange(3)
    return np.unique(np.take_along_axis(corners, turned % 3, axis=1), axis=0)
