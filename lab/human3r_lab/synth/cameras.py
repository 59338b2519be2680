"""Camera paths: hand-held, on a robot, or fixed; never inside things, mostly looking at people.

A path is proposed at random and kept if the checks pass; after enough tries the least bad one is
taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from human3r.types import Intrinsics
from human3r_lab.synth.stage import Stage

KINDS = ("hand", "robot", "fixed")
CLOSEST_M = 0.5
"""No skin or cloth comes nearer to the camera."""

_TRIES = 150
_APART_RAD = np.radians(25.0)
"""Room cameras look at people from directions at least this far apart."""


@dataclass(frozen=True)
class CameraPath:
    """A camera over a sequence."""

    kind: str
    """One of ``KINDS``."""
    intrinsics: Intrinsics
    world_from_camera: np.ndarray
    """(frames, 4, 4) float64."""


@dataclass(frozen=True)
class Shot:
    """What a path must respect."""

    stage: Stage
    people_m: Sequence[np.ndarray]
    """Per person (frames, points, 3) points of its surface, world frame."""
    times_s: np.ndarray
    """(frames,)."""
    width_px: int
    height_px: int
    is_easy: bool
    scenery_depth: Callable[[Intrinsics, np.ndarray], np.ndarray]
    """Depth (H, W) of the scenery alone from a pose."""


def smooth_noise(rng: np.random.Generator, times_s: np.ndarray, fastest_hz: float) -> np.ndarray:
    """(frames,) a sum of slow sines, deviation about 1, the same at any frame rate."""
    frequency = rng.uniform(0.15, 1.0, 5) * fastest_hz
    phase, size = rng.uniform(0, 2 * np.pi, 5), rng.uniform(0.4, 1.0, 5)
    waves = size * np.sin(2 * np.pi * frequency * times_s[:, None] + phase)
    return waves.sum(1) / np.sqrt((size**2).sum() / 2)


def look_along(
    place_m: np.ndarray, yaw_rad: np.ndarray, pitch_rad: np.ndarray, roll_rad: np.ndarray
) -> np.ndarray:
    """(frames, 4, 4) world_from_camera.

    Args:
        place_m: (frames, 3).
        yaw_rad: (frames,) heading of the optical axis about z, 0 along x.
        pitch_rad: (frames,) upwards.
        roll_rad: (frames,) clockwise about the optical axis.
    """
    forward = np.stack(
        [
            np.cos(pitch_rad) * np.cos(yaw_rad),
            np.cos(pitch_rad) * np.sin(yaw_rad),
            np.sin(pitch_rad),
        ],
        -1,
    )
    level = np.stack([np.sin(yaw_rad), -np.cos(yaw_rad), np.zeros_like(yaw_rad)], -1)
    down = np.cross(forward, level)
    c, s = np.cos(roll_rad)[:, None], np.sin(roll_rad)[:, None]
    poses = np.tile(np.eye(4), (len(place_m), 1, 1))
    poses[:, :3, 0] = c * level + s * down
    poses[:, :3, 1] = c * down - s * level
    poses[:, :3, 2] = forward
    poses[:, :3, 3] = place_m
    return poses


def choose_path(rng: np.random.Generator, shot: Shot) -> CameraPath:
    """A random camera for a shot."""
    return _best_path(rng, shot, KINDS[rng.choice(3, p=[0.5, 0.35, 0.15])])


def choose_room_cameras(rngs: Sequence[np.random.Generator], shot: Shot) -> list[CameraPath]:
    """Fixed cameras that look at the same people from different sides, one per generator.

    A camera depends on its own generator and on the cameras before it.
    """
    paths: list[CameraPath] = []
    for rng in rngs:
        paths.append(_best_path(rng, shot, "fixed", paths))
    return paths


def _best_path(
    rng: np.random.Generator, shot: Shot, kind: str, others: Sequence[CameraPath] = ()
) -> CameraPath:
    best, best_score = None, -np.inf
    for _ in range(_TRIES):
        path = _propose(rng, shot, kind)
        score = _score(shot, path)
        if any(_is_beside(path, other) for other in others):
            score -= 1.0
        if score > best_score:
            best, best_score = path, score
        if score >= 1.0:
            break
    assert best is not None
    return best


def _is_beside(path: CameraPath, other: CameraPath) -> bool:
    """Whether two cameras look the same way, so that the second shows nothing new."""
    ahead, also = path.world_from_camera[0, :3, 2], other.world_from_camera[0, :3, 2]
    return bool(ahead @ also > np.cos(_APART_RAD))


def _propose(rng: np.random.Generator, shot: Shot, kind: str) -> CameraPath:
    hfov = np.radians(rng.uniform(45, 85))
    focal = shot.width_px / 2 / np.tan(hfov / 2)
    camera = Intrinsics(
        focal,
        focal,
        (shot.width_px - 1) / 2,
        (shot.height_px - 1) / 2,
        shot.width_px,
        shot.height_px,
    )
    t = shot.times_s
    focus = _focus(rng, shot)
    calm = 0.4 if shot.is_easy else 1.0

    # Around what is looked at, in polar coordinates.
    distance = rng.uniform(2.4, 4.5) if shot.is_easy else rng.uniform(1.4, 6.5)
    angle = rng.uniform(0, 2 * np.pi)
    pivot = focus.mean(0)[:2] if rng.random() < 0.6 else focus[:, :2]
    moves = kind != "fixed" and rng.random() < 0.75
    turn = calm * rng.normal(0, 0.25) * moves
    approach = calm * rng.normal(0, 0.35) * moves
    radius = np.maximum(distance + approach * t, 0.9)
    bearing = angle + turn * t
    place = np.zeros((len(t), 3))
    place[:, :2] = pivot + radius[:, None] * np.stack([np.cos(bearing), np.sin(bearing)], -1)
    if kind == "fixed":
        place[:] = place.mean(0)

    if kind == "hand":
        place[:, 2] = rng.uniform(1.2, 1.8)
        for axis in range(3):
            place[:, axis] += calm * rng.uniform(0.01, 0.06) * smooth_noise(rng, t, 1.0)
    elif kind == "robot":
        place[:, 2] = rng.uniform(0.3, 1.5) + 0.002 * smooth_noise(rng, t, 4.0)
    else:
        place[:, 2] = rng.uniform(0.6, 2.6)
    if shot.stage.ceiling_m is not None:
        place[:, 2] = np.minimum(place[:, 2], shot.stage.ceiling_m - 0.25)

    aim = focus - place
    flat = np.hypot(aim[:, 0], aim[:, 1])
    yaw = np.unwrap(np.arctan2(aim[:, 1], aim[:, 0]))
    pitch = np.arctan2(aim[:, 2], flat)
    miss = (0.05 if shot.is_easy else 0.16) * hfov
    yaw += rng.normal(0, miss)
    if kind == "hand":
        yaw += calm * rng.uniform(0.01, 0.05) * smooth_noise(rng, t, 0.8)
        pitch += rng.normal(0, 0.04) + calm * rng.uniform(0.005, 0.03) * smooth_noise(rng, t, 0.8)
        roll = rng.normal(0, 0.03) + calm * rng.uniform(0.005, 0.03) * smooth_noise(rng, t, 0.7)
    elif kind == "robot":
        # A robot's camera does not nod: only its heading follows people.
        pitch = np.full(len(t), pitch.mean() + rng.normal(0, 0.05))
        yaw += rng.uniform(0.0, 0.06) * smooth_noise(rng, t, 0.3)
        pitch += 0.003 * smooth_noise(rng, t, 4.0)
        roll = 0.003 * smooth_noise(rng, t, 4.0)
    else:
        yaw, pitch = np.full(len(t), yaw.mean()), np.full(len(t), pitch.mean())
        roll = np.full(len(t), rng.normal(0, 0.02))
    return CameraPath(kind, camera, look_along(place, yaw, pitch, roll))


def _focus(rng: np.random.Generator, shot: Shot) -> np.ndarray:
    """(frames, 3) what the camera follows: the middle of some people, smoothed over time."""
    count = len(shot.people_m)
    some = rng.permutation(count)[: 1 + rng.integers(count)]
    middle = np.mean([shot.people_m[i].mean(1) for i in some], axis=0)
    gap = shot.times_s[:, None] - shot.times_s[None]
    weight = np.exp(-0.5 * (gap / 0.6) ** 2)
    smooth = weight @ middle / weight.sum(1, keepdims=True)
    smooth[:, 2] += rng.uniform(-0.15, 0.35)
    return smooth


def _score(shot: Shot, path: CameraPath) -> float:
    """At least 1 for a good path; else below, the better the higher."""
    place = path.world_from_camera[:, :3, 3]
    if not _is_free(shot.stage, place):
        return -2.0 + 0.5 * _is_free(shot.stage, place[:1])
    away = np.array(
        [np.linalg.norm(points - place[:, None], axis=-1).min(1) for points in shot.people_m]
    )
    if away.min() < CLOSEST_M:
        return -1.5 + float(away.min())
    seen = _seen_shares(shot, path)
    if seen is None:
        return -1.0
    if shot.is_easy:
        too_near, too_far = max(1.6 - away.min(), 0.0), max(np.median(away) - 4.8, 0.0)
        good = min(seen.mean(1).min() / 0.75, seen.min() / 0.3)
        return float(good if too_near == too_far == 0 else 0.9 * good - too_near - 0.3 * too_far)
    return float(max(seen.mean(1).max() / 0.6, seen.mean() / 0.45))


def _is_free(stage: Stage, place: np.ndarray) -> bool:
    """Whether all places are inside the stage and outside what stands on it."""
    room = 0.1 if stage.ceiling_m is not None else 0.6
    if np.any(place[:, :2] < stage.low_m - room) or np.any(place[:, :2] > stage.high_m + room):
        return False
    for low, high, height in stage.obstacles:
        near = (place[:, :2] > low - 0.2).all(1) & (place[:, :2] < high + 0.2).all(1)
        if np.any(near & (place[:, 2] < height + 0.15)):
            return False
    return True


def _seen_shares(shot: Shot, path: CameraPath) -> np.ndarray | None:
    """(people, 4) share of each person that a few frames show; None if something is in the way."""
    camera = path.intrinsics
    scale = 48 / camera.width_px
    small = Intrinsics(
        camera.fx * scale,
        camera.fy * scale,
        23.5,
        (round(camera.height_px * scale) - 1) / 2,
        48,
        round(camera.height_px * scale),
    )
    frames = np.linspace(0, len(shot.times_s) - 1, 4).astype(int)
    shares = np.zeros((len(shot.people_m), len(frames)))
    for column, frame in enumerate(frames):
        pose = path.world_from_camera[frame]
        depth = shot.scenery_depth(small, pose)
        depth = np.where(depth > 0, depth, np.inf)
        if np.mean(depth < 0.5) > 0.1:
            return None
        for row, points in enumerate(shot.people_m):
            local = (points[frame] - pose[:3, 3]) @ pose[:3, :3]
            z = np.maximum(local[:, 2], 1e-3)
            u = np.round(small.fx * local[:, 0] / z + small.cx).astype(int)
            v = np.round(small.fy * local[:, 1] / z + small.cy).astype(int)
            inside = (local[:, 2] > 0.1) & (u >= 0) & (v >= 0)
            inside &= (u < small.width_px) & (v < small.height_px)
            free = depth[v[inside], u[inside]] > z[inside] - 0.1
            shares[row, column] = free.sum() / len(z)
    return shares
