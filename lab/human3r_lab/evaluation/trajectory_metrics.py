"""Errors of a camera path, as the TUM RGB-D benchmark defines them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from human3r.geometry import invert
from human3r_lab.evaluation.alignment import align_similarity
from human3r_lab.evaluation.world_metrics import path_length_m


@dataclass(frozen=True)
class TrajectoryErrors:
    """One camera path against the truth."""

    ate_m: float
    """Root mean square of the places' distances after the best similarity."""
    ate_percent: float
    """The same in percent of the true path's length; NaN for a camera that stands still."""
    ate_rigid_percent: float
    """The same after the best rigid motion, nothing scaled."""
    rpe_m: float
    """Root mean square translation error of one-frame motions, aligned and scaled."""
    rpe_deg: float
    """Root mean square rotation error of one-frame motions."""
    scale: float
    """True size over predicted size of the path: 1 is metric. NaN without movement."""
    drift_m: float
    """Mean distance of the places when only the first cameras coincide, nothing scaled."""
    path_length_m: float


def trajectory_errors(
    predicted: Float[np.ndarray, "frames 4 4"], true: Float[np.ndarray, "frames 4 4"]
) -> TrajectoryErrors:
    """Errors of world_from_camera poses, at least two; the two worlds may differ.

    Source: Sturm et al. 2012, "A benchmark for the evaluation of RGB-D SLAM systems" (ATE, RPE);
    alignment by Umeyama 1991.
    """
    predicted = np.array(predicted, np.float64)
    true = np.asarray(true, np.float64)
    length_m = path_length_m(true[:, :3, 3])
    drift = _from_first(predicted)[:, :3, 3] - _from_first(true)[:, :3, 3]
    fit = align_similarity(predicted[:, :3, 3], true[:, :3, 3])
    rigid = align_similarity(predicted[:, :3, 3], true[:, :3, 3], with_scale=False)
    off_m = _rms(np.linalg.norm(rigid.apply(predicted[:, :3, 3]) - true[:, :3, 3], axis=-1))
    aligned = predicted
    aligned[:, :3, 3] = fit.apply(predicted[:, :3, 3])
    aligned[:, :3, :3] = fit.rotation @ predicted[:, :3, :3]
    ate_m = _rms(np.linalg.norm(aligned[:, :3, 3] - true[:, :3, 3], axis=-1))
    error = invert(_steps(true)) @ _steps(aligned)
    return TrajectoryErrors(
        ate_m=ate_m,
        ate_percent=100 * ate_m / length_m if length_m > 0 else float("nan"),
        ate_rigid_percent=100 * off_m / length_m if length_m > 0 else float("nan"),
        rpe_m=_rms(np.linalg.norm(error[:, :3, 3], axis=-1)),
        rpe_deg=_rms(np.degrees(Rotation.from_matrix(error[:, :3, :3]).magnitude())),
        scale=float(fit.scale) if length_m > 0 else float("nan"),
        drift_m=float(np.linalg.norm(drift, axis=-1).mean()),
        path_length_m=length_m,
    )


def _steps(world_from_camera: np.ndarray) -> np.ndarray:
    """Each camera in the frame of the one before it."""
    return invert(world_from_camera[:-1]) @ world_from_camera[1:]


def _from_first(world_from_camera: np.ndarray) -> np.ndarray:
    return invert(world_from_camera[:1]) @ world_from_camera


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
