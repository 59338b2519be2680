"""Where on the body a vertex lies: parts, and coordinates along them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from human3r_lab.synth.people.template import JOINT, body_template

TORSO, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG, HEAD = range(6)
_FINGERS = ("index", "middle", "pinky", "ring", "thumb")


@dataclass(frozen=True)
class Anatomy:
    """Template coordinates per vertex, metres, zero pose."""

    part: np.ndarray
    """(V,) TORSO to HEAD."""
    arm: np.ndarray
    """(V,) 0 shoulder, 1 elbow, 2 wrist, more on the hand; below 0 elsewhere."""
    leg: np.ndarray
    """(V,) 0 at the hip, 1 at the knee, 2 at the ankle; below 0 above the hip."""
    is_eye: np.ndarray
    is_mouth: np.ndarray
    """(V,) bool: teeth and tongue."""


@cache
def anatomy() -> Anatomy:
    """Of the free body."""
    template = body_template()
    joints = template.joints_m
    x, y, _ = template.vertices_m.astype(np.float64).T
    part = np.full(len(x), TORSO)
    part[template.owned_by("head", "jaw", "neck", "left_eye_smplhf", "right_eye_smplhf")] = HEAD
    arm = np.full(len(x), -1.0)
    leg = np.full(len(x), -1.0)
    for side, sign, arm_part, leg_part in (
        ("left", 1, LEFT_ARM, LEFT_LEG),
        ("right", -1, RIGHT_ARM, RIGHT_LEG),
    ):
        fingers = [f"{side}_{finger}{link}" for finger in _FINGERS for link in (1, 2, 3)]
        on_arm = template.owned_by(f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist", *fingers)
        on_leg = template.owned_by(f"{side}_hip", f"{side}_knee", f"{side}_ankle", f"{side}_foot")
        part[on_arm], part[on_leg] = arm_part, leg_part
        shoulder, elbow, wrist = (
            joints[JOINT[f"{side}_{name}"]] for name in ("shoulder", "elbow", "wrist")
        )
        along = np.interp(sign * x, sign * np.array([shoulder, elbow, wrist])[:, 0], [0, 1, 2])
        along += np.maximum(sign * (x - wrist[0]), 0) / (sign * (wrist[0] - elbow[0]))
        arm = np.where((sign * x > sign * shoulder[0]) & (y > -0.1), along, arm)
    hip, knee, ankle = (joints[JOINT[f"left_{name}"], 1] for name in ("hip", "knee", "ankle"))
    leg = np.where(y < hip, np.interp(-y, [-hip, -knee, -ankle], [0, 1, 2]), leg)
    leg = np.where(y < ankle, 2 + (ankle - y) / 0.1, leg)
    is_eye = template.owned_by("left_eye_smplhf", "right_eye_smplhf")
    return Anatomy(part, arm, leg, is_eye, _inside_mouth())


def _inside_mouth() -> np.ndarray:
    """(V,) bool: the separate small pieces owned by the jaw."""
    template = body_template()
    edges = template.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    shape = (template.num_vertices,) * 2
    links = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=shape)
    _, label = connected_components(links, directed=False)
    skin = label == np.bincount(label).argmax()
    return ~skin & template.owned_by("jaw")
