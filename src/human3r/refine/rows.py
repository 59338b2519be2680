"""People at key frames, as rows of the problem: what is known of their places beforehand."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from human3r.refine.recording import Recording, Track

_PRIOR_ALONG, _PRIOR_ACROSS = 0.06, 0.015
"""Standard deviations of a body's place over its distance, where none was published."""
_LONGEST_GAP_S, _FASTEST_M_S = 0.5, 6.0
"""What comes later, or went faster, may be another person."""
_KNOT_S = 2.0
"""A body's bias is given so far apart; between, it is interpolated."""


@dataclass(frozen=True)
class Rows:
    """All people's rows at key frames."""

    person: Int[np.ndarray, " rows"]
    """Index into the recording's tracks."""
    track_row: Int[np.ndarray, " rows"]
    """Row within the track."""
    key: Int[np.ndarray, " rows"]
    place: Float[np.ndarray, "rows 3"]
    """Pelvis in the camera frame, as it came."""
    stddev: Float[np.ndarray, "rows 3 3"]
    """Inverse square root of the prior covariance of ``place``."""


@dataclass(frozen=True)
class Knots:
    """Where biases are given, and between which of them rows lie."""

    row: Int[np.ndarray, " knots"]
    """A row near the knot."""
    goes_on: np.ndarray
    """(knots,) bool: the next knot is of the same stretch of the same person."""
    before: Int[np.ndarray, " rows"]
    after: Int[np.ndarray, " rows"]
    share: Float[np.ndarray, " rows"]
    """0 at ``before``, 1 at ``after``."""


def rows_of(recording: Recording, keys: Int[np.ndarray, " keys"]) -> Rows:
    """All people's rows at key frames."""
    key_of = np.full(len(recording.stamps_ns), -1)
    key_of[keys] = np.arange(len(keys))
    person, track_row, key, place, stddev = [], [], [], [], []
    for index, track in enumerate(recording.tracks):
        mine = np.flatnonzero(key_of[track.frames] >= 0)
        person.append(np.full(len(mine), index))
        track_row.append(mine)
        key.append(key_of[track.frames[mine]])
        place.append(track.joints[mine, 0])
        stddev.append(_inverse_stddev(track, mine))
    if not person:
        none = np.zeros(0, int)
        return Rows(none, none, none, np.zeros((0, 3)), np.zeros((0, 3, 3)))
    return Rows(*(np.concatenate(part) for part in (person, track_row, key, place, stddev)))


def _inverse_stddev(track: Track, rows: np.ndarray) -> Float[np.ndarray, "rows 3 3"]:
    place = track.joints[rows, 0]
    far = np.linalg.norm(place, axis=1)
    ray = place / far[:, None]
    along = ray[:, :, None] * ray[:, None, :]
    weight = along / (_PRIOR_ALONG * far)[:, None, None]
    weight += (np.eye(3) - along) / (_PRIOR_ACROSS * far)[:, None, None]
    if track.covariance is None:
        return weight
    covariance = track.covariance[rows, :3, :3]
    is_known = np.asarray(np.isfinite(covariance).all(axis=(1, 2)))
    values, axes = np.linalg.eigh(np.where(is_known[:, None, None], covariance, np.eye(3)))
    root = axes @ (axes / np.sqrt(np.maximum(values, 1e-8))[:, None, :]).transpose(0, 2, 1)
    return np.where(is_known[:, None, None], root, weight)


def following(
    rows: Rows, times_s: Float[np.ndarray, " keys"], pose: Float[np.ndarray, "keys 4 4"]
) -> tuple[np.ndarray, np.ndarray]:
    """Consecutive rows of the same person, not too far apart in time and at a speed of people."""
    row = np.arange(len(rows.key) - 1) if len(rows.key) else np.zeros(0, int)
    after = row + 1
    good = rows.person[row] == rows.person[after]
    passed_s = times_s[rows.key[after]] - times_s[rows.key[row]]
    world = np.einsum("nij,nj->ni", pose[rows.key, :3, :3], rows.place) + pose[rows.key, :3, 3]
    good &= (passed_s > 0) & (passed_s < _LONGEST_GAP_S)
    good &= np.linalg.norm(world[after] - world[row], axis=1) < _FASTEST_M_S * passed_s
    return row[good], after[good]


def triples(
    next_rows: tuple[np.ndarray, np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three consecutive rows each."""
    next_of = np.full(count, -1)
    next_of[next_rows[0]] = next_rows[1]
    row, middle = next_rows
    last = next_of[middle]
    keep = last >= 0
    return row[keep], middle[keep], last[keep]


def knots_of(rows: Rows, times_s: np.ndarray, next_rows: tuple[np.ndarray, np.ndarray]) -> Knots:
    """Knots of each stretch of rows without a gap."""
    count = len(rows.key)
    begins = np.ones(count, bool)
    begins[next_rows[1]] = False
    stretch = np.cumsum(begins) - 1
    before, after, share = np.zeros(count, int), np.zeros(count, int), np.zeros(count)
    row, goes_on = [], []
    for number in range(int(stretch.max()) + 1 if count else 0):
        mine = np.flatnonzero(stretch == number)
        at_s = times_s[rows.key[mine]]
        pieces = max(1, round((at_s[-1] - at_s[0]) / _KNOT_S))
        where = (at_s - at_s[0]) / max(at_s[-1] - at_s[0], 1e-9) * pieces
        piece = np.minimum(where.astype(int), pieces - 1)
        before[mine], after[mine] = len(row) + piece, len(row) + piece + 1
        share[mine] = where - piece
        row += [int(mine[np.abs(where - knot).argmin()]) for knot in range(pieces + 1)]
        goes_on += [True] * pieces + [False]
    return Knots(np.array(row, int), np.array(goes_on, bool), before, after, share)
