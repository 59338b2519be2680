"""The 21 landmark vertices: nose, eyes, ears, feet, finger tips; and the vertex order they ask for.

The ``smplx`` package finds these landmarks by fixed vertex numbers, so the mesh is renumbered
until each number lies on the anatomy it stands for.
"""

import numpy as np

from human3r.body.skeleton import (
    JOINT_NAMES,
    SMPLX_LANDMARK_VERTICES,
    VERTEX_LANDMARK_NAMES,
)

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
SIDES = (("left", 1.0), ("right", -1.0))


def find_landmark_vertices(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Numbers (21,) of the landmark vertices, in the order of ``VERTEX_LANDMARK_NAMES``.

    Args:
        vertices: (vertices, 3) zero pose, y up, facing +z, left at +x.
        joints: (55, 3) joint centres.
        weights: (vertices, 55) skin weights.
    """
    joint = {name: joints[number] for number, name in enumerate(JOINT_NAMES)}
    owner = np.array(JOINT_NAMES)[weights.argmax(axis=1)]
    head = np.isin(owner, ("head", "jaw"))
    x, y, z = vertices.T

    def farthest(score: np.ndarray, among: np.ndarray) -> int:
        return int(np.where(among, score, -np.inf).argmax())

    eye_y = joint["left_eye_smplhf"][1]
    below_eyes = head & (np.abs(x) < 0.02) & (y < eye_y) & (y > eye_y - 0.06)
    found = {"nose": farthest(z, below_eyes)}
    for side, sign in SIDES:
        found[f"{side}_eye"] = farthest(z, owner == f"{side}_eye_smplhf")
        found[f"{side}_ear"] = farthest(sign * x, head)
        toes = owner == f"{side}_foot"
        inner = sign * x < (sign * x)[toes].mean()
        found[f"{side}_big_toe"] = farthest(z, toes & inner)
        found[f"{side}_small_toe"] = farthest(sign * x + 0.3 * z, toes & ~inner)
        foot = toes | (owner == f"{side}_ankle")
        sole = foot & (y < y[foot].min() + 0.04)
        found[f"{side}_heel"] = farthest(-z - 0.3 * y, sole)
        for finger in FINGERS:
            tip = joint[f"{side}_{finger}3"]
            along = tip - joint[f"{side}_{finger}2"]
            reach = (vertices - tip) @ along
            found[f"{side}_{finger}"] = farthest(reach, owner == f"{side}_{finger}3")
    return np.array([found[name] for name in VERTEX_LANDMARK_NAMES])


def order_for_landmarks(landmarks: np.ndarray, num_vertices: int) -> np.ndarray:
    """Which old vertex stands at each new number, landmarks at the numbers of SMPL-X.

    Raises:
        ValueError: fewer vertices than the numbers need, or one vertex for two landmarks.
    """
    places = np.array(SMPLX_LANDMARK_VERTICES)
    if num_vertices <= places.max() or len(np.unique(landmarks)) != len(landmarks):
        raise ValueError(
            f"{num_vertices} vertices and landmarks {landmarks.tolist()}: expected more than "
            f"{places.max()} vertices and a vertex of its own for every landmark"
        )
    order = np.full(num_vertices, -1)
    order[places] = landmarks
    order[order < 0] = np.setdiff1d(np.arange(num_vertices), landmarks)
    return order
