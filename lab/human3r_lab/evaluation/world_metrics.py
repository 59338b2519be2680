"""Errors of one person's motion in the world frame.

Joints are (frames, joints, 3) metres over the frames in which the person was matched. Source of
the definitions: Ye et al. 2023 (W-MPJPE, WA-MPJPE), Shen et al. 2024 (RTE), as used by Human3R.
"""

import numpy as np
from jaxtyping import Float

from human3r_lab.evaluation.alignment import align_similarity
from human3r_lab.evaluation.body_metrics import MM_PER_M, mean_distance_mm

CHUNK_FRAMES = 100
_FIRST_FRAMES = 2
_MAX_STANCE_STEP_M = 0.01


def world_mpjpe_mm(
    predicted: Float[np.ndarray, "frames joints 3"], true: Float[np.ndarray, "frames joints 3"]
) -> Float[np.ndarray, " frames"]:
    """W-MPJPE per frame: each chunk of 100 frames is aligned by its first two alone."""
    return _chunked_mpjpe_mm(predicted, true, _FIRST_FRAMES)


def world_aligned_mpjpe_mm(
    predicted: Float[np.ndarray, "frames joints 3"], true: Float[np.ndarray, "frames joints 3"]
) -> Float[np.ndarray, " frames"]:
    """WA-MPJPE per frame: each chunk of 100 frames is aligned as a whole."""
    return _chunked_mpjpe_mm(predicted, true, CHUNK_FRAMES)


def root_translation_error_percent(
    predicted_root: Float[np.ndarray, "frames 3"],
    true_root: Float[np.ndarray, "frames 3"],
    *,
    with_scale: bool = False,
) -> Float[np.ndarray, " frames"]:
    """RTE per frame: root error after aligning the whole path, in percent of the path's length.

    NaN where the true root never moves.
    """
    aligned = align_similarity(predicted_root, true_root, with_scale=with_scale).apply(
        np.asarray(predicted_root, np.float64)
    )
    length_m = path_length_m(true_root)
    if length_m == 0:
        return np.full(len(true_root), np.nan)
    return 100 * np.linalg.norm(aligned - true_root, axis=-1) / length_m


def path_length_m(places: Float[np.ndarray, "frames 3"]) -> float:
    """Sum of the steps between consecutive places."""
    return float(np.linalg.norm(np.diff(np.asarray(places, np.float64), axis=0), axis=-1).sum())


def jitter(
    joints: Float[np.ndarray, "frames joints 3"], rate_hz: float
) -> Float[np.ndarray, " jerks"]:
    """Mean jerk of the joints in 10 m/s^3, one for every four consecutive frames."""
    jerk = np.diff(np.asarray(joints, np.float64), n=3, axis=0) * rate_hz**3
    return np.linalg.norm(jerk, axis=-1).mean(axis=-1) / 10


def foot_sliding_mm(
    predicted_feet: Float[np.ndarray, "frames feet 3"],
    true_feet: Float[np.ndarray, "frames feet 3"],
) -> Float[np.ndarray, " steps"]:
    """How far foot points move between frames in which the true ones move less than 1 cm."""
    true_step_m = np.linalg.norm(np.diff(np.asarray(true_feet, np.float64), axis=0), axis=-1)
    step_m = np.linalg.norm(np.diff(np.asarray(predicted_feet, np.float64), axis=0), axis=-1)
    return MM_PER_M * step_m[true_step_m < _MAX_STANCE_STEP_M]


def _chunked_mpjpe_mm(predicted: np.ndarray, true: np.ndarray, fit_frames: int) -> np.ndarray:
    errors = []
    for start in range(0, len(true), CHUNK_FRAMES):
        p, t = (np.asarray(x[start : start + CHUNK_FRAMES], np.float64) for x in (predicted, true))
        fit = align_similarity(p[:fit_frames].reshape(-1, 3), t[:fit_frames].reshape(-1, 3))
        errors.append(mean_distance_mm(fit.apply(p.reshape(-1, 3)).reshape(p.shape), t))
    return np.concatenate(errors) if errors else np.zeros(0)
