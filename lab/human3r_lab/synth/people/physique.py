"""A person's build: shape coefficients with a wanted stature, and the measures motion needs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from human3r.body.skeleton import HEAD
from human3r_lab.synth.people.kinematics import skin, skin_transforms
from human3r_lab.synth.people.rotations import X, about
from human3r_lab.synth.people.template import JOINT, ROTATION, body_template, no_rotations

ADULT_STATURE_M = (1.45, 2.0)
CHILD_STATURE_M = (1.0, 1.4)
_ADULT_SPREAD, _CHILD_SPREAD = 0.75, 0.3
_LIMIT = 2.0


@dataclass(frozen=True)
class Physique:
    """One body before posing, in the zero pose: x to the left, y up, z forward."""

    betas: np.ndarray
    """(10,) float32."""
    vertices_m: np.ndarray
    """(V, 3) float32."""
    joints_m: np.ndarray
    """(55, 3) float64."""
    stature_m: float

    @property
    def is_child(self) -> bool:
        """Shorter than adults are."""
        return self.stature_m < CHILD_STATURE_M[1]

    def bone(self, joint: str, parent: str) -> np.ndarray:
        """(3,) from the parent joint to the joint."""
        return self.joints_m[JOINT[joint]] - self.joints_m[JOINT[parent]]

    @cached_property
    def seat_clearance_m(self) -> float:
        """From the seat up to the pelvis joint of whoever sits on it."""
        template = body_template()
        rotations = no_rotations(1)
        for side in ("left", "right"):
            rotations[0, ROTATION[f"{side}_hip"]] = about(X, -np.pi / 2)
        pelvis = self.joints_m[0]
        transforms = skin_transforms(rotations, self.joints_m, self.joints_m[HEAD])[0]
        posed = skin(self.vertices_m, template.skin_weights, transforms)
        around = template.owned_by("pelvis", "left_hip", "right_hip")
        around &= posed[:, 2] < pelvis[2] + 0.12
        return float(pelvis[1] - posed[around, 1].min()) + 0.01

    @property
    def leg_length_m(self) -> float:
        """Hip to knee to ankle."""
        upper = self.bone("left_knee", "left_hip")
        lower = self.bone("left_ankle", "left_knee")
        return float(np.linalg.norm(upper) + np.linalg.norm(lower))


def physique_of(betas: np.ndarray) -> Physique:
    """The body of shape coefficients (10,)."""
    template = body_template()
    vertices = template.vertices_m + template.directions[..., :10] @ betas.astype(np.float32)
    joints = template.joints_m + template.joint_directions @ betas
    stature = float(np.ptp(vertices[:, 1]))
    return Physique(betas.astype(np.float32), vertices, joints, stature)


def random_physique(rng: np.random.Generator, *, is_child: bool = False) -> Physique:
    """A person of random shape; the first coefficient is solved for the stature."""
    if is_child:
        wanted_m = rng.uniform(*CHILD_STATURE_M)
    else:
        wanted_m = np.clip(rng.normal(1.7, 0.11), *ADULT_STATURE_M)
    spread = _CHILD_SPREAD if is_child else _ADULT_SPREAD
    betas = np.clip(rng.normal(0.0, spread, 10), -_LIMIT, _LIMIT)
    for _ in range(4):
        slope = (_stature(betas, 0.1) - _stature(betas, -0.1)) / 0.2
        betas[0] += (wanted_m - _stature(betas, 0.0)) / slope
    return physique_of(betas)


def _stature(betas: np.ndarray, step: float) -> float:
    template = body_template()
    moved = betas + step * np.eye(10)[0]
    heights = template.vertices_m[:, 1] + template.directions[:, 1, :10] @ moved.astype(np.float32)
    return float(np.ptp(heights))
