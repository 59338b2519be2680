"""From rotations to joints and skin: the kinematic chain and linear blend skinning in numpy.

Source of the formulas: Loper et al. 2015 (SMPL), eq. 2-4.
"""

import numpy as np

from human3r.body.skeleton import HEAD, JOINT_OF_ROTATION, JOINT_PARENTS, NUM_JOINTS


def joint_frames(
    rotations: np.ndarray, joints_m: np.ndarray, root_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """World rotation and place of every joint.

    Args:
        rotations: (frames, 53, 3, 3), root to world, children to parents.
        joints_m: (55, 3) joints of the zero pose.
        root_m: (frames, 3) where the pelvis joint is.

    Returns:
        (frames, 55, 3, 3) and (frames, 55, 3).
    """
    frames = len(rotations)
    turned = np.empty((frames, NUM_JOINTS, 3, 3))
    local = np.tile(np.eye(3), (frames, NUM_JOINTS, 1, 1))
    local[:, list(JOINT_OF_ROTATION)] = rotations
    places = np.empty((frames, NUM_JOINTS, 3))
    turned[:, 0], places[:, 0] = local[:, 0], root_m
    for joint in range(1, NUM_JOINTS):
        parent = JOINT_PARENTS[joint]
        turned[:, joint] = turned[:, parent] @ local[:, joint]
        bone = joints_m[joint] - joints_m[parent]
        places[:, joint] = places[:, parent] + turned[:, parent] @ bone
    return turned, places


def skin_transforms(rotations: np.ndarray, joints_m: np.ndarray, head_m: np.ndarray) -> np.ndarray:
    """(frames, 55, 3, 4) float32: zero pose to world, per joint, the head joint at ``head_m``."""
    turned, places = joint_frames(rotations, joints_m, np.zeros((len(rotations), 3)))
    places += (head_m - places[:, HEAD])[:, None]
    offsets = places - np.einsum("tjab,jb->tja", turned, joints_m)
    return np.concatenate([turned, offsets[..., None]], axis=-1).astype(np.float32)


def skin(vertices_m: np.ndarray, weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """(V, 3) posed vertices of one frame.

    Args:
        vertices_m: (V, 3) float32 in the zero pose.
        weights: (V, 55) float32.
        transforms: (55, 3, 4) float32 from ``skin_transforms``.
    """
    blended = weights @ transforms.reshape(NUM_JOINTS, 12)
    posed = np.empty_like(vertices_m)
    x, y, z = vertices_m.T
    for row in range(3):
        a, b, c, d = blended[:, 4 * row : 4 * row + 4].T
        posed[:, row] = a * x + b * y + c * z + d
    return posed
