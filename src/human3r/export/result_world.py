"""Which frames of a result share a world: where a network starts anew, places mean another one."""

import logging
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from human3r.errors import InputError

log = logging.getLogger(__name__)

_ORIGIN_M = 1e-9


def frames_of_one_world(
    path: Path,
    session: Int[np.ndarray, " frames"],
    world_from_camera: Float[np.ndarray, "frames 4 4"],
    wanted: int | None = None,
) -> Bool[np.ndarray, " frames"]:
    """The frames of the world of a session, or of the one that most frames are in.

    A session that goes on in the world of the one before it begins near where that one ended; any
    other begins at the origin.

    Args:
        path: of the result, for messages.
        session: number of each frame's session.
        world_from_camera: or of another frame of reference that has its origin.
        wanted: number of a session; None: the longest world, and a warning where there are others.

    Raises:
        InputError: no such session.
    """
    begins = np.flatnonzero(np.diff(session, prepend=session[:1] - 1))
    place, before = world_from_camera[begins], world_from_camera[np.maximum(begins - 1, 0)]
    is_new = np.linalg.norm(place[:, :3, 3], axis=1) < _ORIGIN_M
    # A camera that never moves is always at the origin: there the world is the same.
    is_new &= np.abs(place - before).max(axis=(1, 2)) > _ORIGIN_M
    is_new[0] = True
    steps = np.zeros(len(session), int)
    steps[begins[is_new]] = 1
    world = np.cumsum(steps) - 1
    if wanted is not None:
        if wanted not in session:
            there = ", ".join(map(str, np.unique(session)[:20]))
            raise InputError(f"{path}: no session {wanted}; expected one of: {there}.")
        return world == world[np.argmax(session == wanted)]
    counts = np.bincount(world)
    if len(counts) > 1:
        chosen = world == int(np.argmax(counts))
        others = ", ".join(
            f"{session[world == one][0]} ({counts[one]} frames)" for one in range(len(counts))
        )
        log.warning(
            "%s: its world began anew, so places of before mean nothing after; taken is the one "
            "with the most frames, %d of %d, of session %d. --session names another: %s",
            *(path, chosen.sum(), len(chosen), session[chosen][0], others),
        )
        return chosen
    return np.ones(len(session), bool)
