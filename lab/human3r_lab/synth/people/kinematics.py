"""From rotations to joints and skin: the kinematic chain and linear blend skinning.

Source of the formulas: Loper et al. 2015 (SMPL), eq. 2-4.
"""

import numpy as np
from scipy import sparse

from human3r.body.skeleton import HEAD, JOINT_OF_ROTATION, JOINT_PARENTS, NUM_JOINTS
from human3r_lab.synth.compiler import kernel


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


def skin(vertices_m: np.ndarray, weights: sparse.csr_matrix, transforms: np.ndarray) -> np.ndarray:
    """(V, 3) posed vertices of one frame; not through BLAS, whose bits vary by threads.

    Args:
        vertices_m: (V, 3) float32 in the zero pose.
        weights: (V, 55) float32.
        transforms: (55, 3, 4) float32 from ``skin_transforms``.
    """
    posed = np.empty_like(vertices_m)
    matrices = transforms.reshape(NUM_JOINTS, 12)
    _skin(vertices_m, weights.indptr, weights.indices, weights.data, matrices, posed)
    return posed


@kernel()
def _skin(vertices_m, first, joints, weights, matrices, posed):
    """Fill ``posed``; ``joints`` and ``weights`` of vertex i start at ``first[i]``."""
    m = np.empty(12, np.float32)
    for i in range(vertices_m.shape[0]):
        m[:] = np.float32(0.0)
        for entry in range(first[i], first[i + 1]):
            for cell in range(12):
                m[cell] += weights[entry] * matrices[joints[entry], cell]
        x, y, z = vertices_m[i, 0], vertices_m[i, 1], vertices_m[i, 2]
        for row in range(3):
            posed[i, row] = (
                m[4 * row] * x + m[4 * row + 1] * y + m[4 * row + 2] * z + m[4 * row + 3]
            )
