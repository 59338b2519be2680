"""Scale from what only a robot knows: its odometry, a depth camera, the height of its camera.

Odometry: how far the robot went against how far the network says it went. The stream is cut into
stretches of a quarter of a metre by the robot's odometry. Over one of them both say the
displacement in the camera frame of its beginning, r in metres and n in network units, so neither
drift nor the two worlds' headings matter. The robot's odometry is by far the better of the two over
so short a way, so n = r / scale + noise: each stretch says 1 / scale = n.r / r.r, and the median
over the last stretches is taken. Standing still and turning on the spot make no stretches, so they
change nothing.

Depth: the median ratio of measured depth to the network's. One frame gives one vote, the median
over its pixels of log(measured / network).

Height: the floor is the lowest level surface with many points: of those where the surface looks
level, the height at which most lie gives a first guess, a plane through its neighbourhood the
height. One frame gives one vote.

Votes of frames that follow each other closely err alike, so only one per second counts as
independent.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from human3r.mapping.points import is_flying
from human3r.scale.sources import FrameVotes, Guess, ScaleSources, Waiting, judged, robust_middle
from human3r.types import FrameEstimate

STRETCH_M = 0.25
_MAX_STRETCH_NS = 10_000_000_000
"""Over a longer time the network's drift is no longer small against a quarter of a metre."""
_MIN_STRETCHES, _MAX_STRETCHES = 5, 40
_MOTION = "the robot's motion against the network's"


@dataclass(frozen=True)
class _Place:
    """Where a frame's camera was, as both say it."""

    stamp_ns: int
    session: int
    anchor_from_camera: np.ndarray
    world_from_camera: np.ndarray


class MotionScale:
    """Compares displacements; remembers the last ten metres."""

    def __init__(self, sources: ScaleSources) -> None:
        self._sources = sources
        self._waiting: Waiting[tuple[int, np.ndarray], np.ndarray] = Waiting()
        self._began: _Place | None = None
        self._votes: deque[float] = deque(maxlen=_MAX_STRETCHES)
        self._is_posed = False

    def forget(self) -> None:
        """A new world: what was measured of the old one says little about it."""
        self._waiting.clear()
        self._votes.clear()
        self._began = None

    def update(self, raw: FrameEstimate) -> Guess:
        """What is known after a frame, whose lengths are in network units."""
        self._waiting.put(raw.stamp_ns, (raw.session, raw.world_from_camera))
        for stamp_ns, (session, pose), robot in self._waiting.matched(
            raw.stamp_ns, self._sources.pose_at
        ):
            self._is_posed = True
            self._add_pair(_Place(stamp_ns, session, robot, pose))
        return self._guess()

    def _add_pair(self, now: _Place) -> None:
        began = self._began
        is_usable = (
            began is not None
            and began.session == now.session
            and 0 < now.stamp_ns - began.stamp_ns <= _MAX_STRETCH_NS
        )
        if not is_usable:
            self._began = now
            return
        robot = _displacement(began.anchor_from_camera, now.anchor_from_camera)  # pyright: ignore[reportOptionalMemberAccess]
        if robot @ robot < STRETCH_M**2:
            return
        network = _displacement(began.world_from_camera, now.world_from_camera)  # pyright: ignore[reportOptionalMemberAccess]
        self._votes.append(float(network @ robot / (robot @ robot)))
        self._began = now

    def _guess(self) -> Guess:
        count = len(self._votes)
        if not self._is_posed:
            reason = self._sources.trouble() or (
                "the robot's pose is not known at the images' stamps; expected its odometry on TF."
            )
            return Guess(trouble=reason)
        if count < _MIN_STRETCHES:
            return Guess(
                samples=count,
                trouble=f"the robot has moved {count} stretches of {STRETCH_M} m; expected "
                f"{_MIN_STRETCHES} before its motion can fix the scale. Drive on: turning on the "
                "spot is no motion of use.",
            )
        inverse = robust_middle(self._votes)
        if inverse.value <= 0:
            return Guess(samples=count, trouble=f"{_MOTION} points the other way. {_MOTION_REMEDY}")
        return judged(
            1.0 / inverse.value, inverse.stddev / inverse.value, count, _MOTION, _MOTION_REMEDY
        )


_MOTION_REMEDY = (
    "Check frames.anchor and the camera's place on the robot; if they are right, the network does "
    "not follow the motion: choose another scale.mode."
)


def _displacement(a_from_began: np.ndarray, a_from_now: np.ndarray) -> np.ndarray:
    """(3,) from one camera to the other, in the frame of the first."""
    return a_from_began[:3, :3].T @ (a_from_now[:3, 3] - a_from_began[:3, 3])


RANGE_M = (0.3, 8.0)
"""Where depth cameras measure to a few percent."""
_MIN_MEASURED_SHARE = 0.02
"""Of the pixels; with fewer measured the image stays the network's."""
_CONFIDENCE = 30.0
"""Of a measured pixel, on the scale of ``FrameEstimate.confidence``: a relative error of 1 %."""
_MAX_PIXELS = 4000
_MIN_PIXELS = 100
_DEPTH = "measured depth against the network's"
_DEPTH_REMEDY = (
    "Check that the depth image is aligned to the colour image and in metres (32FC1) or "
    "millimetres (16UC1)."
)
_WINDOW_NS = 20_000_000_000
_MIN_FRAMES, _MAX_FRAMES = 5, 200


