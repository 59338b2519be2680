"""Shape directions and the joint regressor, fitted to many people in the zero pose."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.sparse import csr_matrix
from scipy.spatial import KDTree

from human3r.body.skeleton import JOINT_NAMES

NUM_BETAS = 10
FIT_PEOPLE = 220
NEAR_VERTICES, FAR_VERTICES = 90, 110


@dataclass(frozen=True)
class ShapeSpace:
    """A mean person and the directions in which people differ, largest first."""

    mean: np.ndarray
    """(vertices, 3) metres."""
    directions: np.ndarray
    """(vertices, 3, components) metres per standard deviation."""
    explained: np.ndarray
    """(components,) share of all variance that this many components explain together."""


def fit_shape_space(
    vertices: np.ndarray, triangles: np.ndarray, components: int = NUM_BETAS
) -> ShapeSpace:
    """Principal components of people (people, vertices, 3) in the zero pose.

    Signs, which the decomposition leaves open, are chosen so that more of a component means a
    larger body: taller for the first, more volume for the others.
    """
    people = len(vertices)
    mean = vertices.mean(0)
    centred = (vertices - mean).reshape(people, -1)
    # The people are far fewer than the coordinates, so the small Gram matrix is decomposed.
    variance, mixing = np.linalg.eigh(centred @ centred.T)
    variance, mixing = variance[::-1], mixing[:, ::-1]
    directions = centred.T @ mixing[:, :components] / np.sqrt(people - 1)
    directions = directions.reshape(*mean.shape, components)
    taller = directions[mean[:, 1].argmax(), 1] - directions[mean[:, 1].argmin(), 1]
    larger = np.einsum("vc,vck->k", _area_normals(mean, triangles), directions)
    growth = np.concatenate([taller[:1], larger[1:]])
    explained = np.cumsum(variance)[:components] / variance.sum()
    return ShapeSpace(mean, directions * np.where(growth < 0, -1.0, 1.0), explained)


def reconstruction_errors_mm(
    space: ShapeSpace, vertices: np.ndarray, components: int
) -> np.ndarray:
    """Distance (people, vertices) of people from their nearest shape with so many components."""
    basis = space.directions[:, :, :components].reshape(-1, components)
    offsets = (vertices - space.mean).reshape(len(vertices), -1)
    betas = np.linalg.lstsq(basis, offsets.T, rcond=None)[0]
    left = offsets - (basis @ betas).T
    return 1e3 * np.linalg.norm(left.reshape(vertices.shape), axis=-1)


def mirror_vertices(vertices: np.ndarray) -> np.ndarray:
    """Per vertex the number of its left-right partner on a symmetric body.

    Raises:
        ValueError: a vertex has no partner within a millimetre, or partners are not mutual.
    """
    distance, partner = KDTree(vertices).query(vertices * [-1, 1, 1])
    if distance.max() > 1e-3 or (partner[partner] != np.arange(len(partner))).any():  # pyright: ignore[reportIndexIssue]
        raise ValueError(f"the mesh is not symmetric: worst distance {distance.max():.4f} m")
    return partner  # pyright: ignore[reportReturnType]


def mirror_joints() -> list[int]:
    """Per joint the number of its left-right partner; middle joints are their own."""
    swap = {"left": "right", "right": "left"}
    names = []
    for name in JOINT_NAMES:
        side, _, rest = name.partition("_")
        names.append(f"{swap[side]}_{rest}" if side in swap else name)
    return [JOINT_NAMES.index(name) for name in names]


def fit_joint_regressor(
    vertices: np.ndarray, joints: np.ndarray, allowed: np.ndarray
) -> csr_matrix:
    """Weights (55, vertices), none negative, rows summing to 1, that find joints from the skin.

    Right joints mirror left ones and middle joints are symmetric, so a symmetric shape has a
    symmetric skeleton.

    Args:
        vertices: (people, vertices, 3) zero pose.
        joints: (people, 55, 3) the joint centres to be found.
        allowed: (vertices,) whether a vertex may carry weight.
    """
    mean = vertices.mean(0)
    partner = mirror_vertices(mean)
    fit = slice(0, min(FIT_PEOPLE, len(vertices)))
    rows = np.zeros((len(JOINT_NAMES), len(mean)))
    for joint, mirrored in enumerate(mirror_joints()):
        if JOINT_NAMES[joint].startswith("right"):
            continue
        row = _fit_joint(vertices[fit], joints[fit, joint], mean, allowed)
        if joint == mirrored:
            row = (row + row[partner]) / 2
        rows[joint] = row
        rows[mirrored] = row[partner] if joint != mirrored else row
    return csr_matrix(rows)


def _fit_joint(
    vertices: np.ndarray, centres: np.ndarray, mean: np.ndarray, allowed: np.ndarray
) -> np.ndarray:
    distance = np.linalg.norm(mean - centres.mean(0), axis=1)
    near = np.argsort(np.where(allowed, distance, np.inf), kind="stable")
    # The nearest vertices lie on one side of a deep joint; a thin ring further out surrounds it.
    ring = near[NEAR_VERTICES : NEAR_VERTICES + 1100 : 1100 // FAR_VERTICES]
    chosen = np.concatenate([near[:NEAR_VERTICES], ring])
    positions = vertices[:, chosen].transpose(0, 2, 1).reshape(-1, len(chosen))
    sum_weight = 50.0
    left = np.vstack([positions, np.full(len(chosen), sum_weight)])
    right = np.append(centres.reshape(-1), sum_weight)
    weights, _ = nnls(left, right, maxiter=6000)
    row = np.zeros(len(mean))
    row[chosen] = weights / weights.sum()
    return row


def _area_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 6
    sums = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(sums, triangles[:, corner], normals)
    return sums
