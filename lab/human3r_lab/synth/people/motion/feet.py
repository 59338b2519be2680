"""Where feet are: planted between footsteps, rolling over heel and toes, lifted in between.

A planted foot never slides. It lands on its heel, turns about the heel until it lies flat, rests,
then turns about the ball joint while the toes stay flat, and lifts off.
"""

from dataclasses import dataclass

import numpy as np

from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.rotations import X, about, apply, world_from_heading
from human3r_lab.synth.people.template import JOINT, body_template

SIDES = ("left", "right")
_TOE_OFF_RAD = 0.85
_HEEL_STRIKE_RAD = 0.42
_FULL_STRIDE_M = 1.4
_STEP_STATURE_M = 1.7


@dataclass(frozen=True)
class Footstep:
    """A foot leaves the floor and comes down elsewhere."""

    lift_s: float
    land_s: float
    place_m: np.ndarray
    """(2,) where the ankle stands when the foot lies flat."""
    heading_rad: float


@dataclass(frozen=True)
class FootPlan:
    """Everything one foot does: a first place and its footsteps in order of time."""

    place_m: np.ndarray
    heading_rad: float
    steps: tuple[Footstep, ...]


@dataclass(frozen=True)
class FootShape:
    """A foot as a lever, from the ankle joint, in the zero pose; metres."""

    ball_m: np.ndarray
    """(3,) the joint the toes turn about."""
    heel_m: np.ndarray
    """(3,) the lowest point of the shoe's heel."""
    toe_m: np.ndarray
    """(3,) the lowest point of the shoe's tip."""


@dataclass(frozen=True)
class FootMotion:
    """One foot over time."""

    ankle_m: np.ndarray
    """(T, 3) world."""
    rotation: np.ndarray
    """(T, 3, 3) foot to world."""
    toe_rad: np.ndarray
    """(T,) upward bend of the toes."""
    heel_contact: np.ndarray
    toe_contact: np.ndarray
    """(T,) bool."""
    lifted: np.ndarray
    """(T,) 0 while planted, up to 1 in the middle of a step."""


def foot_shape(physique: Physique, side: str, sole_m: float) -> FootShape:
    """The foot's lever arms in shoes with soles of this thickness."""
    template = body_template()
    mine = template.owned_by(f"{side}_ankle", f"{side}_foot")
    foot = physique.vertices_m[mine].astype(np.float64)
    ankle = physique.joints_m[JOINT[f"{side}_ankle"]]
    ball = physique.bone(f"{side}_foot", f"{side}_ankle")
    down = foot[:, 1].min() - sole_m - ankle[1]
    heel_z = foot[:, 2].min() - ankle[2]
    toe_z = foot[:, 2].max() - ankle[2]
    return FootShape(
        ball_m=ball,
        heel_m=np.array([0.0, down, heel_z + 0.015]),
        toe_m=np.array([ball[0], down, toe_z]),
    )


