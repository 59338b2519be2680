"""Who touches the scene, where and when: skin that is near it and hardly moves.

Geometry alone decides; nothing is learned. A contact's confidence says how near and how still.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from human3r.refine.recording import FEET
from human3r.refine.surface import Planes, Surface

_NEAR_M, _STILL_NEAR_M = 0.05, 0.08
"""A contact begins nearer than the first and ends farther than the second."""
_SLOW_M_S, _SLOWEST_M_S, _STAYS = 0.2, 0.005, 1.5
"""Slow is below the first, or less where the stillest show that places are better than that; a
contact ends at so many times the limit."""
_STILLEST, _TIMES = 0.25, 4.0
"""Slow is so many times the speed of this share of what is near the scene and below the limit."""
_FEWEST_KEYS = 3
"""A contact lasts at least so many key frames."""
_WINDOW = 3
"""Key frames over which places are averaged before speeds are taken."""
_LARGEST_GAP_M = 0.25
"""A body that floats or sinks by more is left as it is."""
_GAP_BAND_M = 0.03
_GAP_SHARE = 0.3
_LEAP_M = 0.15
"""What goes so far between two key frames ends a contact, even when it stands still afterwards."""
_LITTLE_WEIGHT = 0.1
"""Confidence of hands and seat against feet."""
_MOVED_M, _DRIFT_M_S, _STRAIGHT = 0.06, 0.04, 0.8
"""What goes so far, so fast and so straight while in contact stands on something that moves."""


@dataclass(frozen=True)
class Motion:
    """Skin points of one person at the key frames that show them, world frame."""

    keys: Int[np.ndarray, " rows"]
    times_s: Float[np.ndarray, " rows"]
    points: Float[np.ndarray, "rows points 3"]
    parts: Int[np.ndarray, " points"]


@dataclass(frozen=True)
class Contacts:
    """Contacts of one person, one row each."""

    row: Int[np.ndarray, " contacts"]
    """Row of the ``Motion``."""
    point: Int[np.ndarray, " contacts"]
    episode: Int[np.ndarray, " contacts"]
    """The same number while one point stays in contact; from 0."""
    confidence: Float[np.ndarray, " contacts"]
    """0 to 1."""
    gap_m: float
    """How far above the scene soles are, most often, when they are slow."""
    is_moving: Bool[np.ndarray, " contacts"]
    """The support moves: not used."""
    planes: Planes
    """Of the scene at each contact."""

    @property
    def num_episodes(self) -> int:
        """How many."""
        return int(self.episode.max()) + 1 if len(self.episode) else 0


def find_contacts(motion: Motion, surface: Surface) -> Contacts:
    """Contacts of one person with hysteresis in distance and speed."""
    rows, count = motion.points.shape[:2]
    flat = motion.points.reshape(-1, 3)
    planes = surface.planes(flat, np.repeat(motion.keys, count))
    distance = np.where(planes.is_known, planes.distance, np.nan).reshape(rows, count)
    speed = speeds(motion.points, motion.times_s)
    gap = _gap(distance, speed, motion.parts)
    off = np.abs(distance - gap)
    slow = _slow_m_s(speed, off)
    with np.errstate(invalid="ignore"):
        begins = (off < _NEAR_M) & (speed < slow)
        stays = (off < _STILL_NEAR_M) & (speed < _STAYS * slow)
    breaks = (np.diff(motion.keys, prepend=motion.keys[:1]) > _WINDOW)[:, None]
    steps = np.linalg.norm(np.diff(motion.points, axis=0, prepend=motion.points[:1]), axis=-1)
    breaks = breaks | (steps > _LEAP_M)
    episode, number = np.full((rows, count), -1), 0
    for point in range(count):
        for first, last in _episodes(begins[:, point], stays[:, point], breaks[:, point]):
            episode[first:last, point] = number
            number += 1
    row, point = np.nonzero(episode >= 0)
    index = row * count + point
    confidence = np.exp(-0.5 * (off[row, point] / _NEAR_M) ** 2)
    confidence *= np.exp(-0.5 * (speed[row, point] / slow) ** 2)
    confidence *= np.where(np.isin(motion.parts[point], FEET), 1.0, _LITTLE_WEIGHT)
    chosen = Planes(*(getattr(planes, name)[index] for name in planes.__dataclass_fields__))
    number_of = episode[row, point]
    is_moving = _on_something_moving(motion, row, point, number_of, number)
    confidence = np.where(is_moving, 0.1 * confidence, confidence)
    return Contacts(row, point, number_of, confidence, gap, is_moving, chosen)


def _slow_m_s(speed: np.ndarray, off: np.ndarray) -> float:
    """Below which speed a point counts as still.

    A foot that begins to swing is slow too. The better a stream places people, the less it takes
    to tell the two apart.
    """
    with np.errstate(invalid="ignore"):
        candidates = speed[(off < _NEAR_M) & (speed < _SLOW_M_S)]
    if len(candidates) == 0:
        return _SLOW_M_S
    stillest = float(np.quantile(candidates, _STILLEST))
    return float(np.clip(_TIMES * stillest, _SLOWEST_M_S, _SLOW_M_S))


def speeds(
    points: Float[np.ndarray, "rows points 3"], times_s: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows points"]:
    """Speeds towards the slower neighbour in time, as they are or averaged, whichever is less.

    Averaging keeps the noise of a network's places from hiding that a foot stands.
    """
    if len(points) < 2:
        return np.full(points.shape[:2], np.inf)
    return np.minimum(_speed(points, times_s), _speed(_averaged(points), times_s))


def _speed(points: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    step = np.linalg.norm(np.diff(points, axis=0), axis=-1) / np.diff(times_s)[:, None]
    open_end = np.full((1, points.shape[1]), np.inf)
    return np.minimum(np.concatenate([open_end, step]), np.concatenate([step, open_end]))


def _averaged(points: np.ndarray) -> np.ndarray:
    padded = np.concatenate([points[:1], points, points[-1:]])
    return (padded[:-2] + padded[1:-1] + padded[2:]) / _WINDOW


def _gap(distance: np.ndarray, speed: np.ndarray, parts: np.ndarray) -> float:
    """How far above the scene slow soles are, most often; 0 where they do not agree."""
    feet = np.isin(parts, FEET)
    with np.errstate(invalid="ignore"):
        good = (speed < _SLOW_M_S) & (np.abs(distance) < _LARGEST_GAP_M) & feet
    heights = np.sort(distance[good])
    if len(heights) < 3 * _FEWEST_KEYS:
        return 0.0
    ends = np.searchsorted(heights, heights + _GAP_BAND_M, side="right")
    counts = ends - np.arange(len(heights))
    best = int(counts.argmax())
    if counts[best] < _GAP_SHARE * len(heights):
        return 0.0
    return float(np.median(heights[best : ends[best]]))


def _episodes(begins: np.ndarray, stays: np.ndarray, breaks: np.ndarray) -> list[tuple[int, int]]:
    """Runs of rows (first, one past the last) in which a contact begins and is kept."""
    found, first = [], -1
    inside = begins | stays
    for row in range(len(begins) + 1):
        is_end = row == len(begins) or not inside[row] or breaks[row]
        if first >= 0 and is_end:
            if row - first >= _FEWEST_KEYS and begins[first:row].any():
                found.append((first, row))
            first = -1
        if row < len(begins) and inside[row] and first < 0:
            first = row
    return found


def _on_something_moving(
    motion: Motion, row: np.ndarray, point: np.ndarray, episode: np.ndarray, count: int
) -> np.ndarray:
    """Which contacts belong to an episode that goes on in one direction."""
    moving = np.zeros(count, bool)
    for number in range(count):
        mine = episode == number
        places = motion.points[row[mine], point[mine]]
        times_s = motion.times_s[row[mine]]
        net_m = float(np.linalg.norm(places[-1] - places[0]))
        way_m = float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())
        is_far = net_m > _MOVED_M and net_m > _DRIFT_M_S * (times_s[-1] - times_s[0])
        moving[number] = is_far and net_m > _STRAIGHT * way_m
    return moving[episode] if count else np.zeros(0, bool)
