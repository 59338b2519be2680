"""Cameras: the first stays, each goes from key to key as the live path has it, loops meet.

Relative poses as in pose graphs: Grisetti et al. 2010, "A tutorial on graph-based SLAM"; ways
scale with their chunk, as in Strasdat et al. 2010, "Scale drift-aware large scale monocular SLAM".
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from human3r.refine.residuals.derivatives import (
    cross,
    log,
    mean_scale,
    of_mean_scale,
    relative,
    turned_back,
)
from human3r.refine.solver import Block, Residuals
from human3r.refine.unknowns import Layout, State

_FIXED = 1e-6
_NO_TURN_RAD = 1e-7
_SHARE, _LEAST_M, _LEAST_RAD = 0.005, 2e-4, np.radians(0.01)
"""Standard deviation of a step of the path over its length, and at least."""
_FOLLOWED = 5.0
"""So many times that where features are followed, which tell more."""
_STILL = 0.05
"""So many times that where the stream saw that the camera stood still."""
_ROBUST = 3.0


@dataclass(frozen=True)
class PosePairs:
    """Measured poses between key frames, from loops that close."""

    key: Int[np.ndarray, " n"]
    other: Int[np.ndarray, " n"]
    key_from_other: Float[np.ndarray, "n 4 4"]
    """Translations in the scale of the chunk of ``key``, not scaled."""
    stddev_m: Float[np.ndarray, " n"]
    """Of the translations."""
    stddev_rad: Float[np.ndarray, " n"]


def no_loops() -> PosePairs:
    """No loops at all."""
    none, zero = np.zeros(0, int), np.zeros(0)
    return PosePairs(none, none, np.zeros((0, 4, 4)), zero, zero)


@dataclass(frozen=True)
class FirstCamera:
    """The world is where it was: the first camera does not move."""

    pose: Float[np.ndarray, "4 4"]

    def residuals(self, state: State) -> list[Residuals]:
        """One of six numbers."""
        turned = log(self.pose[None, :3, :3].transpose(0, 2, 1) @ state.rotation[:1])[0]
        values = np.concatenate([turned, state.centre[0] - self.pose[:3, 3]])
        block = Block(np.array([0]), np.eye(6)[None] / _FIXED)
        return [Residuals(values[None] / _FIXED, [block])]


@dataclass(frozen=True)
class Odometry:
    """Steps of the camera are those of the live path, as much as loops let believe."""

    layout: Layout
    pose: Float[np.ndarray, "keys 4 4"]
    """The live path at key frames."""
    loops: PosePairs
    is_followed: np.ndarray
    """(keys - 1,) bool: features are followed over the step."""

    def residuals(self, state: State) -> list[Residuals]:
        """Of places and of angles, one per step."""
        before, after = np.arange(len(self.pose) - 1), np.arange(1, len(self.pose))
        start = relative(self.pose[before], self.pose[after])
        place, angle = self._drift()
        loose = np.where(self.is_followed, _FOLLOWED, 1.0)
        place, angle = np.maximum(place, loose), np.maximum(angle, loose)
        way_m = np.linalg.norm(start[:, :3, 3], axis=1)
        turned_rad = np.linalg.norm(log(start[:, :3, :3]), axis=1)
        # The stream leaves a camera that stands still exactly where it is.
        is_still = (way_m == 0) & (turned_rad < _NO_TURN_RAD)
        place, angle = (np.where(is_still, _STILL, loose) for loose in (place, angle))
        place = place * (_LEAST_M + _SHARE * way_m)
        angle = angle * (_LEAST_RAD + _SHARE * turned_rad)
        return relative_poses(self.layout, state, before, after, start, place, angle, after)

    def _drift(self) -> tuple[float, float]:
        """By how much the path drifts more than expected, in place and in angle, as loops show.

        What a loop itself may be off by is no drift.
        """
        loops = self.loops
        if len(loops.key) == 0:
            return 1.0, 1.0
        path = relative(self.pose[loops.key], self.pose[loops.other])
        error = relative(loops.key_from_other, path)
        steps = np.sqrt(np.maximum(loops.other - loops.key, 1))
        way_m = np.linalg.norm(np.diff(self.pose[:, :3, 3], axis=0), axis=1).mean()
        place = _beyond(np.linalg.norm(error[:, :3, 3], axis=1), loops.stddev_m)
        place = np.median(place / (steps * (_LEAST_M + _SHARE * way_m)))
        angle = _beyond(np.linalg.norm(log(error[:, :3, :3]), axis=1), loops.stddev_rad)
        angle = np.median(angle / (steps * _LEAST_RAD))
        return max(1.0, float(place)), max(1.0, float(angle))


def _beyond(error: np.ndarray, stddev: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(error**2 - stddev**2, 0))


@dataclass(frozen=True)
class Loops:
    """Cameras that see the same place again are where the place says."""

    layout: Layout
    loops: PosePairs

    def residuals(self, state: State) -> list[Residuals]:
        """Of places and of angles, one per loop."""
        one = self.loops
        if len(one.key) == 0:
            return []
        return relative_poses(
            self.layout,
            state,
            one.key,
            one.other,
            one.key_from_other,
            one.stddev_m,
            one.stddev_rad,
            one.key,
            robust=_ROBUST,
        )


def relative_poses(
    layout: Layout,
    state: State,
    a: np.ndarray,
    b: np.ndarray,
    a_from_b: np.ndarray,
    place_m: np.ndarray,
    angle_rad: np.ndarray,
    scale_of: np.ndarray,
    robust: float = 0.0,
) -> list[Residuals]:
    """How far the poses of b in a are from those given, whose ways scale with a chunk.

    Args:
        layout: of the unknowns.
        state: where.
        a: key frame of each.
        b: key frame of each.
        a_from_b: (n, 4, 4) as measured.
        place_m: (n,) standard deviation of its translation.
        angle_rad: (n,) of its rotation.
        scale_of: key frame whose chunk's scale the translation has.
        robust: see ``Residuals``.
    """
    rotation = state.rotation[a]
    apart = turned_back(rotation, state.centre[b] - state.centre[a])
    scale = np.exp(state.log_scale[layout.chunk[scale_of]])[:, None]
    way = scale * a_from_b[:, :3, 3]
    inverse = np.swapaxes(rotation, 1, 2)
    place_m = place_m * mean_scale(state)
    own = np.concatenate([cross(apart), -inverse], axis=2) / place_m[:, None, None]
    other = np.concatenate([np.zeros_like(inverse), inverse], axis=2) / place_m[:, None, None]
    off = (apart - way) / place_m[:, None]
    places = Residuals(
        off,
        [
            Block(6 * a, own),
            Block(6 * b, other),
            Block(layout.scale_at + layout.chunk[scale_of], -(way / place_m[:, None])[:, :, None]),
            of_mean_scale(layout, off),
        ],
        robust,
    )
    given = np.swapaxes(a_from_b[:, :3, :3], 1, 2)
    both = inverse @ state.rotation[b]
    # Log(G^T Exp(-w_a) R Exp(w_b)): small errors make the derivatives rotations.
    by_a = -np.swapaxes(both, 1, 2) / angle_rad[:, None, None]
    by_b = np.broadcast_to(np.eye(3), by_a.shape) / angle_rad[:, None, None]
    error = log(given @ both) / angle_rad[:, None]
    angles = Residuals(error, [Block(6 * a, by_a), Block(6 * b, by_b)], robust)
    return [places, angles]
