"""From a script to rotations: legs reach planted feet, the pelvis rides on the legs."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from human3r.body.skeleton import HEAD
from human3r_lab.synth.people.kinematics import joint_frames
from human3r_lab.synth.people.motion.arms import GESTURE_EASE_S, set_arms
from human3r_lab.synth.people.motion.feet import SIDES, FootMotion, foot_shape, move_foot
from human3r_lab.synth.people.motion.limbs import STRAIGHTEST, aim_leg
from human3r_lab.synth.people.motion.noise import SmoothNoise, window
from human3r_lab.synth.people.motion.script import Script
from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.rotations import X, Y, Z, about, apply, world_from_heading
from human3r_lab.synth.people.template import ROTATION, no_rotations

_SPINE = ("spine1", "spine2", "spine3")
_STANCE_REACH = 0.998
"""Share of the leg's length that standing uses; a knee bent by a few degrees."""
_SOFTNESS_M = 0.004
_LOOKS_DOWN_RAD = {"text": 0.45, "pick_up": 0.25, "table": 0.3, "carry": 0.1, "raise": -0.15}


@dataclass(frozen=True)
class Performance:
    """A clip of one body."""

    rotations: np.ndarray
    """(T, 53, 3, 3) float32, root to world."""
    head_world: np.ndarray
    """(T, 3) float32 metres."""
    contacts: np.ndarray
    """(T, 4) bool: left heel, left toe, right heel, right toe."""


@dataclass(frozen=True)
class _Carriage:
    """The pelvis over time, and the swing of the arms."""

    place_m: np.ndarray
    rotation: np.ndarray
    swing: np.ndarray
    yaw: np.ndarray
    lean: np.ndarray


def perform(
    script: Script,
    physique: Physique,
    times_s: np.ndarray,
    sole_m: float,
    rng: np.random.Generator,
) -> Performance:
    """The clip at these times.

    Args:
        script: what happens.
        physique: who does it.
        times_s: (T,) seconds, increasing.
        sole_m: thickness of the shoes' soles, which lifts the body.
        rng: for everything the script leaves open.
    """
    shapes = {side: foot_shape(physique, side, sole_m) for side in SIDES}
    lift_m = rng.uniform(0.04, 0.08) * physique.stature_m / 1.7
    feet = {
        side: move_foot(script.ground.feet[side], shapes[side], times_s, lift_m) for side in SIDES
    }
    grid_s = script.ground.times_s
    grid_feet = {
        side: move_foot(script.ground.feet[side], shapes[side], grid_s, lift_m) for side in SIDES
    }
    carriage = _carriage(script, physique, grid_s, grid_feet, times_s, rng)

    rotations = no_rotations(len(times_s))
    rotations[:, 0] = carriage.rotation
    _set_spine(rotations, script, carriage, times_s, rng)
    set_arms(rotations, physique, times_s, carriage.swing, script.gestures, rng)
    place = _legs_reach(carriage.place_m, carriage.rotation, physique, feet, 1.0)
    for side in SIDES:
        _set_leg(rotations, physique, side, place, feet[side])
    jaw = np.maximum(0, 0.03 + 0.03 * SmoothNoise(rng, 0.7)(times_s))
    rotations[:, ROTATION["jaw"]] = about(X, jaw)
    _, joints = joint_frames(rotations, physique.joints_m, place)
    contacts = [
        contact for side in SIDES for contact in (feet[side].heel_contact, feet[side].toe_contact)
    ]
    return Performance(
        rotations.astype(np.float32),
        joints[:, HEAD].astype(np.float32),
        np.stack(contacts, 1),
    )


def _carriage(script, physique, grid_s, feet, times_s, rng) -> _Carriage:
    """Pelvis motion on the plan's grid, smoothed, then at the wanted times."""
    hz = 1 / (grid_s[1] - grid_s[0])
    ground = script.ground
    heading = ground.heading_rad
    forward = np.stack([np.cos(heading), np.sin(heading)], 1)
    lateral = np.stack([-np.sin(heading), np.cos(heading)], 1)
    apart = feet["left"].ankle_m[:, :2] - feet["right"].ankle_m[:, :2]
    lead = (apart * forward).sum(1) / physique.leg_length_m
    lead = gaussian_filter1d(lead, 0.05 * hz, mode="nearest")
    # Weight goes to the standing foot a little before the other one lifts.
    load = feet["right"].lifted - feet["left"].lifted
    load = gaussian_filter1d(load, 0.1 * hz, mode="nearest")
    load = load + 0.25 * script.liveliness * SmoothNoise(rng, 5.0)(grid_s)

    yaw = -0.22 * lead + 0.03 * SmoothNoise(rng, 4.0)(grid_s)
    roll = 0.05 * load
    walking = gaussian_filter1d(np.abs(lead), 0.3 * hz, mode="nearest")
    lean = 0.05 + 0.12 * walking + 0.015 * SmoothNoise(rng, 4.0)(grid_s)
    rotation = world_from_heading(heading + yaw) @ about(Z, roll) @ about(X, lean * 0.5)

    sway_m = 0.022 * physique.stature_m / 1.7 * script.liveliness
    place = np.zeros((len(grid_s), 3))
    place[:, :2] = ground.place_m + sway_m * load[:, None] * lateral + 0.025 * forward
    place[:, 2] = physique.leg_length_m * 2
    height = _legs_reach(place, rotation, physique, feet, _STANCE_REACH)[:, 2]
    # The kernel reaches no further than the minimum, so the smooth curve stays within reach.
    height = minimum_filter1d(height, round(0.22 * hz) | 1, mode="nearest")
    place[:, 2] = gaussian_filter1d(height, 0.065 * hz, mode="nearest", radius=round(0.11 * hz))
    place, bend = _go_down(script, physique, grid_s, place, forward)
    lean = lean + bend
    swing = -rng.uniform(0.5, 0.85) * script.liveliness * lead
    swing = gaussian_filter1d(swing, 0.04 * hz, mode="nearest")

    def sample(values):
        return np.interp(times_s, grid_s, values)

    heading, yaw = sample(heading), sample(yaw)
    lean = sample(lean)
    rotation = world_from_heading(heading + yaw) @ about(Z, sample(roll)) @ about(X, 0.5 * lean)
    place = np.stack([sample(place[:, axis]) for axis in range(3)], 1)
    return _Carriage(place, rotation, sample(swing), yaw, lean)


