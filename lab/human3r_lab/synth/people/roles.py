"""Random doings, as far as the free floor allows: wandering, standing together, sitting."""

import numpy as np

from human3r_lab.synth.people.motion.gestures import BOTH_HANDED, ONE_HANDED, SEATED
from human3r_lab.synth.people.motion.ground import Curve, Ground, GroundPlanner
from human3r_lab.synth.people.motion.script import Crouch, Gesture, Script, Sitting
from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.space import Space
from human3r_lab.synth.stage import Seat

_TRIES = 60
_PRE_ROLL_S = 2.5
_SEAT_MARGIN_M = 0.06
"""A sitter's feet stand this far from other furniture, and so far from the seat's edge:"""
_BEFORE_SEAT_M = 0.1


def wander(
    rng: np.random.Generator, physique: Physique, space: Space, *, walks: float, crouches: float
) -> Script | None:
    """Walks and pauses, or None where nothing fits.

    Args:
        rng: source of chance.
        physique: who.
        space: the floor; the track of the script found is added to it.
        walks: share of the pieces that are walks, 0 to 1.
        crouches: chance that a pause is spent crouching or picking something up.
    """
    for _ in range(_TRIES):
        place = space.random_place(rng)
        if place is None:
            return None
        heading = rng.uniform(-np.pi, np.pi)
        start_s = -rng.uniform(0.6, _PRE_ROLL_S)
        planner = _planner(rng, physique, place, heading, start_s, rng.uniform(-0.08, 0.08))
        pauses = _wander_on(rng, planner, space, walks)
        ground = planner.finish()
        if _claim(space, ground):
            return _with_pauses(rng, ground, pauses, space.end_s, crouches)
    return None


def stand_at(
    rng: np.random.Generator,
    physique: Physique,
    space: Space,
    place_m: np.ndarray,
    heading_rad: float,
) -> Script | None:
    """Stand and talk at a place, or None where another person is in the way."""
    planner = _planner(rng, physique, place_m, heading_rad, -1.0, rng.uniform(-0.1, 0.1))
    pauses = []
    while planner.time_s < space.end_s + 0.5:
        start_s = planner.time_s
        planner.stand(rng.uniform(1.5, 4.0))
        pauses.append((start_s, planner.time_s))
    ground = planner.finish()
    if not _claim(space, ground):
        return None
    return _with_pauses(rng, ground, pauses, space.end_s, 0.0)


def facing_pair(
    rng: np.random.Generator, physiques: tuple[Physique, Physique], space: Space
) -> tuple[Script, Script] | None:
    """Two people who look at each other, or None where there is no room."""
    for _ in range(_TRIES):
        middle, heading = space.random_place(rng, 0.8), rng.uniform(-np.pi, np.pi)
        if middle is None:
            return None
        half = rng.uniform(0.45, 0.8) * np.array([np.cos(heading), np.sin(heading)])
        count = len(space.tracks)
        first = stand_at(rng, physiques[0], space, middle - half, heading + rng.normal(0, 0.15))
        if first is None:
            continue
        turned = heading + np.pi + rng.normal(0, 0.15)
        second = stand_at(rng, physiques[1], space, middle + half, turned)
        if second is not None:
            return first, second
        del space.tracks[count:]
    return None


def sit(
    rng: np.random.Generator, physique: Physique, space: Space, seat: Seat, *, changes: float
) -> Script | None:
    """Sit on a seat, or None where legs are too short or another person is in the way.

    Args:
        rng: source of chance.
        physique: who.
        space: the floor; the track of the script found is added to it.
        seat: where.
        changes: chance of sitting down or standing up during the clip.
    """
    height_m = float(seat.place_m[2])
    thigh_m = float(np.linalg.norm(physique.bone("left_knee", "left_hip")))
    if physique.leg_length_m - thigh_m < height_m - 0.14:
        return None
    forward = np.array([np.cos(seat.heading_rad), np.sin(seat.heading_rad)])
    middle = seat.place_m[:2]
    edge_m = space.way_out_m(middle, forward)
    feet_m = thigh_m + rng.uniform(-0.06, 0.08)
    feet_m = min(max(feet_m, edge_m + _BEFORE_SEAT_M), thigh_m + 0.2)
    back_m = thigh_m + rng.uniform(0.0, 0.07)
    place = middle + feet_m * forward
    if not space.is_clear_before(middle, place, _SEAT_MARGIN_M):
        return None
    stagger_m = rng.uniform(-0.09, 0.09)
    planner = _planner(rng, physique, place, seat.heading_rad, -1.0, stagger_m)
    start_s, end_s, ease_s = -100.0, space.end_s + 100.0, rng.uniform(1.1, 1.7)
    if rng.random() < changes and space.end_s > 1.5:
        middle_s = rng.uniform(0.3, 0.7) * space.end_s
        if rng.random() < 0.5:
            start_s = middle_s - ease_s / 2
        else:
            end_s = middle_s + ease_s / 2
    planner.stand(space.end_s + 2.0)
    ground = planner.finish()
    body = np.tile(place - 0.5 * back_m * forward, (len(space.times_s), 1))
    if not space.is_apart(body):
        return None
    space.add(body)
    lean = rng.uniform(-0.2, 0.2)
    sitting = Sitting(start_s, end_s, ease_s, back_m, height_m, lean)
    gestures = []
    time_s = max(start_s, -1.0)
    while time_s < min(end_s, space.end_s):
        stop_s = time_s + rng.uniform(2.0, 6.0)
        name, side = SEATED[rng.integers(len(SEATED))]
        side = side if side == "both" else str(rng.choice(["left", "right"]))
        gestures.append(Gesture(name, side, time_s, stop_s + 0.4))
        time_s = stop_s
    return Script(
        ground=ground,
        gestures=tuple(gestures),
        sittings=(sitting,),
        gaze_rad=float(rng.normal(0, 0.3)),
        liveliness=float(rng.uniform(0.4, 0.9)),
    )


