"""The joints of SMPL-X: names, parents, landmarks, and the order in which rotations come.

Rotations of the network are 53: root, 21 body, 15 left hand, 15 right hand joints, jaw. The
skeleton has 55 joints, in SMPL-X's own order: jaw and eyes stand before the hands.
"""

import numpy as np

from human3r.errors import BodyModelError

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")

JOINT_NAMES: tuple[str, ...] = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2"),
    *("left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck"),
    *("left_collar", "right_collar", "head", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("jaw", "left_eye_smplhf", "right_eye_smplhf"),
    *(f"left_{finger}{link}" for finger in _FINGERS for link in (1, 2, 3)),
    *(f"right_{finger}{link}" for finger in _FINGERS for link in (1, 2, 3)),
)
"""The 55 rotating joints, skeleton order."""

JOINT_PARENTS: tuple[int, ...] = (
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15),
    *(20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38),
    *(21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53),
)
"""Parent of each of the 55 joints; -1 for the pelvis. A parent always stands before its child."""

NUM_JOINTS = 55
NUM_ROTATIONS = 53
PELVIS, JAW, HEAD = 0, 22, 15
LEFT_EYE, RIGHT_EYE = 23, 24

JOINT_OF_ROTATION: tuple[int, ...] = (*range(22), *range(25, 40), *range(40, 55), JAW)
"""Skeleton joint of each of the 53 rotations."""

VERTEX_LANDMARK_NAMES: tuple[str, ...] = (
    *("nose", "right_eye", "left_eye", "right_ear", "left_ear"),
    *("left_big_toe", "left_small_toe", "left_heel"),
    *("right_big_toe", "right_small_toe", "right_heel"),
    *("left_thumb", "left_index", "left_middle", "left_ring", "left_pinky"),
    *("right_thumb", "right_index", "right_middle", "right_ring", "right_pinky"),
)
"""The 21 landmarks that are single vertices; the finger names mean finger tips."""

SMPLX_NUM_VERTICES = 10475
SMPLX_LANDMARK_VERTICES: tuple[int, ...] = (
    *(9120, 9929, 9448, 616, 6),
    *(5770, 5780, 8846),
    *(8463, 8474, 8635),
    *(5361, 4933, 5058, 5169, 5286),
    *(8079, 7669, 7794, 7905, 8022),
)
"""Vertex numbers of these landmarks on the SMPL-X mesh of 10475 vertices."""

FACE_LANDMARK_NAMES: tuple[str, ...] = (
    *(f"right_eye_brow{i}" for i in (1, 2, 3, 4, 5)),
    *(f"left_eye_brow{i}" for i in (5, 4, 3, 2, 1)),
    *("nose1", "nose2", "nose3", "nose4"),
    *("right_nose_2", "right_nose_1", "nose_middle", "left_nose_1", "left_nose_2"),
    *(f"right_eye{i}" for i in (1, 2, 3, 4, 5, 6)),
    *(f"left_eye{i}" for i in (4, 3, 2, 1, 6, 5)),
    *("right_mouth_1", "right_mouth_2", "right_mouth_3", "mouth_top"),
    *("left_mouth_3", "left_mouth_2", "left_mouth_1", "left_mouth_5", "left_mouth_4"),
    *("mouth_bottom", "right_mouth_4", "right_mouth_5"),
    *("right_lip_1", "right_lip_2", "lip_top", "left_lip_2", "left_lip_1"),
    *("left_lip_3", "lip_bottom", "right_lip_3"),
)
"""The 51 landmarks that lie on faces: brows, nose, eyes, mouth, lips."""


def levels(parents: tuple[int, ...] = JOINT_PARENTS) -> tuple[tuple[int, ...], ...]:
    """Joints by distance from the root, root first: a level needs only the level before it."""
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    return tuple(
        tuple(joint for joint, d in enumerate(depth) if d == level)
        for level in range(max(depth) + 1)
    )


FACE = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")
"""Landmarks that are published after the rotating joints, in this order."""


def published_joints(joint_names: tuple[str, ...]) -> np.ndarray:
    """Indices into a body model's joints of the 60 published ones.

    Raises:
        BodyModelError: the model has no nose, eyes or ears.
    """
    missing = [name for name in FACE if name not in joint_names]
    if missing:
        raise BodyModelError(
            f"body model: no joints called {', '.join(missing)}; expected the SMPL-X landmarks "
            f"after its {NUM_JOINTS} joints. Use a body model file with them."
        )
    return np.array([*range(NUM_JOINTS), *(joint_names.index(name) for name in FACE)])