def _go_down(script, physique, grid_s, place, forward) -> tuple[np.ndarray, np.ndarray]:
    """The pelvis in crouching and sitting, and how far the back bends forwards for it."""
    place = place.copy()
    bend = np.zeros(len(grid_s))
    for crouch in script.crouches:
        share = window(grid_s, crouch.start_s, crouch.end_s, crouch.ease_s)
        down_m = crouch.depth * physique.leg_length_m * share
        place[:, 2] -= down_m
        back_m = 0.3 * down_m + 0.12 * physique.stature_m / 1.7 * crouch.lean_rad * share
        place[:, :2] -= back_m[:, None] * forward
        bend += crouch.lean_rad * share
    for sitting in script.sittings:
        share = window(grid_s, sitting.start_s, sitting.end_s, sitting.ease_s)
        seat = np.empty_like(place)
        seat[:, :2] = script.ground.place_m - sitting.back_m * forward
        seat[:, 2] = sitting.seat_height_m + physique.seat_clearance_m
        place += share[:, None] * (seat - place)
        # Whoever sits down or stands up brings the weight over the feet first.
        bend += sitting.lean_rad * share + 2.6 * share * (1 - share)
    return place, bend


def _legs_reach(
    place_m: np.ndarray,
    rotation: np.ndarray,
    physique: Physique,
    feet: dict[str, FootMotion],
    stretch: float,
) -> np.ndarray:
    """(T, 3) the pelvis, lowered to where both legs reach their feet, softly."""
    longest = stretch * STRAIGHTEST * physique.leg_length_m
    limits = [place_m[:, 2]]
    for side in SIDES:
        hip = rotation @ physique.bone(f"{side}_hip", "pelvis")
        away = np.linalg.norm((place_m + hip - feet[side].ankle_m)[:, :2], axis=1)
        rise = np.sqrt(np.maximum(longest**2 - away**2, 1e-4))
        limits.append(feet[side].ankle_m[:, 2] + rise - hip[:, 2] + 0.2 * feet[side].lifted)
    lowered = place_m.copy()
    stacked = np.stack(limits)
    lowest = stacked.min(0)
    lowered[:, 2] = lowest - _SOFTNESS_M * np.log(np.exp((lowest - stacked) / _SOFTNESS_M).sum(0))
    return lowered


def _set_leg(rotations, physique, side, place_m, foot: FootMotion) -> None:
    pelvis = rotations[:, 0]
    back = np.swapaxes(pelvis, 1, 2)
    hip = place_m + pelvis @ physique.bone(f"{side}_hip", "pelvis")
    target = apply(back, foot.ankle_m - hip)
    # The knee looks between where the pelvis and where the foot looks.
    foot_left = apply(back, foot.rotation[..., 0])
    lateral = foot_left + 0.6 * np.array([1.0, 0.0, 0.0])
    upper = physique.bone(f"{side}_knee", f"{side}_hip")
    lower = physique.bone(f"{side}_ankle", f"{side}_knee")
    leg, knee = aim_leg(upper, lower, target, lateral)
    shank = pelvis @ leg @ knee
    rotations[:, ROTATION[f"{side}_hip"]] = leg
    rotations[:, ROTATION[f"{side}_knee"]] = knee
    rotations[:, ROTATION[f"{side}_ankle"]] = np.swapaxes(shank, 1, 2) @ foot.rotation
    rotations[:, ROTATION[f"{side}_foot"]] = about(X, -foot.toe_rad)


def _set_spine(rotations, script, carriage, times_s, rng) -> None:
    twist = -2.0 * carriage.yaw + rng.normal(0, 0.1) + 0.08 * SmoothNoise(rng, 3.0)(times_s)
    bend = rng.normal(0, 0.04) + 0.03 * SmoothNoise(rng, 3.5)(times_s)
    breath = 0.008 * np.sin(2 * np.pi * times_s / rng.uniform(3, 5) + rng.uniform(0, 6))
    lean = 0.5 * carriage.lean + rng.normal(0.0, 0.03)
    for name in _SPINE:
        rotations[:, ROTATION[name]] = (
            about(Y, twist / 3) @ about(X, lean / 3 - breath) @ about(Z, bend / 3)
        )
    gaze = script.gaze_rad + 0.3 * SmoothNoise(rng, 2.6)(times_s) + carriage.yaw
    gaze = 1.1 * np.tanh(gaze / 1.1)
    nod = rng.normal(0.03, 0.08) - 0.6 * lean + 0.05 * SmoothNoise(rng, 2.0)(times_s)
    for gesture in script.gestures:
        share = window(times_s, gesture.start_s, gesture.end_s, GESTURE_EASE_S)
        nod = nod + _LOOKS_DOWN_RAD.get(gesture.name, 0.0) * share
    tilt = 0.04 * SmoothNoise(rng, 3.0)(times_s)
    for name in ("neck", "head"):
        rotations[:, ROTATION[name]] = about(Y, gaze / 2) @ about(X, nod / 2) @ about(Z, tilt / 2)