def _planner(rng, physique, place_m, heading_rad, start_s, stagger_m=0.0) -> GroundPlanner:
    return GroundPlanner(
        place_m=place_m,
        heading_rad=heading_rad,
        stature_m=physique.stature_m,
        stance_m=rng.uniform(0.075, 0.13) * physique.stature_m / 1.7,
        rng=rng,
        time_s=start_s,
        stagger_m=stagger_m * physique.stature_m / 1.7,
    )


def _claim(space: Space, ground: Ground) -> bool:
    """Add the track if it is free."""
    track, _ = ground.at(space.times_s)
    if not (space.is_clear(track) and space.is_apart(track)):
        return False
    space.add(track)
    return True


def _wander_on(rng, planner: GroundPlanner, space: Space, walks: float) -> list:
    """Fill the clip with walks and pauses; gives the pauses as (start, end)."""
    pauses = []
    while planner.time_s < space.end_s + 0.5:
        curve = _free_curve(rng, planner, space) if rng.random() < walks else None
        if curve is None:
            start_s = planner.time_s
            planner.stand(rng.uniform(1.5, 5.0))
            pauses.append((start_s, planner.time_s))
            if rng.random() < 0.25:
                planner.turn(planner.heading_rad + rng.normal(0, 1.2))
        else:
            scale = np.sqrt(planner.stature_m / 1.7)
            speed = float(np.clip(rng.normal(1.15, 0.25), 0.5, 1.8)) * scale
            planner.walk(curve, speed, until_s=space.end_s + 1.0)
    return pauses


def _free_curve(rng, planner: GroundPlanner, space: Space) -> Curve | None:
    """A way over free floor that leaves roughly where the person already looks."""
    for attempt in range(30):
        spread = 0.4 + 0.1 * attempt
        heading = planner.heading_rad + rng.normal(0, spread)
        length = rng.uniform(0.4, 1.0) * max(1.2, 4.0 - 0.08 * attempt)
        points = [planner.place_m]
        for _ in range(3):
            step = length / 3 * np.array([np.cos(heading), np.sin(heading)])
            points.append(points[-1] + step)
            heading += rng.normal(0, 0.35)
        curve = Curve.through(np.stack(points))
        if space.is_clear(curve.place(np.linspace(0, curve.length_m, 24))):
            return curve
    return None


def _with_pauses(rng, ground: Ground, pauses, end_s: float, crouch_chance: float) -> Script:
    """A script whose pauses are filled with gestures and crouches."""
    gestures, crouches = [], []
    for start_s, stop_s in pauses:
        if stop_s - start_s < 1.4:
            continue
        if rng.random() < crouch_chance:
            crouch, gesture = _crouch(rng, start_s, stop_s)
            crouches.append(crouch)
            gestures.append(gesture)
        elif rng.random() < 0.7:
            gestures.append(_gesture(rng, start_s, stop_s))
    if not gestures and rng.random() < 0.25:
        gestures.append(_walking_gesture(rng, end_s))
    return Script(
        ground=ground,
        gestures=tuple(gestures),
        crouches=tuple(crouches),
        gaze_rad=float(rng.normal(0, 0.2)),
        liveliness=float(rng.uniform(0.6, 1.3)),
    )


def _crouch(rng, start_s: float, stop_s: float) -> tuple[Crouch, Gesture]:
    """Squat with a straight back, or bend down with nearly straight legs, or between."""
    depth = rng.uniform(0.12, 0.55)
    lean = rng.uniform(0.3, 0.7) + 0.9 * max(0.0, 0.4 - depth)
    ease_s = min(0.5 * (stop_s - start_s), rng.uniform(0.7, 1.3))
    side = str(rng.choice(["left", "right", "both"]))
    name = "pick_up" if rng.random() < 0.75 else "knees"
    side = side if name == "pick_up" else "both"
    return Crouch(start_s, stop_s, ease_s, depth, lean), Gesture(name, side, start_s, stop_s)


def _gesture(rng, start_s: float, stop_s: float) -> Gesture:
    if rng.random() < 0.4:
        name, side = rng.choice(BOTH_HANDED), "both"
    else:
        name, side = rng.choice(ONE_HANDED), rng.choice(["left", "right"])
    return Gesture(str(name), str(side), start_s - 0.2, stop_s + 0.2)


def _walking_gesture(rng, end_s: float) -> Gesture:
    name = str(rng.choice(["phone", "carry", "text", "drink", "wave"]))
    side = "both" if name == "carry" else str(rng.choice(["left", "right"]))
    start = rng.uniform(-4, 0.5 * end_s)
    return Gesture(name, side, start, start + rng.uniform(3, 8))
