"""Arm gestures: where a wrist goes, which way elbow and palm point, how far the fingers curl.

All places lie in the chest's frame, in zero-pose coordinates (x left, y up, z forward).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from human3r_lab.synth.people.motion.noise import SmoothNoise
from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.template import JOINT

BOTH_HANDED = (
    *("fold", "carry", "clasp", "hips", "talk", "behind", "raise", "spread", "clap", "push"),
    *("anything", "anything"),
)
ONE_HANDED = (
    *("phone", "wave", "point", "reach", "hips", "talk", "drink", "scratch", "text", "raise"),
    *("anything", "anything"),
)
SEATED = (
    *(("lap", "both"), ("lap", "both"), ("knees", "both"), ("fold", "both"), ("clasp", "both")),
    *(("talk", "both"), ("table", "both"), ("text", "one"), ("phone", "one"), ("drink", "one")),
)


@dataclass(frozen=True)
class ArmGoal:
    """What one arm does over time."""

    wrist_m: np.ndarray
    """(T, 3)."""
    elbow: np.ndarray
    """(3,) direction the elbow stands out to."""
    palm: np.ndarray
    """(3,) direction the palm faces."""
    curl_rad: float
    """Bend per finger joint."""
    is_pointing: bool = False


@dataclass(frozen=True)
class _Reference:
    """The places gestures refer to, for one arm."""

    sign: float
    scale: float
    arm_m: float
    shoulder: np.ndarray
    hip: np.ndarray
    head: np.ndarray
    times_s: np.ndarray
    rng: np.random.Generator

    def at(self, origin: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
        """(T, 3) still place; x outwards, in metres of a person of 1.7 m."""
        place = origin + self.scale * np.array([self.sign * x, y, z])
        return np.tile(place, (len(self.times_s), 1))

    def out(self, x: float, y: float, z: float) -> np.ndarray:
        return np.array([self.sign * x, y, z])

    def drift(self, size_m: float, period_s: float) -> np.ndarray:
        """(T, 3) slow random movement."""
        noise = [SmoothNoise(self.rng, period_s)(self.times_s) for _ in range(3)]
        return size_m * self.scale * np.stack(noise, 1)


def arm_goal(
    name: str, side: str, physique: Physique, times_s: np.ndarray, rng: np.random.Generator
) -> ArmGoal:
    """The goal of one arm in a named gesture."""
    joints = physique.joints_m
    upper = physique.bone(f"{side}_elbow", f"{side}_shoulder")
    lower = physique.bone(f"{side}_wrist", f"{side}_elbow")
    reference = _Reference(
        sign=1.0 if side == "left" else -1.0,
        scale=physique.stature_m / 1.7,
        arm_m=float(np.linalg.norm(upper) + np.linalg.norm(lower)),
        shoulder=joints[JOINT[f"{side}_shoulder"]],
        hip=joints[JOINT[f"{side}_hip"]],
        head=joints[JOINT["head"]],
        times_s=times_s,
        rng=rng,
    )
    return _GOALS[name](reference)


def _phone(r: _Reference) -> ArmGoal:
    wrist = r.at(r.head, 0.115, -0.045, 0.05) + r.drift(0.004, 3)
    return ArmGoal(wrist, r.out(0.7, -0.8, 0.25), r.out(-1, 0.1, 0), 0.75)


def _wave(r: _Reference) -> ArmGoal:
    swing = np.sin(2 * np.pi * r.rng.uniform(1.2, 2.0) * r.times_s)
    wrist = r.at(r.shoulder, 0.2, 0.22, 0.16)
    wrist = wrist + swing[:, None] * r.scale * r.out(0.09, -0.02, 0)
    return ArmGoal(wrist, r.out(0.9, -0.7, -0.1), r.out(0, 0, 1), 0.1)


def _hips(r: _Reference) -> ArmGoal:
    wrist = r.at(r.hip, 0.12, 0.13, 0.03)
    return ArmGoal(wrist, r.out(1, 0.0, -0.45), r.out(-0.6, -0.5, 0.2), 0.6)


def _fold(r: _Reference) -> ArmGoal:
    higher = 0.035 if r.sign > 0 else -0.02
    wrist = r.at(r.shoulder * [0, 1, 1], -0.075, -0.235 + higher, 0.2 + 0.6 * higher)
    return ArmGoal(wrist + r.drift(0.003, 4), r.out(0.75, -0.6, 0), r.out(0, -0.2, -1), 0.5)


def _point(r: _Reference) -> ArmGoal:
    yaw, pitch = r.rng.uniform(-0.3, 0.9), r.rng.uniform(-0.25, 0.35)
    direction = r.out(np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch))
    wrist = r.at(r.shoulder, 0, 0, 0) + 0.96 * r.arm_m * direction + r.drift(0.01, 3)
    return ArmGoal(wrist, r.out(0.5, -0.8, -0.2), r.out(-0.5, -1, 0), 1.25, is_pointing=True)


def _reach(r: _Reference) -> ArmGoal:
    direction = r.out(r.rng.uniform(-0.2, 0.5), r.rng.uniform(-0.3, 0.75), 0.9)
    direction /= np.linalg.norm(direction)
    wrist = r.at(r.shoulder, 0, 0, 0) + 0.93 * r.arm_m * direction + r.drift(0.012, 3)
    return ArmGoal(wrist, r.out(0.6, -0.8, -0.2), r.out(-0.6, -0.7, 0.3), 0.3)


def _talk(r: _Reference) -> ArmGoal:
    wrist = r.at(r.shoulder, r.rng.uniform(-0.06, 0.06), -0.28, r.rng.uniform(0.22, 0.3))
    wrist = wrist + r.drift(0.045, 1.6)
    return ArmGoal(wrist, r.out(0.8, -0.8, -0.3), r.out(-0.9, 0.4, 0), 0.3)


def _carry(r: _Reference) -> ArmGoal:
    wrist = r.at(r.shoulder * [0, 1, 1], 0.16, -0.3, 0.29) + r.drift(0.004, 3)
    return ArmGoal(wrist, r.out(0.7, -0.7, -0.5), r.out(-1, 0.5, 0), 0.35)


def _clasp(r: _Reference) -> ArmGoal:
    wrist = r.at(r.hip * [0, 1, 1], 0.055, 0.06, 0.17) + r.drift(0.003, 4)
    return ArmGoal(wrist, r.out(1, -0.3, -0.3), r.out(-0.2, 0, -1), 0.6)


def _behind(r: _Reference) -> ArmGoal:
    wrist = r.at(r.hip * [0, 1, 1], 0.07, 0.1, -0.17)
    return ArmGoal(wrist, r.out(1, 0, -0.5), r.out(0, 0, -1), 0.6)


def _drink(r: _Reference) -> ArmGoal:
    lift = 0.5 + 0.5 * np.sin(2 * np.pi * r.times_s / r.rng.uniform(2.5, 4))
    low, high = r.at(r.shoulder, -0.03, -0.22, 0.25), r.at(r.head, 0.06, -0.1, 0.2)
    wrist = low + lift[:, None] * (high - low)
    return ArmGoal(wrist, r.out(0.8, -0.8, 0), r.out(-1, 0, -0.2), 0.85)


def _scratch(r: _Reference) -> ArmGoal:
    wrist = r.at(r.head, 0.1, 0.1, -0.03) + r.drift(0.008, 0.6)
    return ArmGoal(wrist, r.out(1, 0.1, 0.4), r.out(-0.8, -0.6, 0), 0.5)


def _text(r: _Reference) -> ArmGoal:
    wrist = r.at(r.shoulder, -0.08, -0.2, 0.27) + r.drift(0.005, 2)
    return ArmGoal(wrist, r.out(0.6, -0.9, -0.2), r.out(-0.3, 0.9, -0.4), 0.6)


def _raise(r: _Reference) -> ArmGoal:
    direction = r.out(r.rng.uniform(-0.05, 0.5), 1.0, r.rng.uniform(-0.1, 0.5))
    direction /= np.linalg.norm(direction)
    wrist = r.at(r.shoulder, 0, 0, 0) + 0.9 * r.arm_m * direction + r.drift(0.02, 2)
    return ArmGoal(wrist, r.out(1, 0.2, 0.3), r.out(-0.5, 0, 1), 0.2)


def _spread(r: _Reference) -> ArmGoal:
    direction = r.out(1.0, r.rng.uniform(-0.5, 0.4), r.rng.uniform(-0.1, 0.4))
    direction /= np.linalg.norm(direction)
    wrist = r.at(r.shoulder, 0, 0, 0) + 0.95 * r.arm_m * direction + r.drift(0.02, 2)
    return ArmGoal(wrist, r.out(0, -1, -0.5), r.out(0, -0.6, 0.6), 0.15)


def _clap(r: _Reference) -> ArmGoal:
    beat = 0.5 + 0.5 * np.cos(2 * np.pi * r.rng.uniform(1.4, 2.2) * r.times_s)
    wrist = r.at(r.shoulder * [0, 1, 1], 0.05, -0.17, 0.3)
    wrist = wrist + beat[:, None] * r.scale * r.out(0.12, 0, 0)
    return ArmGoal(wrist, r.out(0.9, -0.6, 0), r.out(-1, 0, 0.1), 0.12)


def _push(r: _Reference) -> ArmGoal:
    far = 0.75 + 0.2 * np.sin(2 * np.pi * r.times_s / r.rng.uniform(1.5, 3))
    wrist = r.at(r.shoulder, -0.02, -0.03, 0) + far[:, None] * r.arm_m * np.array([0, 0, 1.0])
    return ArmGoal(wrist, r.out(0.8, -0.6, 0), r.out(-0.3, 0, 1), 0.1)


def _anything(r: _Reference) -> ArmGoal:
    """From one random place within reach to others."""
    places = []
    for _ in range(3):
        direction = r.out(*(r.rng.normal(0, 1, 3) * [0.7, 0.8, 0.5] + [0.35, -0.1, 0.6]))
        distance = r.rng.uniform(0.5, 0.97) * r.arm_m
        places.append(r.shoulder + distance * direction / np.linalg.norm(direction))
    noise = [SmoothNoise(r.rng, 2.5)(r.times_s) for _ in range(2)]
    shares = [0.5 + 0.5 * np.tanh(values)[:, None] for values in noise]
    wrist = places[0] + shares[0] * (places[1] - places[0])
    wrist = wrist + shares[1] * (places[2] - wrist)
    elbow = r.out(r.rng.uniform(0.3, 1), -r.rng.uniform(0.2, 1), r.rng.uniform(-0.6, 0.3))
    return ArmGoal(wrist, elbow, r.rng.normal(0, 1, 3), r.rng.uniform(0.05, 0.9))


def _lap(r: _Reference) -> ArmGoal:
    wrist = r.at(r.hip, r.rng.uniform(-0.06, 0.06), 0.13, r.rng.uniform(0.2, 0.3))
    return ArmGoal(wrist + r.drift(0.004, 4), r.out(0.8, -0.5, -0.6), r.out(-0.2, -1, 0), 0.3)


def _knees(r: _Reference) -> ArmGoal:
    wrist = r.at(r.hip, 0.03, 0.15, 0.36) + r.drift(0.004, 4)
    return ArmGoal(wrist, r.out(1, -0.3, -0.2), r.out(0, -1, 0), 0.35)


def _table(r: _Reference) -> ArmGoal:
    wrist = r.at(r.hip, -0.05, 0.28, 0.36) + r.drift(0.012, 1.5)
    return ArmGoal(wrist, r.out(0.9, -0.4, -0.3), r.out(-0.2, -1, 0), 0.4)


def _pick_up(r: _Reference) -> ArmGoal:
    direction = r.out(r.rng.uniform(-0.25, 0.15), -0.75, r.rng.uniform(0.35, 0.75))
    direction /= np.linalg.norm(direction)
    wrist = r.at(r.shoulder, 0, 0, 0) + 0.95 * r.arm_m * direction + r.drift(0.006, 2)
    return ArmGoal(wrist, r.out(0.9, -0.1, -0.6), r.out(-0.6, -0.6, -0.3), 0.45)


_GOALS: dict[str, Callable[[_Reference], ArmGoal]] = {
    "phone": _phone,
    "wave": _wave,
    "hips": _hips,
    "fold": _fold,
    "point": _point,
    "reach": _reach,
    "talk": _talk,
    "carry": _carry,
    "clasp": _clasp,
    "behind": _behind,
    "drink": _drink,
    "scratch": _scratch,
    "text": _text,
    "raise": _raise,
    "spread": _spread,
    "clap": _clap,
    "push": _push,
    "anything": _anything,
    "lap": _lap,
    "knees": _knees,
    "table": _table,
    "pick_up": _pick_up,
}
