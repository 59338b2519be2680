"""A made-up body model in the file layout of SMPL-X v1.1, for tests without the licensed files.

Array names, shapes and kinematic tree are the true ones, proportions are roughly human, and every
number comes from a seeded generator, so the golden bodies of seed 7 can be compared exactly. A
smaller number of vertices gives the same layout with its own landmark vertices.
"""

from pathlib import Path

import numpy as np

SMPLX_VERTICES, SMPLX_FACES, NUM_JOINTS = 10475, 20908, 55

_PARENTS = [
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15),
    *(20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38),
    *(21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53),
]

# T-pose joint places in metres: x to the body's left, y up, z forward.
_BODY_JOINTS = [
    (0.00, -0.35, 0.02),
    (0.06, -0.44, 0.02),
    (-0.06, -0.44, 0.02),
    (0.00, -0.24, -0.02),
    (0.11, -0.82, 0.00),
    (-0.11, -0.82, 0.00),
    (0.00, -0.10, -0.01),
    (0.09, -1.22, -0.03),
    (-0.09, -1.22, -0.03),
    (0.00, -0.05, 0.00),
    (0.12, -1.28, 0.09),
    (-0.12, -1.28, 0.09),
    (0.00, 0.12, -0.03),
    (0.05, 0.04, -0.02),
    (-0.05, 0.04, -0.02),
    (0.00, 0.28, 0.01),
    (0.17, 0.07, -0.03),
    (-0.17, 0.07, -0.03),
    (0.43, 0.05, -0.06),
    (-0.43, 0.05, -0.06),
    (0.68, 0.06, -0.06),
    (-0.68, 0.06, -0.06),
    (0.00, 0.24, 0.02),
    (0.03, 0.32, 0.08),
    (-0.03, 0.32, 0.08),
]
_FINGER_Z = [0.02, -0.005, -0.05, -0.03, 0.05]  # index, middle, pinky, ring, thumb


def rest_joints() -> np.ndarray:
    """(55, 3) float64 metres."""
    places = np.zeros((NUM_JOINTS, 3))
    places[: len(_BODY_JOINTS)] = _BODY_JOINTS
    for wrist, first, side in ((20, 25, 1.0), (21, 40, -1.0)):
        for finger in range(5):
            for link in range(3):
                reach = 0.04 + 0.035 * link if finger == 4 else 0.09 + 0.028 * link
                offset = (side * reach, -0.01 * link, _FINGER_Z[finger])
                places[first + 3 * finger + link] = places[wrist] + offset
    return places


