"""Puts people on a stage: who they are, what they wear, what they do."""

import numpy as np

from human3r.errors import InputError
from human3r_lab.synth.people import roles
from human3r_lab.synth.people.looks.dressed import dress
from human3r_lab.synth.people.motion.noise import SmoothNoise
from human3r_lab.synth.people.motion.perform import perform
from human3r_lab.synth.people.motion.script import Script
from human3r_lab.synth.people.performer import Performer
from human3r_lab.synth.people.physique import Physique, random_physique
from human3r_lab.synth.people.space import Space
from human3r_lab.synth.stage import Stage

DIFFICULTIES = ("easy", "hard")
_MAX_PEOPLE = 255


def make_cast(
    rng: np.random.Generator,
    stage: Stage,
    *,
    frames: int,
    rate_hz: float,
    people: int,
    difficulty: str,
) -> list[Performer]:
    """Dressed people who move over the stage and never run into anything.

    The same generator state gives the same people. Motion is a function of time: another rate
    samples the same kind of movement.

    Args:
        rng: source of chance.
        stage: where people may be.
        frames: length of the clip.
        rate_hz: frames per second.
        people: how many are wanted; fewer come where the floor has no room for more.
        difficulty: easy (adults, calm) or hard (also children, more and faster movement).

    Raises:
        InputError: an argument out of range.
    """
    _check(frames, rate_hz, people, difficulty)
    times_s = np.arange(frames) / rate_hz
    space = Space(stage, float(times_s[-1]))
    is_hard = difficulty == "hard"
    physiques, scripts = [], []
    for physique, script in _assign(rng, space, people, is_hard):
        physiques.append(physique)
        scripts.append(script)
    performers = []
    for number, (physique, script) in enumerate(zip(physiques, scripts, strict=True)):
        own = np.random.default_rng(rng.integers(2**63))
        dressed = dress(own, physique)
        performance = perform(script, physique, times_s, dressed.sole_m, own)
        expression = _expression(own, times_s)
        performers.append(Performer(number + 1, physique, dressed, performance, expression))
    return performers


def _assign(
    rng: np.random.Generator, space: Space, people: int, is_hard: bool
) -> list[tuple[Physique, Script]]:
    """Who does what; seats first, then pairs, then whoever walks about."""
    physiques = [
        random_physique(rng, is_child=is_hard and rng.random() < 0.2) for _ in range(people)
    ]
    found: list[tuple[Physique, Script]] = []
    sits, crouches = (0.6, 0.35) if is_hard else (0.4, 0.15)
    for number in rng.permutation(len(space.stage.seats)):
        if physiques and rng.random() < sits:
            seat = space.stage.seats[number]
            script = roles.sit(rng, physiques[-1], space, seat, changes=0.5 if is_hard else 0.25)
            if script is not None:
                found.append((physiques.pop(), script))
    if len(physiques) >= 2 and rng.random() < 0.3:
        pair = (physiques[-1], physiques[-2])
        scripts = roles.facing_pair(rng, pair, space)
        if scripts is not None:
            found += zip(pair, scripts, strict=True)
            del physiques[-2:]
    for physique in physiques:
        walks = rng.choice([0.2, 0.85], p=[0.35, 0.65] if is_hard else [0.5, 0.5])
        script = roles.wander(rng, physique, space, walks=float(walks), crouches=crouches)
        if script is not None:
            found.append((physique, script))
    return found


def _expression(rng: np.random.Generator, times_s: np.ndarray) -> np.ndarray:
    """(T, 10) float32 small changes of the face."""
    steady = rng.normal(0, 0.4, 10)
    moving = np.stack([0.2 * SmoothNoise(rng, 2.0)(times_s) for _ in range(10)], 1)
    return np.clip(steady + moving, -1.2, 1.2).astype(np.float32)


def _check(frames: int, rate_hz: float, people: int, difficulty: str) -> None:
    if frames < 1 or not 0 < rate_hz < 1000:
        raise InputError(
            f"frames {frames} at {rate_hz} Hz; expected at least one frame and a rate between 0 "
            "and 1000 Hz. Choose other numbers."
        )
    if not 0 <= people <= _MAX_PEOPLE:
        raise InputError(f"people: got {people}; expected 0 to {_MAX_PEOPLE}. Ask for fewer.")
    if difficulty not in DIFFICULTIES:
        raise InputError(
            f"difficulty: got {difficulty!r}; expected one of {', '.join(DIFFICULTIES)}."
        )
