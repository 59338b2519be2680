"""Errors of posed bodies in the camera frame, person by person.

Joints (people, joints, 3) and vertices (people, vertices, 3) are metres; errors are millimetres,
one per person. Source of the definitions: Ionescu et al. 2014 (MPJPE), von Marcard et al. 2018
(3DPW), as used by Human3R (arXiv 2510.06219).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from human3r_lab.evaluation.alignment import align_similarity

MM_PER_M = 1000.0


@dataclass(frozen=True)
class BodyErrors:
    """Errors of matched people, millimetres, (people,) each."""

    mpjpe_mm: np.ndarray
    """Joints, after subtracting each side's pelvis."""
    pa_mpjpe_mm: np.ndarray
    """Joints, after the best similarity per person."""
    pve_mm: np.ndarray
    """Vertices, after subtracting each side's pelvis."""
    pa_pve_mm: np.ndarray
    absolute_mpjpe_mm: np.ndarray
    """Joints where they are in the camera frame."""
    absolute_pve_mm: np.ndarray
    root_error_mm: np.ndarray
    """Distance of the two pelvis points."""


def pelvis_of(
    joints: Float[np.ndarray, "people joints 3"], pelvis_joints: tuple[int, ...]
) -> Float[np.ndarray, "people 1 3"]:
    """The mean of some joints: joint 0, or the two hips, as the benchmark has it."""
    return joints[:, list(pelvis_joints)].mean(axis=1, keepdims=True)


def body_errors(
    predicted_joints: Float[np.ndarray, "people joints 3"],
    true_joints: Float[np.ndarray, "people joints 3"],
    predicted_vertices: Float[np.ndarray, "people vertices 3"],
    true_vertices: Float[np.ndarray, "people vertices 3"],
    pelvis_joints: tuple[int, ...],
) -> BodyErrors:
    """Every error of matched people; the pelvis is the mean of ``pelvis_joints`` on each side."""
    predicted_joints, true_joints, predicted_vertices, true_vertices = (
        np.asarray(points, np.float64)
        for points in (predicted_joints, true_joints, predicted_vertices, true_vertices)
    )
    predicted_pelvis = pelvis_of(predicted_joints, pelvis_joints)
    true_pelvis = pelvis_of(true_joints, pelvis_joints)
    return BodyErrors(
        mpjpe_mm=mean_distance_mm(predicted_joints - predicted_pelvis, true_joints - true_pelvis),
        pa_mpjpe_mm=aligned_distance_mm(predicted_joints, true_joints),
        pve_mm=mean_distance_mm(predicted_vertices - predicted_pelvis, true_vertices - true_pelvis),
        pa_pve_mm=aligned_distance_mm(predicted_vertices, true_vertices),
        absolute_mpjpe_mm=mean_distance_mm(predicted_joints, true_joints),
        absolute_pve_mm=mean_distance_mm(predicted_vertices, true_vertices),
        root_error_mm=mean_distance_mm(predicted_pelvis, true_pelvis),
    )


def mean_distance_mm(
    predicted: Float[np.ndarray, "*batch points 3"], true: Float[np.ndarray, "*batch points 3"]
) -> Float[np.ndarray, "*batch"]:
    """Mean distance of corresponding points given in metres."""
    return MM_PER_M * np.linalg.norm(predicted - true, axis=-1).mean(axis=-1)


def aligned_distance_mm(
    predicted: Float[np.ndarray, "*batch points 3"], true: Float[np.ndarray, "*batch points 3"]
) -> Float[np.ndarray, "*batch"]:
    """Mean distance after the best similarity (scale, rotation, translation) of each set."""
    return mean_distance_mm(align_similarity(predicted, true).apply(predicted), true)
