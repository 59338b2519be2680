"""Whether a refinement is believed: it has to explain what it was not shown.

Contacts are halved, stance by stance; each half is refined alone and has to put the feet of the
other half nearer to the scene, or stiller, than they were (cross-validation, Stone 1974). Features
of the images that were held out have to appear where the refined cameras have them no worse than
before. Whoever's feet are explained no better stays where the camera saw them; where none are,
the input is returned.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Float

from human3r.refine.contacts import Contacts
from human3r.refine.problem import motion_of
from human3r.refine.recording import FEET, Recording
from human3r.refine.residuals.derivatives import scaled, world
from human3r.refine.residuals.features import FeaturePairs, Features
from human3r.refine.rows import Rows
from human3r.refine.unknowns import Layout, State

_FARTHEST_M = 0.1
"""Farther is no farther: a false contact must not decide."""
_BETTER = 0.98
"""What was held out is explained better at this share of what it was before, and"""
_WORSE = 1.02
"""worse beyond this one."""
_CLEARLY_BETTER = 0.9
"""So much better where one kind of evidence speaks alone: features where no person is believed, for
bodies that are carried along may lose; contacts where the camera stands still, for features say
nothing then (sequences easy-000, easy-013 and hard-010 of the validation split)."""
_FARTHEST = 6.0
"""Standard deviations, as published, that bodies may be wrong by. Where depth of the floor is
wrong, contacts would take people along (sequence hard-003 of the validation split: 4 of 8 m)."""
_LEAST_MM = 0.2
"""Changes below this are none."""


@dataclass(frozen=True)
class HeldOut:
    """How well a person's held-out contacts are explained, millimetres."""

    off_mm: float
    """Of soles from the scene; NaN where no plane is seen."""
    sliding_mm: float
    """Of soles from the place where they stay."""

    @property
    def sum_mm(self) -> float:
        """Of what is known."""
        return float(np.nansum([self.off_mm, self.sliding_mm]))


@dataclass(frozen=True)
class Verdict:
    """What became of a refinement."""

    is_accepted: bool
    why: str
    """In words, for the user."""
    before: dict[int, HeldOut]
    """By index of the person."""
    after: dict[int, HeldOut]
    features_before: float
    """Mean error of held-out features, in standard deviations; NaN without any."""
    features_after: float
    unmoved: tuple[int, ...]
    """Indices of people who stay where the camera saw them."""


class Solve(Protocol):
    """What judging asks of the work."""

    @property
    def recording(self) -> Recording:
        """What is refined."""
        ...

    @property
    def keys(self) -> np.ndarray:
        """(keys,) frames."""
        ...

    @property
    def chunk(self) -> np.ndarray:
        """Of each key frame."""
        ...

    @property
    def rows(self) -> Rows:
        """Of all people."""
        ...

    def round(self, state: State, contacts: tuple[Contacts, ...]) -> tuple[State, int, float]:
        """Least squares with given contacts."""
        ...


def judge(
    work: Solve,
    came: State,
    begin: State,
    refined: State,
    contacts: tuple[Contacts, ...],
    features: FeaturePairs,
) -> Verdict:
    """The verdict over a refined state.

    Args:
        work: solves with given contacts.
        came: the state as the stream has it.
        begin: where refinement began.
        refined: where it ended.
        contacts: those of the refined state, per person.
        features: held out.
    """
    before, after = _held_out(work, came, begin, contacts)
    error_before, error_after = (
        _feature_error(work.chunk, state, features) for state in (came, refined)
    )
    is_worse = error_after > _WORSE * error_before
    is_still = bool((came.centre == came.centre[0]).all())
    share = _CLEARLY_BETTER if is_still else _BETTER
    better = tuple(
        one
        for one in after
        if _is_better(before[one], after[one], share) and _is_possible(work.rows, refined, one)
    )
    unmoved = tuple(person for person in range(len(contacts)) if person not in better)
    is_seen_better = bool(len(features.key)) and error_after < _CLEARLY_BETTER * error_before
    if is_worse:
        why = "held-out features of the images are explained worse"
    elif not better and not is_seen_better and len(after):
        why = "held-out contacts are explained no better"
    else:
        why = "what was held out is explained better"
    is_accepted = not is_worse and (bool(better) or is_seen_better or not len(after))
    return Verdict(is_accepted, why, before, after, error_before, error_after, unmoved)


def without_people(
    verdict: Verdict, chunk: np.ndarray, came: State, refined: State, features: FeaturePairs
) -> Verdict:
    """The verdict over a state that was solved again without the contacts of some people.

    Args:
        verdict: over the state with them.
        chunk: of each key frame.
        came: the state as the stream has it.
        refined: the state without them.
        features: held out.
    """
    errors = [_feature_error(chunk, state, features) for state in (came, refined)]
    is_believed = bool(set(verdict.after) - set(verdict.unmoved)) or not len(features.key)
    if errors[1] > (_WORSE if is_believed else _CLEARLY_BETTER) * errors[0]:
        why = "held-out contacts and features of the images are explained no better"
        return replace(verdict, is_accepted=False, why=why, features_after=errors[1])
    return replace(verdict, features_after=errors[1])


