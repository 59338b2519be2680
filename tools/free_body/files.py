"""The body's files: the compact one that is shipped, and the full one for the smplx package.

Both are npz in the layout of SMPL-X. The compact file stores directions in half precision on a
fixed grid and leaves out arrays that would be all zeros; the zip inside the npz does the rest,
zeros of dense arrays included.
"""

import os
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from human3r.body.skeleton import JOINT_PARENTS, NUM_JOINTS, VERTEX_LANDMARK_NAMES

INFLUENCES = 6
TEMPLATE_STEPS = 1 << 20
DIRECTION_STEPS = 1 << 17
WEIGHT_STEPS = 1 << 16
TEXTURE_STEPS = (1 << 16) - 1
_HAND_NUMBERS = 45


def quantise_weights(weights: np.ndarray) -> np.ndarray:
    """The six largest weights per row as multiples of 2^-16 that sum to exactly one, float32."""
    order = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    kept = np.take_along_axis(weights, order, axis=1)
    steps = np.round(kept / kept.sum(axis=1, keepdims=True) * WEIGHT_STEPS)
    # The largest weight takes what rounding left over, so that no row gains or loses mass.
    steps[:, 0] += WEIGHT_STEPS - steps.sum(axis=1)
    dense = np.zeros(weights.shape, np.float32)
    np.put_along_axis(dense, order, (steps / WEIGHT_STEPS).astype(np.float32), axis=1)
    return dense


def compact_arrays(
    template: np.ndarray,
    triangles: np.ndarray,
    directions: np.ndarray,
    weights: np.ndarray,
    regressor: csr_matrix,
    landmark_vertices: np.ndarray,
    face_landmarks: tuple[np.ndarray, np.ndarray],
    texture: np.ndarray,
    texture_triangles: np.ndarray,
) -> dict[str, np.ndarray]:
    """Everything the shipped file holds, by array name; see docs/free-body.md."""
    tree = np.array([(2**32 - 1, *JOINT_PARENTS[1:]), range(NUM_JOINTS)])
    sparse = regressor.tocoo()
    return {
        "v_template": _on_grid(template, TEMPLATE_STEPS).astype(np.float32),
        "f": triangles.astype(np.uint16),
        "shapedirs": _on_grid(directions, DIRECTION_STEPS).astype(np.float16),
        "weights": quantise_weights(weights),
        "J_regressor_row": sparse.row.astype(np.uint8),
        "J_regressor_column": sparse.col.astype(np.uint16),
        "J_regressor_value": sparse.data.astype(np.float32),
        "kintree_table": tree.astype(np.uint32),
        "lmk_faces_idx": face_landmarks[0].astype(np.uint16),
        "lmk_bary_coords": face_landmarks[1].astype(np.float32),
        "landmark_vertices": landmark_vertices.astype(np.uint16),
        "landmark_names": np.array(VERTEX_LANDMARK_NAMES),
        "vt": np.round(texture * TEXTURE_STEPS).astype(np.uint16),
        "ft": texture_triangles.astype(np.uint16),
    }


def full_arrays(compact: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The compact arrays as every key that the smplx package reads, dense and in float32.

    Hands have no pose statistics, so their components are the identity: the 45 numbers of a hand
    are its joint rotations. There is no face contour; ``use_face_contour`` cannot be used.
    """
    template = compact["v_template"]
    regressor = np.zeros((NUM_JOINTS, len(template)), np.float32)
    rows, columns = compact["J_regressor_row"], compact["J_regressor_column"]
    regressor[rows, columns] = compact["J_regressor_value"]
    hands = {}
    for side in "lr":
        hands[f"hands_components{side}"] = np.eye(_HAND_NUMBERS, dtype=np.float32)
        hands[f"hands_mean{side}"] = np.zeros(_HAND_NUMBERS, np.float32)
    return {
        "v_template": template,
        "f": compact["f"].astype(np.uint32),
        "shapedirs": compact["shapedirs"].astype(np.float32),
        "posedirs": np.zeros((*template.shape, 9 * (NUM_JOINTS - 1)), np.float32),
        "J_regressor": regressor,
        "weights": compact["weights"],
        "kintree_table": compact["kintree_table"],
        "lmk_faces_idx": compact["lmk_faces_idx"].astype(np.int64),
        "lmk_bary_coords": compact["lmk_bary_coords"],
        "landmark_vertices": compact["landmark_vertices"],
        "landmark_names": compact["landmark_names"],
        "vt": (compact["vt"] / TEXTURE_STEPS).astype(np.float32),
        "ft": compact["ft"].astype(np.uint32),
        **hands,
    }


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed npz under a temporary name beside the target, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _on_grid(values: np.ndarray, steps: int) -> np.ndarray:
    # Adding zero turns -0.0 into 0.0, which packs better and compares equal byte for byte.
    return np.round(values * steps) / steps + 0.0
