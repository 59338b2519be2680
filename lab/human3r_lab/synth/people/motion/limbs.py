"""Two-bone limbs: the rotations of hip and knee, or shoulder and elbow, that reach a place."""

import numpy as np

from human3r_lab.synth.people.rotations import X, Y, about, apply, frame_of

STRAIGHTEST = 0.998
"""Legs and arms stay this share of their full length, so that knees never lock."""


def bend_knee(upper_m: np.ndarray, lower_m: np.ndarray, reach_m: np.ndarray) -> np.ndarray:
    """(T,) flexion about x, radians, that brings the ankle this far (T,) from the hip."""
    dot_fixed = upper_m[0] * lower_m[0]
    cosine = upper_m[1] * lower_m[1] + upper_m[2] * lower_m[2]
    sine = upper_m[2] * lower_m[1] - upper_m[1] * lower_m[2]
    return _bend(dot_fixed, cosine, sine, upper_m, lower_m, reach_m)


def bend_elbow(upper_m: np.ndarray, lower_m: np.ndarray, reach_m: np.ndarray) -> np.ndarray:
    """(T,) flexion, radians, no sign: the left elbow turns by its negative about y."""
    sign = np.sign(upper_m[0])
    dot_fixed = upper_m[1] * lower_m[1]
    cosine = upper_m[0] * lower_m[0] + upper_m[2] * lower_m[2]
    sine = sign * (upper_m[2] * lower_m[0] - upper_m[0] * lower_m[2])
    return _bend(dot_fixed, cosine, sine, upper_m, lower_m, reach_m)


def _bend(dot_fixed, cosine, sine, upper_m, lower_m, reach_m):
    """Solve cosine cos(a) + sine sin(a) = wanted for the flexion a in [0, 2.7]."""
    wanted = (reach_m**2 - upper_m @ upper_m - lower_m @ lower_m) / 2 - dot_fixed
    amplitude = np.hypot(cosine, sine)
    offset = np.arctan2(sine, cosine)
    angle = offset + np.arccos(np.clip(wanted / amplitude, -1.0, 1.0))
    return np.clip(angle, 0.0, 2.7)


def aim_leg(
    upper_m: np.ndarray, lower_m: np.ndarray, target_m: np.ndarray, lateral: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hip and knee rotations that bring the ankle to a target.

    Args:
        upper_m: (3,) hip to knee in the zero pose.
        lower_m: (3,) knee to ankle in the zero pose.
        target_m: (T, 3) hip to ankle, in the pelvis frame.
        lateral: (T, 3) where the knee's hinge axis should point, in the pelvis frame.

    Returns:
        (T, 3, 3) each; the leg is stretched towards a target that is too far.
    """
    longest = STRAIGHTEST * (np.linalg.norm(upper_m) + np.linalg.norm(lower_m))
    reach = np.minimum(np.linalg.norm(target_m, axis=-1), longest)
    knee = about(X, bend_knee(upper_m, lower_m, reach))
    return _aim(upper_m, lower_m, knee, target_m, np.array([1.0, 0.0, 0.0]), lateral), knee


def aim_arm(
    upper_m: np.ndarray, lower_m: np.ndarray, target_m: np.ndarray, elbow: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Shoulder and elbow rotations that bring the wrist to a target.

    Args:
        upper_m: (3,) shoulder to elbow in the zero pose.
        lower_m: (3,) elbow to wrist in the zero pose.
        target_m: (T, 3) shoulder to wrist, in the collar frame.
        elbow: (T, 3) direction in which the elbow should stand out.
    """
    sign = np.sign(upper_m[0])
    longest = STRAIGHTEST * (np.linalg.norm(upper_m) + np.linalg.norm(lower_m))
    reach = np.clip(np.linalg.norm(target_m, axis=-1), 0.25 * longest, longest)
    bend = about(Y, -sign * bend_elbow(upper_m, lower_m, reach))
    hinge = sign * np.cross(target_m, elbow)
    return _aim(upper_m, lower_m, bend, target_m, np.array([0.0, 1.0, 0.0]), hinge), bend


def _aim(upper_m, lower_m, middle, target_m, hinge_axis, hinge):
    bent = upper_m + apply(middle, np.broadcast_to(lower_m, (len(middle), 3)))
    own = frame_of(bent, np.broadcast_to(hinge_axis, bent.shape))
    return frame_of(target_m, hinge) @ np.swapaxes(own, -1, -2)