def _is_better(before: HeldOut, after: HeldOut, share: float) -> bool:
    for name in ("off_mm", "sliding_mm"):
        if getattr(after, name) > _WORSE * getattr(before, name) + _LEAST_MM:
            return False
    return after.sum_mm < share * before.sum_mm - _LEAST_MM


def _is_possible(rows: Rows, state: State, person: int) -> bool:
    """Whether a body was moved by no more than it may have been wrong."""
    mine = rows.person == person
    far = np.linalg.norm(np.einsum("nij,nj->ni", rows.stddev[mine], state.shift[mine]), axis=1)
    return bool(np.median(far) < _FARTHEST)


def _held_out(
    work: Solve, came: State, begin: State, contacts: tuple[Contacts, ...]
) -> tuple[dict[int, HeldOut], dict[int, HeldOut]]:
    """Of each person with contacts in both halves, before and after."""
    halves = [tuple(_half(one, work, i, side) for i, one in enumerate(contacts)) for side in (0, 1)]
    before, after = {}, {}
    if any(not any(len(one.row) for one in half) for half in halves):
        return before, after
    states = [work.round(begin, half)[0] for half in halves]
    for person in range(len(contacts)):
        if not all(len(half[person].row) for half in halves):
            continue
        # Each half is measured where the other one was shown.
        pairs = [(halves[1], states[0]), (halves[0], states[1])]
        then = [_measured(work, came, half[person], person) for half, _ in pairs]
        now = [_measured(work, state, half[person], person) for half, state in pairs]
        before[person], after[person] = _mean(then), _mean(now)
    return before, after


def _half(found: Contacts, work: Solve, person: int, side: int) -> Contacts:
    """Every other stance: contacts of one part that follow each other without a gap."""
    feet = np.isin(work.recording.tracks[person].parts[found.point], FEET) & ~found.is_moving
    order = np.lexsort((found.row, work.recording.tracks[person].parts[found.point]))
    part = work.recording.tracks[person].parts[found.point][order]
    row = found.row[order]
    begins = (np.diff(part, prepend=-1) != 0) | (np.diff(row, prepend=-9) > 1)
    stance = np.zeros(len(row), int)
    stance[order] = np.cumsum(begins)
    keep = feet & (stance % 2 == side)
    return chosen(found, keep)


def chosen(found: Contacts, which: np.ndarray) -> Contacts:
    """Some of a person's contacts."""
    planes = type(found.planes)(
        *(getattr(found.planes, name)[which] for name in found.planes.__dataclass_fields__)
    )
    names = ("row", "point", "episode", "confidence", "is_moving")
    return replace(found, **{name: getattr(found, name)[which] for name in names}, planes=planes)


def _measured(work: Solve, state: State, found: Contacts, person: int) -> HeldOut:
    """How far feet of contacts are off the scene and off the places where they stay."""
    motion, _ = motion_of(work.recording, work.keys, work.rows, state, person)
    points = motion.points[found.row, found.point]
    layout = Layout(work.chunk, 0, 0, 0)
    planes = found.planes
    scene = world(state, planes.key, scaled(layout, state, planes.key, planes.place))
    off = np.abs(np.einsum("ni,ni->n", planes.normal, points - scene))[planes.is_known]
    slides = np.zeros(len(points))
    for number in np.unique(found.episode):
        same = found.episode == number
        slides[same] = np.linalg.norm(points[same] - np.median(points[same], axis=0), axis=1)
    return HeldOut(_millimetres(off), _millimetres(slides))


def _millimetres(values: np.ndarray) -> float:
    return 1e3 * float(np.minimum(values, _FARTHEST_M).mean()) if len(values) else float("nan")


def _mean(parts: list[HeldOut]) -> HeldOut:
    off = [one.off_mm for one in parts if np.isfinite(one.off_mm)]
    return HeldOut(
        float(np.mean(off)) if off else float("nan"), float(np.mean([p.sliding_mm for p in parts]))
    )


def _feature_error(chunk: np.ndarray, state: State, features: FeaturePairs) -> float:
    """Mean of bounded errors, in standard deviations."""
    if len(features.key) == 0:
        return float("nan")
    layout = Layout(chunk, 0, 0, 0)
    values: Float[np.ndarray, "n 2"] = Features(layout, features).residuals(state)[0].values
    return float(np.minimum(np.linalg.norm(values, axis=1), 5.0).mean())
