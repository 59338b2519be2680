"""Forward kinematics of the 55 joints in plain NumPy, for files and pictures of many frames."""

import numpy as np
from jaxtyping import Float

from human3r.body import skeleton


def skeleton_rotations(rotations: Float[np.ndarray, "n 53 3 3"]) -> Float[np.ndarray, "n 55 3 3"]:
    """Rotations in the order of the skeleton, in double precision; eyes look straight.

    Each is replaced by the nearest rotation: single precision leaves 1e-7 of skew.
    """
    ordered = np.tile(np.eye(3), (len(rotations), skeleton.NUM_JOINTS, 1, 1))
    u, _, vt = np.linalg.svd(rotations.astype(np.float64))
    u[..., :, 2] *= np.linalg.det(u @ vt)[..., None]
    ordered[:, skeleton.JOINT_OF_ROTATION] = u @ vt
    return ordered


def global_rotations(
    rotations: Float[np.ndarray, "n joints 3 3"],
) -> Float[np.ndarray, "n joints 3 3"]:
    """Rotations of the first joints, or all, to the frame of the root's; from child in parent."""
    chained = np.array(rotations, np.float64)
    for joint, parent in enumerate(skeleton.JOINT_PARENTS[1 : rotations.shape[1]], start=1):
        chained[:, joint] = chained[:, parent] @ rotations[:, joint]
    return chained


def posed_joints(
    rotations: Float[np.ndarray, "n 55 3 3"],
    rest_joints: Float[np.ndarray, "55 3"],
    root: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, "n 55 3"]:
    """Joints of a skeleton of given bones whose pelvis is at ``root``.

    Args:
        rotations: child in parent; the root's in the frame of ``root``.
        rest_joints: before posing; only differences matter.
        root: place of the pelvis.
    """
    chained = global_rotations(rotations)
    joints = np.empty((len(rotations), skeleton.NUM_JOINTS, 3))
    joints[:, 0] = root
    for joint, parent in enumerate(skeleton.JOINT_PARENTS[1:], start=1):
        bone = rest_joints[joint] - rest_joints[parent]
        joints[:, joint] = joints[:, parent] + chained[:, parent] @ bone
    return joints
