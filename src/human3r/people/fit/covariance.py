"""How sure a fitted body's pose is: from the normal equations of its own fit.

The fit's matrix knows which directions the landmarks leave open: depth more than the image plane,
turns about the long axis more than tilts, everything where little is seen. Landmarks err together
(one wrong guess moves many), which the fit does not know; four factors, measured on data with
known truth, make up for that. Where landmarks contradict each other more than usual, all standard
deviations but that of the stature grow with the misfit (Birge's ratio).
"""

from dataclasses import dataclass

import numpy as np

from human3r.people.fit.gauss_newton import PLACE, TURNS, Fitted
from human3r.people.fit.rotations import cross_matrices

_HIPS = (1, 2)
_MAX_SIGMA_RAD = np.pi
_NEAREST_M = 0.1


@dataclass(frozen=True)
class CovarianceFactors:
    """What to multiply the fit's own standard deviations with.

    The defaults were measured on synthetic sequences (split ``val``, easy and hard together): with
    them about two thirds of the errors lie within one standard deviation.
    """

    along: float = 0.5
    """Place along the ray from the camera, the doubt about stature aside."""
    across: float = 1.5
    turn: float = 1.6
    """About the body's long axis."""
    tilt: float = 1.1
    """About the axes across that."""
    usual_misfit: float = 0.42
    """Median of ``FittedPerson.misfit``: sigmas grow with what is above it. Below, errors were not
    smaller."""


def pose_covariances(
    fitted: Fitted,
    posed_rotations: np.ndarray,
    hips: np.ndarray,
    stature_sigmas: np.ndarray,
    misfits: np.ndarray,
    factors: CovarianceFactors,
) -> np.ndarray:
    """(people, 6, 6) of the body's origin and rotation in the camera frame, as ROS orders them.

    Rotations are small, about the camera's axes, applied after the estimate; the origin lies
    midway between the hip joints.

    Args:
        fitted: bodies and the normal equations there.
        posed_rotations: (people, 3, 3) of the root, body to camera.
        hips: (people, 3) metres from the pelvis to the origin, camera axes.
        stature_sigmas: (people,) relative standard deviations of the stature.
        misfits: (people,) as of ``FittedPerson``.
        factors: calibration.
    """
    hessian = fitted.equations.hessian
    rows = np.r_[PLACE, TURNS.start : TURNS.start + 3]
    # Six columns of the inverse.
    covariance = np.linalg.solve(hessian, np.eye(hessian.shape[-1])[:, rows])[:, rows]
    people = len(covariance)
    to_camera = np.zeros((people, 6, 6))
    to_camera[:, :3, :3] = np.eye(3)
    to_camera[:, :3, 3:] = -cross_matrices(hips) @ posed_rotations
    to_camera[:, 3:, 3:] = posed_rotations
    covariance = to_camera @ covariance @ to_camera.swapaxes(1, 2)
    origins = fitted.bodies.places + hips
    scaled = _scaled(covariance, origins, posed_rotations[:, :, 1], factors)
    scaled *= np.maximum(1.0, misfits / factors.usual_misfit)[:, None, None] ** 2
    along = origins * stature_sigmas[:, None]
    scaled[:, :3, :3] += along[:, :, None] * along[:, None]
    return scaled


def _scaled(
    covariance: np.ndarray, origins: np.ndarray, long_axes: np.ndarray, factors: CovarianceFactors
) -> np.ndarray:
    distances = np.linalg.norm(origins, axis=1, keepdims=True)
    scale = np.zeros_like(covariance)
    scale[:, :3, :3] = _about(
        origins / np.maximum(distances, _NEAREST_M), factors.along, factors.across
    )
    scale[:, 3:, 3:] = _about(long_axes, factors.turn, factors.tilt)
    return scale @ covariance @ scale.swapaxes(1, 2)


def _about(axes: np.ndarray, along: float, across: float) -> np.ndarray:
    """(people, 3, 3) that stretch by one factor along an axis and by another across it."""
    projection = axes[:, :, None] * axes[:, None]
    return along * projection + across * (np.eye(3) - projection)
