"""First guess of the chunks' scales: from soles on the scene, and from depth at chunk borders.

A scene that is a fifth too small lies a fifth too near: feet that stand on it are then seen a few
decimetres below it, too far for a contact to be noticed. Seen from the camera, though, the sole's
place over the depth of the plane around it is the scale that is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from human3r.refine.contacts import Motion, speeds
from human3r.refine.recording import FEET
from human3r.refine.surface import Samples, plane_behind

_SLOW_M_S, _OF_CAMERA_SPEED = 0.2, 0.3
"""A scale that is off makes a foot that stands as fast as a share of the camera's speed."""
_BAND = 0.03
_FEWEST, _SHARE = 6, 0.4
"""So many sights of feet have to agree, and this share of all, within the band."""
_MOST_OFF = 1.7
_BORDER_FEWEST = 30
_BORDER_STDDEV, _CONTACT_STDDEV, _CHANGE_STDDEV = 0.01, 0.02, 0.1
_PIXEL_RAD = 0.02
"""Samples of two frames show the same when their directions differ by less."""


@dataclass(frozen=True)
class ScaleEvidence:
    """Logarithms of scales that feet ask for, per chunk, and how many sights agree."""

    log_scale: Float[np.ndarray, " chunks"]
    """0 where nothing is known."""
    num_sights: Int[np.ndarray, " chunks"]
    """0 where nothing is known."""


def evidence_of_feet(
    motions: list[Motion],
    points_camera: list[np.ndarray],
    scene_at: Callable[[int], np.ndarray],
    camera_speed_m_s: Float[np.ndarray, " keys"],
    chunk: Int[np.ndarray, " keys"],
) -> ScaleEvidence:
    """What all soles say about each chunk.

    Args:
        motions: people in the world frame, with the scales as they are.
        points_camera: the same points (rows, points, 3) in the camera frames.
        scene_at: scene points (n, 3) in the camera frame of a key frame.
        camera_speed_m_s: with the scales as they are.
        chunk: of each key frame.
    """
    sights: list[list[float]] = [[] for _ in range(int(chunk.max()) + 1)]
    for motion, points in zip(motions, points_camera, strict=True):
        speed = speeds(motion.points, motion.times_s)
        slow = speed < (_SLOW_M_S + _OF_CAMERA_SPEED * camera_speed_m_s[motion.keys])[:, None]
        for part in FEET:
            mine = np.flatnonzero(motion.parts == part)
            if len(mine) == 0:
                continue
            for row in np.flatnonzero(slow[:, mine].mean(axis=1) >= 0.5):
                key = motion.keys[row]
                ratio = _ratio(scene_at(key), points[row, mine])
                if ratio is not None:
                    sights[chunk[key]].append(ratio)
    modes = [_mode(np.array(values)) for values in sights]
    return ScaleEvidence(np.array([m[0] for m in modes]), np.array([m[1] for m in modes]))


def _ratio(scene: np.ndarray, sole: np.ndarray) -> float | None:
    found = plane_behind(scene, sole.mean(axis=0))
    if found is None:
        return None
    normal, offset = found
    ratio = float((sole @ normal).max() / offset)
    return float(np.log(ratio)) if 1 / _MOST_OFF < ratio < _MOST_OFF else None


def _mode(values: np.ndarray) -> tuple[float, int]:
    """Median of the densest band, and how many values are in it; (0, 0) when too few."""
    values = np.sort(values)
    if len(values) < _FEWEST:
        return 0.0, 0
    ends = np.searchsorted(values, values + _BAND, side="right")
    counts = ends - np.arange(len(values))
    best = int(counts.argmax())
    if counts[best] < max(_FEWEST, _SHARE * len(values)):
        return 0.0, 0
    return float(np.median(values[best : ends[best]])), int(counts[best])


def border_steps(
    samples: Samples,
    key_from_key: list[np.ndarray],
    chunk: Int[np.ndarray, " keys"],
) -> Float[np.ndarray, " borders"]:
    """log(scale of the chunk after / scale before) from depth on both sides; NaN where unknown.

    Args:
        samples: of the scene.
        key_from_key: per border, pose of the last camera before it in the first one after it.
        chunk: of each key frame.
    """
    borders = np.flatnonzero(np.diff(chunk))
    steps = []
    for border, after_from_before in zip(borders, key_from_key, strict=True):
        before, after = samples.of(int(border)), samples.of(int(border) + 1)
        before = before @ after_from_before[:3, :3].T + after_from_before[:3, 3]
        before = before[before[:, 2] > 0]
        if min(len(before), len(after)) < _BORDER_FEWEST:
            steps.append(np.nan)
            continue
        rays_before, rays_after = (p[:, :2] / p[:, 2:] for p in (before, after))
        apart, nearest = KDTree(rays_after).query(rays_before, p=np.inf)
        same = apart < _PIXEL_RAD
        if same.sum() < _BORDER_FEWEST:
            steps.append(np.nan)
            continue
        ratio = np.log(before[same, 2] / after[np.asarray(nearest)[same], 2])
        steps.append(float(np.median(ratio)))
    return np.array(steps)


def first_scales(
    evidence: ScaleEvidence, border_step: Float[np.ndarray, " borders"]
) -> Float[np.ndarray, " chunks"]:
    """Log scales that fit feet and borders best; all 0 where neither says anything."""
    count = len(evidence.log_scale)
    rows, right = [], []

    def add(row: np.ndarray, value: float, stddev: float) -> None:
        rows.append(row / stddev)
        right.append(value / stddev)

    one = np.eye(count)
    is_known = ~np.isnan(border_step)
    for border in range(count - 1):
        step = border_step[border] if is_known[border] else 0.0
        stddev = _BORDER_STDDEV if is_known[border] else _CHANGE_STDDEV
        add(one[border + 1] - one[border], step, stddev)
    for chunk in np.flatnonzero(evidence.num_sights):
        stddev = _CONTACT_STDDEV / np.sqrt(min(evidence.num_sights[chunk] / _FEWEST, 5))
        add(one[chunk], evidence.log_scale[chunk], stddev)
    # Without feet the chunks agree with each other; their mean stays as it was.
    for chunk in range(count):
        add(one[chunk], 0.0, 10.0)
    return np.linalg.lstsq(np.stack(rows), np.array(right), rcond=None)[0]