def move_foot(
    plan: FootPlan, shape: FootShape, times_s: np.ndarray, lift_height_m: float = 0.06
) -> FootMotion:
    """The foot at these times.

    Args:
        plan: places and footsteps.
        shape: lever arms.
        times_s: (T,) seconds.
        lift_height_m: how high the lowest point of the shoe comes in a long step.
    """
    count = len(times_s)
    pitch, toe, clearance, lifted = (np.zeros(count) for _ in range(4))
    ankle = np.empty((count, 3))
    heading = np.full(count, float(plan.heading_rad))
    ankle[:, :2] = plan.place_m
    on_floor = np.ones(count, bool)

    place, facing = np.asarray(plan.place_m, float), plan.heading_rad
    strides = _strides(plan)
    for number, step in enumerate(plan.steps):
        stride = strides[number]
        roll = _TOE_OFF_RAD * max(stride, 0.12)
        strike = _HEEL_STRIKE_RAD * stride
        before_s = plan.steps[number - 1].land_s if number else -np.inf
        rise_s = min(0.32, 0.55 * (step.lift_s - before_s))
        swing_s = step.land_s - step.lift_s
        after_s = plan.steps[number + 1].lift_s if number + 1 < len(plan.steps) else np.inf
        settle_s = min(0.11, 0.3 * (after_s - step.land_s))

        rising = (times_s > step.lift_s - rise_s) & (times_s <= step.lift_s)
        share = (times_s[rising] - step.lift_s + rise_s) / rise_s
        pitch[rising] = roll * share**2
        toe[rising] = pitch[rising]
        ankle[rising] = _about_ball(place, facing, shape, pitch[rising])

        swing = (times_s > step.lift_s) & (times_s < step.land_s)
        u = (times_s[swing] - step.lift_s) / swing_s
        on_floor[swing] = False
        pitch[swing] = _hermite(u, roll, 2 * roll / rise_s * swing_s, -strike, 0.0)
        toe[swing] = roll * (1 - np.clip(u / 0.45, 0, 1)) ** 2
        turn = np.remainder(step.heading_rad - facing + np.pi, 2 * np.pi) - np.pi
        heading[swing] = facing + turn * _ease(u)
        start = _about_ball(place, facing, shape, np.array([roll, roll * 0.98]))
        rate = (start[0] - start[1]) / (roll * 0.02) * (2 * roll / rise_s) * swing_s
        end = _about_heel(step.place_m, step.heading_rad, shape, np.array([-strike]))[0]
        ankle[swing, :2] = _hermite(u[:, None], start[0, :2], rate[:2], end[:2], 0.0 * end[:2])
        clearance[swing] = lift_height_m * (0.5 + 0.5 * stride) * np.sin(np.pi * u) ** 2
        lifted[swing] = np.sin(np.pi * u) ** 2

        landed = times_s >= step.land_s
        place, facing = np.asarray(step.place_m, float), step.heading_rad
        heading[landed] = facing
        pitch[landed] = toe[landed] = 0.0
        ankle[landed, :2] = place
        settling = landed & (times_s < step.land_s + settle_s)
        share = (times_s[settling] - step.land_s) / max(settle_s, 1e-9)
        pitch[settling] = -strike * (1 - _ease(share))
        ankle[settling] = _about_heel(place, facing, shape, pitch[settling])

    ankle[:, 2] = _ankle_height(shape, pitch, toe) + clearance
    return FootMotion(
        ankle_m=ankle,
        rotation=world_from_heading(heading) @ about(X, pitch),
        toe_rad=toe,
        heel_contact=on_floor & (np.abs(pitch + 0.05) < 0.051),
        toe_contact=on_floor & (pitch > -1e-3),
        lifted=lifted,
    )


def _strides(plan: FootPlan) -> list[float]:
    """Per footstep 0 to 1: how far it goes forwards, of a long stride."""
    strides = []
    place = np.asarray(plan.place_m, float)
    for step in plan.steps:
        forward = np.array([np.cos(step.heading_rad), np.sin(step.heading_rad)])
        reach = float((step.place_m - place) @ forward) / _FULL_STRIDE_M
        strides.append(float(np.clip(reach, 0.0, 1.0)))
        place = np.asarray(step.place_m, float)
    return strides


def _about_ball(
    place_m: np.ndarray, heading_rad: float, shape: FootShape, pitch: np.ndarray
) -> np.ndarray:
    """(T, 3) ankle of a foot whose ball stays where it is when flat; z is left for later."""
    return _about(place_m, heading_rad, shape.ball_m, pitch)


def _about_heel(
    place_m: np.ndarray, heading_rad: float, shape: FootShape, pitch: np.ndarray
) -> np.ndarray:
    return _about(place_m, heading_rad, shape.heel_m, pitch)


def _about(
    place_m: np.ndarray, heading_rad: float, pivot_m: np.ndarray, pitch: np.ndarray
) -> np.ndarray:
    world = world_from_heading(heading_rad)
    moved = pivot_m - apply(about(X, pitch), np.broadcast_to(pivot_m, (len(pitch), 3)))
    return np.array([*place_m, 0.0]) + moved @ world.T


def _ankle_height(shape: FootShape, pitch: np.ndarray, toe: np.ndarray) -> np.ndarray:
    """(T,) height of the ankle joint when the lowest point of the shoe touches the floor."""
    turn = about(X, pitch)
    count = len(pitch)
    heel = apply(turn, np.broadcast_to(shape.heel_m, (count, 3)))[:, 1]
    ball = np.broadcast_to(shape.ball_m, (count, 3))
    tip = about(X, pitch - toe) @ (shape.toe_m - shape.ball_m)
    toes = apply(turn, ball)[:, 1] + tip[:, 1]
    under_ball = about(X, pitch - toe)[:, 1, 1] * (shape.toe_m - shape.ball_m)[1]
    below = apply(turn, ball)[:, 1] + under_ball
    return -np.minimum(np.minimum(heel, toes), below)


def _ease(share: np.ndarray) -> np.ndarray:
    return share * share * (3 - 2 * share)


def _hermite(u, start, start_rate, end, end_rate):
    """Cubic through two values with two rates, u from 0 to 1."""
    u2, u3 = u * u, u * u * u
    return (
        (2 * u3 - 3 * u2 + 1) * start
        + (u3 - 2 * u2 + u) * start_rate
        + (3 * u2 - 2 * u3) * end
        + (u3 - u2) * end_rate
    )
