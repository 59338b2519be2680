"""Scale of a scene from how long people's torsos are in the image.

A metric body placed where a scene of the wrong scale says is too near or too far, so its projected
torso is too long or too short. One such ratio is exact only for a torso parallel to the image, for
the body's own depth does not scale with the scene; so the body is placed again with the corrected
scale until the ratio is 1.

Source: the scale adjustment of CHROMM (arXiv 2603.12789), ``r = l_smpl / l_img``; here with the
median of people instead of the mean, and iterated.
"""

import numpy as np
from jaxtyping import Bool, Float

_SHORTEST_PX = 8.0
"""A torso that is seen from its end says nothing."""
_STEPS = 50
_DONE = 1e-4
_NEAREST_M = 0.05


def scale_from_torsos(
    head_px: Float[np.ndarray, "people 2"],
    pelvis_px: Float[np.ndarray, "people 2"],
    head_place: Float[np.ndarray, "people 3"],
    pelvis_from_head_m: Float[np.ndarray, "people 3"],
    focal_px: float,
) -> float | None:
    """The factor that makes the scene metric; None where no person can tell.

    Args:
        head_px: heads as detected.
        pelvis_px: pelvises as detected.
        head_place: heads in the camera frame, in the scene's unit.
        pelvis_from_head_m: from the head to the pelvis of the metric bodies, camera axes.
        focal_px: of the image.
    """
    length_px = np.linalg.norm(np.asarray(head_px) - pelvis_px, axis=-1)
    is_valid = np.isfinite(length_px) & (length_px >= _SHORTEST_PX) & (head_place[:, 2] > 0)
    if not is_valid.any():
        return None
    length_px, place = length_px[is_valid], np.asarray(head_place, np.float64)[is_valid]
    torso_m, scale = pelvis_from_head_m[is_valid], 1.0
    for _ in range(_STEPS):
        ratios, is_ahead = _ratios(scale * place, torso_m, length_px, focal_px)
        if not is_ahead.any():
            return None
        ratio = float(np.median(ratios[is_ahead]))
        scale *= ratio
        if abs(ratio - 1.0) < _DONE:
            break
    return scale


def _ratios(
    head: np.ndarray, torso: np.ndarray, length_px: np.ndarray, focal_px: float
) -> tuple[np.ndarray, Bool[np.ndarray, " people"]]:
    """Projected over seen lengths, and whose bodies are wholly in front of the camera."""
    pelvis = head + torso
    is_ahead = (head[:, 2] > _NEAREST_M) & (pelvis[:, 2] > _NEAREST_M)
    depths = np.maximum(np.stack([head[:, 2], pelvis[:, 2]]), _NEAREST_M)
    ends = focal_px * np.stack([head[:, :2], pelvis[:, :2]]) / depths[..., None]
    return np.linalg.norm(ends[0] - ends[1], axis=-1) / length_px, is_ahead
