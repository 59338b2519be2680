"""The motion of a stretch of frames that fits best what is known about it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from human3r.refine.limbs.banded import newton_step
from human3r.refine.limbs.kinematics import NUM_UNKNOWNS, TURNING
from human3r.refine.limbs.terms import Known, Terms

_STEPS, _DAMPING = 12, 1e-6
_LARGEST_RAD = 0.5
"""Of a step."""
_DONE_RAD, _DONE_M = 2e-3, 5e-4
_WINDOW, _OVERLAP = 240, 40
"""Frames that are solved at once, and those that two windows share."""
FEWEST = 4
"""Frames of a stretch."""


@dataclass(frozen=True)
class Change:
    """Of bodies."""

    turn: Float[np.ndarray, "rows turning 3"]
    """Rotation vector of each turning joint in its own axes."""
    shift: Float[np.ndarray, "rows 3"]
    """Of the pelvis, world frame."""


def no_change(rows: int) -> Change:
    """None at all."""
    return Change(np.zeros((rows, len(TURNING), 3)), np.zeros((rows, 3)))


def best_change(known: Known) -> Change:
    """Of one stretch, window by window; where two overlap, the later one comes in gradually."""
    count, first = len(known.times_s), 0
    whole = no_change(count)
    while True:
        last = count if count - first <= _WINDOW + _OVERLAP else first + _WINDOW
        found = _solved(known.rows(slice(first, last)))
        share = np.ones(last - first)
        if first:
            share[:_OVERLAP] = (np.arange(_OVERLAP) + 0.5) / _OVERLAP
        for values, new in ((whole.turn, found.turn), (whole.shift, found.shift)):
            weight = share.reshape(-1, *(1,) * (new.ndim - 1))
            values[first:last] = (1 - weight) * values[first:last] + weight * new
        if last == count:
            return whole
        first = last - _OVERLAP


def _solved(known: Known) -> Change:
    terms, count = Terms(known), len(known.times_s)
    state = no_change(count)
    groups = terms.of(state.turn, state.shift)
    cost, damping = sum(group.cost() for group in groups), _DAMPING
    for _ in range(_STEPS):
        step = newton_step(groups, count, NUM_UNKNOWNS, damping)
        moved_m, turned_rad = (float(np.abs(part).max()) for part in (step[:, :3], step[:, 3:]))
        step *= min(1.0, _LARGEST_RAD / max(turned_rad, 1e-9))
        tried = _stepped(state, step)
        tried_groups = terms.of(tried.turn, tried.shift)
        tried_cost = sum(group.cost() for group in tried_groups)
        if tried_cost > cost:
            damping = max(damping, 1e-4) * 10
            continue
        state, groups, cost, damping = tried, tried_groups, tried_cost, damping / 5
        if turned_rad < _DONE_RAD and moved_m < _DONE_M:
            break
    return state


def _stepped(state: Change, step: Float[np.ndarray, "rows unknowns"]) -> Change:
    before, by = (Rotation.from_rotvec(t.reshape(-1, 3)) for t in (state.turn, step[:, 3:]))
    turn = (before * by).as_rotvec().reshape(state.turn.shape)
    return Change(turn, state.shift + step[:, :3])