class DepthScale:
    """Compares depth images; remembers the votes of the last twenty seconds."""

    def __init__(self, sources: ScaleSources) -> None:
        self._sources = sources
        self._waiting: Waiting = Waiting()
        self._votes = FrameVotes(_WINDOW_NS, _MAX_FRAMES)
        self._is_seen = False
        self._last_share = 0.0

    def forget(self) -> None:
        """A new world: what was measured of the old one says little about it."""
        self._waiting.clear()
        self._votes.clear()

    def update(self, raw: FrameEstimate) -> Guess:
        """What is known after a frame, whose lengths are in network units."""
        self._waiting.put(raw.stamp_ns, _sample(raw))
        for stamp_ns, (pixels, network), measure in self._waiting.matched(
            raw.stamp_ns, self._sources.depth_at
        ):
            self._is_seen = True
            self._compare(stamp_ns, network, measure(pixels))
        self._votes.until(raw.stamp_ns)
        return self._guess()

    def _compare(self, stamp_ns: int, network: np.ndarray, measured_m: np.ndarray) -> None:
        # A comparison with NaN is false.
        known = (measured_m >= RANGE_M[0]) & (measured_m <= RANGE_M[1])
        self._last_share = float(known.mean()) if len(known) else 0.0
        if known.sum() >= _MIN_PIXELS:
            ratio = np.log(measured_m[known].astype(np.float64) / network[known])
            self._votes.add(stamp_ns, float(np.median(ratio)))

    def _guess(self) -> Guess:
        count = len(self._votes)
        if not self._is_seen:
            reason = self._sources.trouble() or (
                "no depth image has come with the stamp of an image; expected one on topic depth. "
                "Publish it with the colour image's stamp, or remap depth."
            )
            return Guess(trouble=reason)
        if count < _MIN_FRAMES:
            return Guess(
                samples=count,
                trouble=f"depth was compared in {count} frames, the last one with depth from "
                f"{RANGE_M[0]} to {RANGE_M[1]} m in {self._last_share:.0%} of its pixels; "
                f"expected {_MIN_FRAMES} frames with {_MIN_PIXELS} such pixels.",
            )
        middle = self._votes.middle()
        return judged(math.exp(middle.value), middle.stddev, count, _DEPTH, _DEPTH_REMEDY)


def _sample(raw: FrameEstimate) -> tuple[np.ndarray, np.ndarray]:
    """Source pixels (n, 2) all over the picture, and the network's depth there (n,)."""
    step = max(1, round((raw.depth.size / _MAX_PIXELS) ** 0.5))
    rows, cols = np.mgrid[
        step // 2 : raw.depth.shape[0] : step, step // 2 : raw.depth.shape[1] : step
    ]
    keep = ((raw.depth > 0) & np.isfinite(raw.depth))[rows, cols]
    rows, cols = rows[keep], cols[keep]
    pixels = raw.geometry.source_from_network(np.stack([cols, rows], -1).astype(np.float64))
    return pixels, raw.depth[rows, cols].astype(np.float64)


def with_measured_depth(
    estimate: FrameEstimate, measure: Callable[[np.ndarray], np.ndarray]
) -> FrameEstimate:
    """The estimate with measured depth where there is any; holes keep the shape the network has.

    What the network says in the holes is scaled by the median ratio at the measured pixels, so that
    both are one surface.

    Args:
        estimate: in metres, along the rays of its ``intrinsics``.
        measure: as of ``ScaleSources.depth_at``.
    """
    rows, columns = np.indices(estimate.depth.shape)
    pixels = estimate.geometry.source_from_network(np.stack([columns, rows], -1).reshape(-1, 2))
    measured_m = np.asarray(measure(pixels), np.float64).reshape(estimate.depth.shape)
    depth_m = estimate.depth.astype(np.float64)
    # A comparison with NaN is false.
    is_measured = (measured_m >= RANGE_M[0]) & (measured_m <= RANGE_M[1])
    both = is_measured & (depth_m > 0)
    if is_measured.mean() < _MIN_MEASURED_SHARE or not both.any():
        return estimate
    ratio = np.exp(np.median(np.log(measured_m[both] / depth_m[both])))
    filled_m = np.where(is_measured, measured_m, depth_m * ratio)
    camera = estimate.intrinsics
    rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy], -1)
    points = np.concatenate([rays * filled_m[..., None], filled_m[..., None]], -1)
    confidence = np.where(is_measured, np.float32(_CONFIDENCE), estimate.confidence)
    return replace(
        estimate,
        points_camera=points.astype(np.float32),
        confidence=confidence.astype(np.float32),
        is_depth_measured=True,
    )


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
_EDGE = 0.04
_HEIGHT = "the camera's height against that above the floor it sees"
_HEIGHT_REMEDY = (
    "Check scale.camera_height_m and the camera's tilt, and let the camera see the floor."
)


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
        self._votes = FrameVotes(_WINDOW_NS, _MAX_FRAMES)

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
            self._votes.add(raw.stamp_ns, math.log(height_m / seen))
        self._votes.until(raw.stamp_ns)
        return self._guess()

    def _guess(self) -> Guess:
        count = len(self._votes)
        if count < _MIN_FRAMES:
            return Guess(
                samples=count,
                trouble=f"the floor was found in {count} of the last frames; expected "
                f"{_MIN_FRAMES}. {_HEIGHT_REMEDY}",
            )
        middle = self._votes.middle()
        return judged(math.exp(middle.value), middle.stddev, count, _HEIGHT, _HEIGHT_REMEDY)


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
