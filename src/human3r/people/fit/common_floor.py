"""Statures from each other: people in one image mostly stand on one floor.

Where up is known, the drop of the ray to someone's feet is proportional to their stature, and the
same floor is under all of them: who would stand high above the floor of the others is smaller. One
person alone learns nothing.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from human3r.people.fit.stature import LEAST_DROP, LogStature

_FOOT_SIGMA_M = 0.05
"""Of the lower foot's place along gravity: its own error, and feet that step."""
_UP_SIGMA_RAD = 0.045
"""Of up as the scene's surfaces say it, about each level axis."""
_HEIGHT_SIGMA_M = 3.0
"""Of the camera above the floor, before anyone is seen."""
_ROUNDS, _FREEDOM = 4, 4.0
"""Of the reweighting, and degrees of freedom of Student's distribution over statures."""
_SMALLEST = 0.3
"""Of a stature over the expected one."""
_MIN_NEWS = 0.05
"""Of the precision of a stature: less from the others is no news."""


def statures_on_common_floor(
    feet: Float[np.ndarray, "people 3"],
    is_seen: Bool[np.ndarray, " people"],
    statures_m: Float[np.ndarray, " people"],
    known: Sequence[LogStature],
    up_camera: Float[np.ndarray, "3"],
) -> dict[int, LogStature]:
    """What the feet of the others say about each one's stature.

    The height of the floor, a small tilt of it and all statures are one normal distribution, in
    which each foot is a measurement; what is known of the person asked about is taken out of the
    answer (the message of belief propagation from the floor to a stature).

    Args:
        feet: camera frame, metres: the lowest point of the sole, of bodies fitted with
            ``statures_m``. A body k times as tall has it k times as far.
        is_seen: whose feet the image shows.
        statures_m: of the fitted bodies.
        known: of each person, without this source.
        up_camera: unit vector against gravity, about.

    Returns:
        By index; people of whom the others say nothing new are left out.
    """
    drops = -(feet @ up_camera)
    usable = is_seen & (drops > LEAST_DROP * np.linalg.norm(feet, axis=1))
    people = np.flatnonzero(usable)
    if len(people) < 2:
        return {}
    means = np.array([known[int(person)].mean for person in people])
    sigmas = np.array([known[int(person)].sigma for person in people])
    # Feet where they are with the stature that is known best.
    at_m = feet[people] * (np.exp(means) / statures_m[people])[:, None]
    shifts, news = _news(at_m, sigmas, up_camera)
    return {
        int(people[i]): LogStature(
            float(means[i] + np.log1p(shifts[i])), float(news[i] ** -0.5 / (1 + shifts[i]))
        )
        for i in np.flatnonzero(news > _MIN_NEWS / sigmas**2)
    }


def _news(
    feet: np.ndarray, sigmas: np.ndarray, up_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much larger each person is by the others' feet, relative, and how precise that is."""
    drops_m = -(feet @ up_camera)
    # Unknowns: height of the camera, two tilts, and how much larger each person is.
    level = feet @ _level_axes(up_camera).T
    rows = np.concatenate([np.ones((len(feet), 1)), level, -np.diag(drops_m)], 1)
    larger = np.zeros(len(feet))
    for _ in range(_ROUNDS):
        # Student's distribution: a child among adults does not lift the floor of all.
        spread = sigmas**2 * (_FREEDOM + (larger / sigmas) ** 2) / (_FREEDOM + 1)
        prior = np.concatenate([[_HEIGHT_SIGMA_M**2], [_UP_SIGMA_RAD**2] * 2, spread])
        covariance = np.linalg.inv(rows.T @ rows / _FOOT_SIGMA_M**2 + np.diag(1 / prior))
        larger = (covariance @ (rows.T @ drops_m) / _FOOT_SIGMA_M**2)[3:]
    own_precision = 1 / np.diag(covariance)[3:]  # pyright: ignore[reportPossiblyUnboundVariable]
    news = np.maximum(own_precision - 1 / spread, 1e-9)  # pyright: ignore[reportPossiblyUnboundVariable]
    return np.maximum(larger * own_precision / news, _SMALLEST - 1), news


def _level_axes(up: np.ndarray) -> np.ndarray:
    """(2, 3) unit vectors across ``up`` and across each other."""
    side = np.cross(up, [0.0, 0.0, 1.0] if abs(up[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(up, side)])