def build(
    seed: int = 7,
    dtype: str = "float32",
    num_vertices: int = SMPLX_VERTICES,
    num_faces: int = SMPLX_FACES,
) -> dict[str, np.ndarray]:
    """The arrays of one file; the order in which random numbers are drawn is part of the recipe."""
    rng = np.random.Generator(np.random.PCG64(seed))
    joints, parents = rest_joints(), np.array(_PARENTS)
    tips = _bone_tips(joints, parents)
    share = np.full(NUM_JOINTS, 1.0)
    share[:22] = 4.0
    share[[0, 3, 6, 9, 15]] = 12.0
    share /= share.sum()
    owner = np.sort(rng.choice(NUM_JOINTS, size=num_vertices, p=share))
    owner[:NUM_JOINTS] = np.arange(NUM_JOINTS)  # every joint owns at least one vertex
    along = rng.uniform(-0.1, 1.0, size=num_vertices)
    radius = np.where(owner < 22, 0.055, 0.008)
    radius[np.isin(owner, [0, 3, 6, 9])] = 0.11
    radius[owner == 15] = 0.09
    direction = rng.standard_normal((num_vertices, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    bone = tips[owner] - joints[owner]
    template = joints[owner] + along[:, None] * bone + radius[:, None] * direction
    weights = _skin_weights(owner, along, parents)
    regressor = _joint_regressor(rng, template, joints)
    shapedirs = _shape_directions(rng, template, owner)
    posedirs = 0.002 * rng.standard_normal((num_vertices, 3, 9 * (NUM_JOINTS - 1)))
    faces = np.stack(
        [rng.permutation(num_vertices)[np.arange(num_faces) % num_vertices] for _ in range(3)], 1
    )
    barycentric = rng.uniform(0.1, 1.0, size=(51, 3))
    contour = rng.uniform(0.1, 1.0, size=(79, 17, 3))
    components = np.linalg.qr(rng.standard_normal((2, 45, 45)))[0]
    arrays = {
        "v_template": template.astype(dtype),
        "shapedirs": shapedirs.astype(dtype),
        "posedirs": posedirs.astype(dtype),
        "J_regressor": regressor.astype(dtype),
        "weights": weights.astype(dtype),
        "kintree_table": np.stack([[2**32 - 1, *_PARENTS[1:]], np.arange(NUM_JOINTS)]).astype(
            np.int64
        ),
        "f": faces.astype(np.uint32),
        "hands_meanl": (0.1 * rng.standard_normal(45)).astype(dtype),
        "hands_meanr": (0.1 * rng.standard_normal(45)).astype(dtype),
        "hands_componentsl": components[0].astype(dtype),
        "hands_componentsr": components[1].astype(dtype),
        "lmk_faces_idx": rng.integers(0, num_faces, 51).astype(np.int64),
        "lmk_bary_coords": (barycentric / barycentric.sum(-1, keepdims=True)).astype(dtype),
        "dynamic_lmk_faces_idx": rng.integers(0, num_faces, (79, 17)).astype(np.int64),
        "dynamic_lmk_bary_coords": (contour / contour.sum(-1, keepdims=True)).astype(dtype),
    }
    if num_vertices != SMPLX_VERTICES:
        arrays["landmark_vertices"] = np.linspace(0, num_vertices - 1, 21).astype(np.int64)
    return arrays


def write(
    directory: Path, seed: int = 7, num_vertices: int = SMPLX_VERTICES, num_faces: int = SMPLX_FACES
) -> Path:
    """``directory/smplx/SMPLX_NEUTRAL.npz``: 116 MB at full size, 3.4 MB with 300 vertices."""
    path = directory / "smplx" / "SMPLX_NEUTRAL.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **build(seed, num_vertices=num_vertices, num_faces=num_faces))
    return path


def _bone_tips(joints: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Where each joint's bone ends: the mean of its children, or a stub."""
    tips = np.zeros((NUM_JOINTS, 3))
    for joint in range(NUM_JOINTS):
        children = np.where(parents == joint)[0]
        if len(children):
            tips[joint] = joints[children].mean(0)
        else:
            tips[joint] = joints[joint] + 0.35 * (joints[joint] - joints[parents[joint]])
    return tips


def _skin_weights(owner: np.ndarray, along: np.ndarray, parents: np.ndarray) -> np.ndarray:
    num_vertices = len(owner)
    weights = np.zeros((num_vertices, NUM_JOINTS))
    blend = np.clip(0.5 - 2.0 * along, 0.0, 0.5)
    weights[np.arange(num_vertices), owner] = 1.0 - blend
    weights[np.arange(num_vertices), np.maximum(parents[owner], 0)] += blend
    return weights


def _joint_regressor(
    rng: np.random.Generator, template: np.ndarray, joints: np.ndarray
) -> np.ndarray:
    regressor = np.zeros((NUM_JOINTS, len(template)))
    for joint in range(NUM_JOINTS):
        distance = np.linalg.norm(template - joints[joint], axis=1)
        near = np.argsort(distance, kind="stable")[:24]
        share = rng.uniform(0.5, 1.0, size=len(near))
        regressor[joint, near] = share / share.sum()
    return regressor


def _shape_directions(
    rng: np.random.Generator, template: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """300 smooth body directions with a little roughness, then 100 that move the face alone."""
    num_vertices = len(template)
    directions = np.zeros((num_vertices, 3, 400))
    linear = rng.standard_normal((400, 3, 3)) * 0.02
    directions[:, :, :300] = np.einsum("kab,vb->vak", linear[:300], template)
    directions[:, :, :300] += 0.001 * rng.standard_normal((num_vertices, 3, 300))
    face = np.isin(owner, [15, 22, 23, 24])[:, None, None]
    directions[:, :, 300:] = 0.004 * rng.standard_normal((num_vertices, 3, 100)) * face
    return directions
