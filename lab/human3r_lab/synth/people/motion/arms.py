"""Arms and hands over time: swinging in walking, or following gestures."""

import numpy as np

from human3r_lab.synth.people.motion.feet import SIDES
from human3r_lab.synth.people.motion.gestures import ArmGoal, arm_goal
from human3r_lab.synth.people.motion.limbs import aim_arm
from human3r_lab.synth.people.motion.noise import SmoothNoise, window
from human3r_lab.synth.people.motion.script import Gesture
from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.rotations import X, Y, Z, about, apply, blend
from human3r_lab.synth.people.template import JOINT, ROTATION

FINGERS = ("index", "middle", "pinky", "ring")
GESTURE_EASE_S = 0.6


def set_arms(
    rotations: np.ndarray,
    physique: Physique,
    times_s: np.ndarray,
    swing: np.ndarray,
    gestures: tuple[Gesture, ...],
    rng: np.random.Generator,
) -> None:
    """Fill collars, shoulders, elbows, wrists and fingers.

    Args:
        rotations: (T, 53, 3, 3), changed in place.
        physique: whose arms.
        times_s: (T,).
        swing: (T,) forward swing of the left arm, radians; the right arm swings against it.
        gestures: what else the arms do.
        rng: for the variations of a gesture.
    """
    hang_rad = rng.uniform(1.2, 1.3)
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        arm = _hanging(sign, sign * swing, hang_rad, times_s, rng)
        curl = rng.uniform(0.2, 0.55)
        fingers = _fingers(sign, np.full(len(times_s), curl), 0.0, rng)
        for gesture in gestures:
            gesture_rng = np.random.default_rng(rng.integers(2**63))
            if gesture.side not in (side, "both"):
                continue
            share = window(times_s, gesture.start_s, gesture.end_s, GESTURE_EASE_S)
            goal = arm_goal(gesture.name, side, physique, times_s, gesture_rng)
            posed = _reaching(side, sign, physique, goal)
            arm = [blend(a, b, share) for a, b in zip(arm, posed, strict=True)]
            held = _fingers(sign, np.full(len(times_s), goal.curl_rad), goal.is_pointing, rng)
            fingers = blend(fingers, held, share[:, None])
        for name, matrices in zip(("collar", "shoulder", "elbow", "wrist"), arm, strict=True):
            rotations[:, ROTATION[f"{side}_{name}"]] = matrices
        first = ROTATION[f"{side}_index1"]
        rotations[:, first : first + 15] = fingers


def _hanging(sign, swing, hang_rad, times_s, rng):
    """Collar, shoulder, elbow and wrist of an arm that swings forwards by ``swing``."""
    drift = 0.02 * SmoothNoise(rng, 4.0)(times_s)
    elbow_rad = rng.uniform(0.12, 0.35) + 0.55 * np.clip(swing, -0.1, 1) + drift
    shoulder = about(X, -swing - drift) @ about(Z, -sign * (hang_rad + drift))
    turn = rng.uniform(-0.2, 0.35)
    shoulder = shoulder @ about(X, np.full(len(times_s), turn))
    return [
        about(Z, np.full(len(times_s), -sign * 0.04)),
        shoulder,
        about(Y, -sign * np.maximum(elbow_rad, 0.04)),
        about(X, 0.5 * turn + drift) @ about(Z, sign * (rng.uniform(-0.1, 0.15) + drift)),
    ]


def _reaching(side: str, sign: float, physique: Physique, goal: ArmGoal) -> list[np.ndarray]:
    """Collar, shoulder, elbow and wrist that fulfil a goal."""
    frames = len(goal.wrist_m)
    joints = physique.joints_m
    upper = physique.bone(f"{side}_elbow", f"{side}_shoulder")
    lower = physique.bone(f"{side}_wrist", f"{side}_elbow")
    arm_m = np.linalg.norm(upper) + np.linalg.norm(lower)
    lift = goal.wrist_m[:, 1] - joints[JOINT[f"{side}_shoulder"]][1]
    collar = about(Z, sign * 0.4 * np.clip(lift / arm_m + 0.1, 0, 1))
    back = np.swapaxes(collar, 1, 2)
    root = joints[JOINT[f"{side}_collar"]]
    bone = physique.bone(f"{side}_shoulder", f"{side}_collar")
    target = apply(back, goal.wrist_m - root) - bone
    shoulder, elbow = aim_arm(upper, lower, target, apply(back, np.tile(goal.elbow, (frames, 1))))
    forearm = collar @ shoulder @ elbow
    palm = apply(np.swapaxes(forearm, 1, 2), np.tile(goal.palm, (frames, 1)))
    twist = np.clip(np.arctan2(-palm[:, 2], -palm[:, 1]), -1.5, 1.5)
    half = about(X, twist / 2)
    return [collar, shoulder, elbow @ half, half]


def _fingers(sign, curl_rad, is_pointing, rng) -> np.ndarray:
    """(T, 15, 3, 3) finger joints; the thumb follows half-way."""
    frames = len(curl_rad)
    matrices = np.tile(np.eye(3), (frames, 15, 1, 1))
    spread = rng.normal(0, 0.03, len(FINGERS))
    for number, finger in enumerate(FINGERS):
        amount = curl_rad * rng.uniform(0.85, 1.15)
        if is_pointing and finger == "index":
            amount = 0.05 * curl_rad
        for link in range(3):
            bend = about(Z, -sign * amount * (0.8 if link == 2 else 1.0))
            if link == 0:
                bend = about(Y, np.full(frames, spread[number])) @ bend
            matrices[:, 3 * number + link] = bend
    matrices[:, 12] = about(X, 0.25 * curl_rad) @ about(Y, sign * 0.35 * curl_rad)
    matrices[:, 13] = about(Y, sign * 0.5 * curl_rad)
    return matrices
