"""Scale from the known height of the camera above the floor that it sees.

The floor is the lowest level surface with many points: of those where the surface looks level, the
height at which most lie gives a first guess, a plane through its neighbourhood the height. One
frame gives one vote; votes of frames that follow each other closely err alike, so only one per
second counts as independent.
"""

import math
from collections import deque
from collections.abc import Callable

import numpy as np

from human3r.mapping.points import is_flying
from human3r.scale.guess import Guess, judged, robust_middle
from human3r.types import FrameEstimate

_MIN_SHARE = 0.02
"""Of all pixels: less is no floor."""
_MIN_POINTS = 60
_LOWEST, _HIGHEST = 0.15, 20.0
"""Heights of the camera that are looked for, network units."""
_BIN = 0.08
_NEARLY_AS_MANY = 0.5
_LEVEL = math.cos(math.radians(40))
"""Of the angle between a level surface's normal and what is taken for up."""
_FIRST_TOLERANCE, _LAST_TOLERANCE = 0.25, 0.08
"""Distance from the plane, over the camera's height, at which a point no longer counts."""
_ROUNDS = 8
_MAX_SLOPE = math.tan(math.radians(15))
"""Between the plane and what is taken for level."""
_WINDOW_NS = 20_000_000_000
_MIN_FRAMES, _MAX_FRAMES = 5, 200
_INDEPENDENT_NS = 1_000_000_000
_EDGE = 0.04
_WHAT = "the camera's height against that above the floor it sees"
_REMEDY = "Check scale.camera_height_m and the camera's tilt, and let the camera see the floor."


class HeightScale:
    """Looks for the floor in every frame; remembers the votes of the last twenty seconds."""

    def __init__(
        self,
        height_m: Callable[[], float],
        up_camera: Callable[[np.ndarray], np.ndarray | None],
    ) -> None:
        """Nothing is known yet.

        Args:
            height_m: true height of the camera above the floor; 0 while it is not known.
            up_camera: from world_from_camera to the direction (3,) that points up, camera frame;
                None while it is not known.
        """
        self._height_m = height_m
        self._up_camera = up_camera
        self._votes: deque[tuple[int, float]] = deque(maxlen=_MAX_FRAMES)

    def forget(self) -> None:
        """A new world: what was measured of the old one says little about it."""
        self._votes.clear()

    def update(self, raw: FrameEstimate) -> Guess:
        """What is known after a frame, whose lengths are in network units."""
        height_m = self._height_m()
        if height_m <= 0:
            return Guess(
                trouble="the camera's height above the floor is not known; expected "
                "scale.camera_height_m, or static transforms from the camera to frames.base."
            )
        up_camera = self._up_camera(raw.world_from_camera)
        if up_camera is None:
            return Guess(
                trouble="where up is has not been found yet; expected a level frame first."
            )
        seen = camera_height(_scene_points(raw), up_camera)
        if seen is not None:
            self._votes.append((raw.stamp_ns, math.log(height_m / seen)))
        while self._votes and raw.stamp_ns - self._votes[0][0] > _WINDOW_NS:
            self._votes.popleft()
        return self._guess()

    def _guess(self) -> Guess:
        count = len(self._votes)
        if count < _MIN_FRAMES:
            return Guess(
                samples=count,
                trouble=f"the floor was found in {count} of the last frames; expected "
                f"{_MIN_FRAMES}. {_REMEDY}",
            )
        stamps, votes = zip(*self._votes, strict=True)
        middle = robust_middle(votes, 1 + (stamps[-1] - stamps[0]) / _INDEPENDENT_NS)
        return judged(math.exp(middle.value), middle.stddev, count, _WHAT, _REMEDY)


def camera_height(points_camera: np.ndarray, up_camera: np.ndarray) -> float | None:
    """Distance of the camera from the floor, in the points' unit; None when no floor is seen.

    Args:
        points_camera: (height, width, 3) one point per pixel, camera frame; NaN where there is
            none, or a person.
        up_camera: (3,) about what points up, within fifteen degrees.
    """
    up = np.asarray(up_camera, np.float64) / np.linalg.norm(up_camera)
    points = _level_points(points_camera, up)
    below = -(points @ up)
    guess = _lowest_level(below, points_camera.shape[0] * points_camera.shape[1])
    if guess is None:
        return None
    # Level coordinates of every point; the plane is below = height + slope . (x, y).
    side = np.cross(up, [0.0, 0.0, 1.0] if abs(up[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    rows = np.stack([np.ones(len(points)), points @ side, points @ np.cross(up, side)], -1)
    plane = np.array([guess, 0.0, 0.0])
    for tolerance in np.geomspace(_FIRST_TOLERANCE, _LAST_TOLERANCE, _ROUNDS):
        off = (below - rows @ plane) / (tolerance * plane[0])
        weight = np.clip(1.0 - off**2, 0.0, None) ** 2
        if (weight > 0).sum() < _MIN_POINTS:
            return None
        weighted = rows * weight[:, None]
        plane = np.linalg.lstsq(weighted.T @ rows, weighted.T @ below, rcond=None)[0]
        if not plane[0] > 0:
            return None
    steepness = float(np.hypot(plane[1], plane[2]))
    return float(plane[0] / math.sqrt(1.0 + steepness**2)) if steepness <= _MAX_SLOPE else None


def _level_points(points_camera: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The points (n, 3) at which the surface is about level and seen from above."""
    points = np.asarray(points_camera, np.float64)
    # Far enough apart that noise hardly tilts the surface between them.
    step = max(2, points.shape[0] // 16)
    right = points[step:-step, 2 * step :] - points[step:-step, : -2 * step]
    down = points[2 * step :, step:-step] - points[: -2 * step, step:-step]
    # From the image's right and down, this points away from what is seen from the front.
    normal = np.cross(down, right)
    length = np.linalg.norm(normal, axis=-1)
    # A comparison with NaN is false.
    is_level = normal @ up > _LEVEL * length
    chosen = points[step:-step, step:-step][is_level]
    return chosen[np.isfinite(chosen).all(axis=-1)]


def _lowest_level(below: np.ndarray, total: int) -> float | None:
    """The lowest height at which nearly as many points lie as at any other.

    Args:
        below: distances below the camera of level points.
        total: how many points the picture has.
    """
    heights = below[(below > _LOWEST) & (below < _HIGHEST)]
    if len(heights) < max(_MIN_POINTS, _MIN_SHARE * total):
        return None
    edges = np.exp(np.arange(math.log(_LOWEST), math.log(_HIGHEST) + _BIN, _BIN))
    counts = np.histogram(heights, edges)[0]
    smooth = np.convolve(counts, [0.5, 1.0, 0.5], "same")
    last = int(np.nonzero(smooth >= _NEARLY_AS_MANY * smooth.max())[0][-1])
    return float(math.sqrt(edges[last] * edges[last + 1]))


def _scene_points(raw: FrameEstimate) -> np.ndarray:
    """The points (height, width, 3), NaN where people are, and on depth edges."""
    keep = (raw.depth > 0) & (raw.person_probability < 0.5) & ~is_flying(raw.depth, _EDGE)
    return np.where(keep[..., None], raw.points_camera, np.float32(np.nan))
