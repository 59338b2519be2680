"""Errors of the camera: its path, its focal length, and what odometry claims about it."""

import math

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.config import OdometrySettings
from human3r.geometry import invert
from human3r.types import FrameEstimate
from human3r_lab.evaluation.measures import Measure, RunningMean
from human3r_lab.evaluation.trajectory_metrics import trajectory_errors
from human3r_lab.evaluation.truth import TrueView

_LEAST_PATH_M = 0.5
"""Below this length of a path its scale, and an error in percent of it, say nothing."""


class CameraPart:
    """Feed it every frame; keeps two poses per frame."""

    def __init__(self, odometry: OdometrySettings) -> None:
        self._odometry = odometry
        self._predicted: list[np.ndarray] = []
        self._true: list[np.ndarray] = []
        self._variances: list[tuple[float, float]] = []
        self._focal = RunningMean()

    def add(self, view: TrueView, estimate: FrameEstimate) -> None:
        """One more frame."""
        if view.world_from_camera is not None:
            self._predicted.append(estimate.world_from_camera)
            self._true.append(view.world_from_camera)
            self._variances.append(self._published(estimate))
        if view.intrinsics is not None and estimate.estimated_focal_px > 0:
            self._focal.add(100 * abs(estimate.estimated_source_focal_px / view.intrinsics.fx - 1))

    def means(self) -> dict[str, Measure]:
        """One number each for the sequence."""
        found: dict[str, Measure] = {}
        focal = self._focal.measure()
        if focal is not None:
            found["focal_error_percent"] = Measure(focal.value, 1)
        if len(self._true) < 2:
            return found
        predicted, true = np.stack(self._predicted), np.stack(self._true)
        errors = vars(trajectory_errors(predicted, true))
        is_moving = errors["path_length_m"] >= _LEAST_PATH_M
        for name in ("ate_m", "rpe_m", "rpe_deg", "drift_m"):
            found[name] = Measure(errors[name], 1)
        if is_moving:
            for name in ("ate_percent", "ate_rigid_percent"):
                found[name] = Measure(errors[name], 1)
            if math.isfinite(errors["scale"]):
                found["camera_scale"] = Measure(errors["scale"], 1)
        return found | self._in_stddev(predicted, true)

    def _in_stddev(self, predicted: np.ndarray, true: np.ndarray) -> dict[str, Measure]:
        """Root mean square of errors over the standard deviations that odometry publishes."""
        error = invert(invert(true[:1]) @ true) @ (invert(predicted[:1]) @ predicted)
        turn_rad = Rotation.from_matrix(error[:, :3, :3]).magnitude()
        squares = np.stack([(error[:, :3, 3] ** 2).sum(axis=1), turn_rad**2], axis=1)
        variances = np.array(self._variances)
        # Where the world begins nothing can be off.
        is_known = (variances > 0).all(axis=1)
        if not is_known.any():
            return {}
        place, turn = np.sqrt((squares[is_known] / variances[is_known]).mean(axis=0))
        return {
            "position_in_stddev": Measure(float(place), 1),
            "rotation_in_stddev": Measure(float(turn), 1),
        }

    def _published(self, estimate: FrameEstimate) -> tuple[float, float]:
        """Variance of place in square metres, and of rotation, each summed over the axes."""
        covariance = estimate.camera_covariance
        if covariance is not None:
            diagonal = np.diag(covariance)
            return float(diagonal[:3].sum()), float(diagonal[3:].sum())
        settings = self._odometry
        return 3 * settings.position_stddev_m**2, 3 * settings.rotation_stddev_rad**2
