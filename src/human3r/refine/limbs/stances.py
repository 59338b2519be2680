"""When feet stand, from what the image shows of them, and how much they tremble while they do.

One camera sees well where a foot is across its line of sight and badly how far away. So speeds
across the line of sight decide, in the world, whatever the distance does meanwhile.
"""

import numpy as np
from jaxtyping import Bool, Float

_BEGINS_M_S, _STAYS_M_S = 0.12, 0.2
"""A stance has a moment below the first and lasts while it is below the second. On split ``val``
of the synthetic world it then has nine of ten frames in which feet stand, and some in which they
begin or end to swing."""
OVER_S = 0.1
"""Places are averaged over so much to both sides, and speeds taken over as much."""
_SHORTEST_S, _FEWEST = 0.2, 3
_MOVED_M, _DRIFT_M_S, _STRAIGHT = 0.06, 0.04, 0.8
"""What goes so far, so fast and so straight stands on something that moves."""
_MOST = np.array([0.06, 0.015])
"""Of trembling along and across the ray, over the distance."""
_RAYLEIGH = 1.1774
"""Median length of two numbers of unit variance."""


def find_stances(
    feet: Float[np.ndarray, "rows feet 3"],
    centres: Float[np.ndarray, "rows 3"],
    times_s: Float[np.ndarray, " rows"],
) -> Bool[np.ndarray, "rows feet"]:
    """Which foot stands when, of one stretch without gaps.

    Args:
        feet: places in the world.
        centres: of the cameras.
        times_s: increasing.
    """
    step_s = float(np.median(np.diff(times_s)))
    half = max(1, round(OVER_S / step_s))
    fewest = max(_FEWEST, round(_SHORTEST_S / step_s) + 1)
    rays = rays_of(feet, centres)
    smooth = averaged(feet, half)
    speed = _speeds(smooth, rays, times_s, half)
    result = np.zeros(speed.shape, bool)
    for foot in range(speed.shape[1]):
        for rows in runs(speed[:, foot] < _STAYS_M_S):
            stands = len(rows) >= fewest and bool((speed[rows, foot] < _BEGINS_M_S).any())
            if stands and not _is_carried(smooth[rows, foot], rays[rows, foot], times_s[rows]):
                result[rows, foot] = True
    return result


def trembling(
    feet: Float[np.ndarray, "rows feet 3"],
    centres: Float[np.ndarray, "rows 3"],
    stances: Bool[np.ndarray, "rows feet"],
) -> Float[np.ndarray, "2"]:
    """Standard deviations of standing feet's places along and across the ray; 0 without any.

    At most what bodies are wrong by: a foot that swings and passes for standing says more.
    """
    rays = rays_of(feet, centres)
    along, sideways = [np.zeros(0)], [np.zeros(0)]
    for foot in range(feet.shape[1]):
        for rows in runs(stances[:, foot]):
            off = feet[rows, foot] - np.median(feet[rows, foot], axis=0)
            along.append(np.einsum("ni,ni->n", off, rays[rows, foot]))
            sideways.append(np.linalg.norm(across(off, rays[rows, foot]), axis=1))
    if len(along) == 1:
        return np.zeros(2)
    median = np.median(np.abs(np.concatenate(along)))
    found = np.array([1.4826 * median, np.median(np.concatenate(sideways)) / _RAYLEIGH])
    return np.minimum(found, _MOST * np.median(np.linalg.norm(feet - centres[:, None], axis=-1)))


def runs(which: Bool[np.ndarray, " rows"]) -> list[np.ndarray]:
    """Consecutive rows that hold, each run as its row numbers."""
    rows = np.flatnonzero(which)
    return np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []


def rays_of(
    feet: Float[np.ndarray, "rows points 3"], centres: Float[np.ndarray, "rows 3"]
) -> Float[np.ndarray, "rows points 3"]:
    """Unit vectors from the cameras."""
    rays = feet - centres[:, None]
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def across(
    vectors: Float[np.ndarray, "*any 3"], rays: Float[np.ndarray, "*any 3"]
) -> Float[np.ndarray, "*any 3"]:
    """The part of vectors that is perpendicular to rays."""
    return vectors - (vectors * rays).sum(axis=-1, keepdims=True) * rays


def averaged(
    places: Float[np.ndarray, "rows points 3"], half: int
) -> Float[np.ndarray, "rows points 3"]:
    """Means over rows up to ``half`` away; fewer at the ends."""
    count = len(places)
    first, last = (np.clip(np.arange(count) + step, 0, count) for step in (-half, half + 1))
    sums = np.concatenate([np.zeros((1, *places.shape[1:])), np.cumsum(places, axis=0)])
    return (sums[last] - sums[first]) / (last - first)[:, None, None]


def _speeds(places: np.ndarray, rays: np.ndarray, times_s: np.ndarray, step: int) -> np.ndarray:
    """(rows, feet) across the ray, over ``step`` rows before or after, whichever is less."""
    speeds = np.full(places.shape[:2], np.inf)
    if len(places) <= step:
        return speeds
    way_m = np.linalg.norm(across(places[step:] - places[:-step], rays[step:]), axis=-1)
    speed = way_m / (times_s[step:] - times_s[:-step])[:, None]
    speeds[step:] = speed
    speeds[:-step] = np.minimum(speeds[:-step], speed)
    return speeds


def _is_carried(places: np.ndarray, rays: np.ndarray, times_s: np.ndarray) -> bool:
    """Whether a stance goes on in one direction, as on an escalator."""
    net_m = float(np.linalg.norm(across(places[-1] - places[0], rays[-1])))
    steps_m = np.linalg.norm(across(np.diff(places, axis=0), rays[1:]), axis=-1)
    is_far = net_m > _MOVED_M and net_m > _DRIFT_M_S * (times_s[-1] - times_s[0])
    return bool(is_far and net_m > _STRAIGHT * steps_m.sum())
