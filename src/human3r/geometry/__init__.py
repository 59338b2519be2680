"""Rigid transforms, rotations and cameras."""

from human3r.geometry.camera import estimate_focal, estimate_focal_median, project
from human3r.geometry.rigid import chain, chain_segments, invert, transform_points
from human3r.geometry.rotation import (
    matrix_from_6d,
    matrix_from_quaternion,
    matrix_from_rotation_vector,
    quaternion_from_matrix,
    rotation_vector_from_matrix,
)

__all__ = [
    "chain",
    "chain_segments",
    "estimate_focal",
    "estimate_focal_median",
    "invert",
    "matrix_from_6d",
    "matrix_from_quaternion",
    "matrix_from_rotation_vector",
    "project",
    "quaternion_from_matrix",
    "rotation_vector_from_matrix",
    "transform_points",
]
