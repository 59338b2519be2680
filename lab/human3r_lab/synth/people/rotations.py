"""Many rotation matrices at once, in numpy."""

import numpy as np
from scipy.spatial.transform import Rotation

X, Y, Z = 0, 1, 2


def about(axis: int, angle_rad: np.ndarray | float) -> np.ndarray:
    """(..., 3, 3) right-handed turns about one coordinate axis."""
    angle_rad = np.asarray(angle_rad, dtype=np.float64)
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    matrix = np.zeros((*angle_rad.shape, 3, 3))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[..., axis, axis] = 1.0
    matrix[..., first, first] = matrix[..., second, second] = cosine
    matrix[..., first, second] = -sine
    matrix[..., second, first] = sine
    return matrix


def world_from_heading(heading_rad: np.ndarray | float) -> np.ndarray:
    """(..., 3, 3) upright body axes (x left, y up, z forward) in the world (z up, 0 faces +x)."""
    heading_rad = np.asarray(heading_rad, dtype=np.float64)
    cosine, sine = np.cos(heading_rad), np.sin(heading_rad)
    matrix = np.zeros((*heading_rad.shape, 3, 3))
    matrix[..., 0, 0], matrix[..., 1, 0] = -sine, cosine
    matrix[..., 2, 1] = 1.0
    matrix[..., 0, 2], matrix[..., 1, 2] = cosine, sine
    return matrix


def blend(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(..., 3, 3): the way from ``first`` to ``second`` gone by ``share`` (...), at even speed."""
    between = np.swapaxes(first, -1, -2) @ second
    vectors = Rotation.from_matrix(between.reshape(-1, 3, 3)).as_rotvec()
    vectors *= np.broadcast_to(share, between.shape[:-2]).reshape(-1, 1)
    return first @ Rotation.from_rotvec(vectors).as_matrix().reshape(between.shape)


def unit(vectors: np.ndarray) -> np.ndarray:
    """(..., n) scaled to length one; zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def frame_of(along: np.ndarray, hinge: np.ndarray) -> np.ndarray:
    """(..., 3, 3): columns are ``along``, the part of ``hinge`` square to it, and their product."""
    along = unit(along)
    hinge = unit(hinge - (hinge * along).sum(-1, keepdims=True) * along)
    return np.stack([along, hinge, np.cross(along, hinge)], axis=-1)


def apply(rotation: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(..., 3): each vector turned by its matrix."""
    return (rotation @ vectors[..., None])[..., 0]
