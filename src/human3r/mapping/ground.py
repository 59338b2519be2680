"""Gravity from the floor: the plane under people's feet.

Feet say where the floor is and bodies roughly say where up is; the scene points around the feet
then say it exactly. Neither is enough alone: feet of few people hardly span a plane, and a scene
has many planes.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from human3r.config import SceneSettings
from human3r.geometry import transform_points
from human3r.types import FrameEstimate, PersonEstimate

_ANKLES, _HEAD = (7, 8), 15
_FOOT_RADIUS_M = 0.25
"""Skin this close to an ankle belongs to the foot or the shin, and the lowest of it to the sole."""
_LIFTED_M = 0.08
"""A foot this much above the other is not on the floor."""
_REACH_M = 1.0
_BAND_M = 0.3
"""Scene points this close to a sole, across and along up, may be floor."""
_POINTS_PER_FRAME = 400
_MAX_SOLES, _MAX_POINTS = 500, 100_000
_MEMORY_FRAMES = 30
_MIN_FRAMES = 10
_MIN_POINTS = 500
_MIN_SPREAD_M = 0.15
"""Standard deviation of the floor seen, along its narrow side."""
_MIN_SHARE = 0.4
"""Of what lies around the feet at about their height."""
_MAX_SOLE_ERROR_M = 0.25
"""A network places a person to about this; the plane is that of the scene, not of the soles."""
_MAX_LEAN_RAD = 0.45
"""Between the plane's normal and the mean direction from ankles to heads (26 degrees)."""
_BANDS_M = (0.30, 0.20, 0.15, 0.10, 0.08, 0.06, 0.06, 0.06)
"""Widths of the robust fit from first to last; the first forgives how people lean."""


@dataclass(frozen=True)
class _Sighting:
    """What one frame says, in the world frame."""

    soles: np.ndarray
    ups: np.ndarray
    floor: np.ndarray


@dataclass(frozen=True)
class Plane:
    """A plane fitted to points, with what speaks for it."""

    normal: np.ndarray
    """(3,) unit, upwards."""
    offset_m: float
    """Of its points along ``normal``."""
    spread_m: float
    """Standard deviation of its points along the narrow side."""
    num_points: int
    share: float
    """Of all points that are in the plane."""


class FloorFinder:
    """Collects what frames show of feet and floor until it tells where up is.

    Attributes:
        progress: what is missing still, in words; empty when the floor was found.
    """

    def __init__(self, scene: SceneSettings) -> None:
        self._scene = scene
        self._seen: deque[_Sighting] = deque(maxlen=_MEMORY_FRAMES)
        self.progress = "no feet were seen on a floor yet"

    def add(self, estimate: FrameEstimate) -> Float[np.ndarray, "3"] | None:
        """One more frame.

        Returns:
            Unit vector opposite to gravity in the world frame; None while too little was seen.
        """
        sighting = self._look(estimate)
        if sighting is None:
            return None
        self._seen.append(sighting)
        if len(self._seen) < _MIN_FRAMES:
            self.progress = (
                f"feet on a floor were seen in {len(self._seen)} of {_MIN_FRAMES} frames"
            )
            return None
        lean = np.concatenate([one.ups for one in self._seen]).mean(axis=0)
        soles = np.concatenate([one.soles for one in self._seen])
        plane = fit_plane(np.concatenate([one.floor for one in self._seen]), soles, lean)
        self.progress = doubt(plane, soles, lean)
        return None if self.progress else plane.normal

    def _look(self, estimate: FrameEstimate) -> _Sighting | None:
        """Soles, leaning directions and possible floor of a frame; None without feet on a floor."""
        soles, ups = [], []
        for person in estimate.people:
            up = lean_of(person)
            found = [] if up is None else soles_of(person, up)
            found = [sole for sole in found if _is_in_view(sole, estimate)]
            if found:
                soles += found
                ups.append(up)
        if not soles or not estimate.state_updated:
            return None
        floor = self._around(np.stack(soles), np.mean(ups, axis=0), estimate)
        if len(floor) == 0:
            return None
        pose = estimate.world_from_camera
        return _Sighting(
            transform_points(pose, np.stack(soles).astype(np.float64)),
            np.stack(ups) @ pose[:3, :3].T,
            transform_points(pose, floor.astype(np.float64)),
        )

    def _around(self, soles: np.ndarray, up: np.ndarray, estimate: FrameEstimate) -> np.ndarray:
        """Confident scene points near a sole (points, 3), camera frame, evenly thinned out."""
        # Networks differ in what they call sure; the better half of an image will do.
        sure = min(self._scene.min_confidence, float(np.median(estimate.confidence)))
        keep = (estimate.confidence >= sure) & (estimate.depth > 0)
        keep &= estimate.person_probability < self._scene.mask_threshold
        points = estimate.points_camera[keep]
        near = np.zeros(len(points), bool)
        for sole in soles:
            offset = points - sole
            height = offset @ up
            across = np.linalg.norm(offset - height[:, None] * up, axis=1)
            near |= (np.abs(height) < _BAND_M) & (across < _REACH_M)
        points = points[near]
        step = max(1, len(points) // _POINTS_PER_FRAME)
        return points[::step]


def fit_plane(
    points: Float[np.ndarray, "points 3"],
    soles: Float[np.ndarray, "soles 3"],
    up: Float[np.ndarray, "3"],
) -> Plane:
    """The plane of most points near the soles: weighted least squares with Tukey's biweight.

    Args:
        points: possible floor, metres.
        soles: points known to be near the floor, where the fit begins.
        up: first guess of the normal, any length.

    Source: Huber and Ronchetti 2009, chapter 7.8 (iteratively reweighted least squares).
    """
    normal = up / np.linalg.norm(up)
    offset = float(np.median(soles @ normal))
    weights = np.ones(len(points))
    spread_m = 0.0
    for band_m in _BANDS_M:
        share = (points @ normal - offset) / band_m
        weights = np.where(np.abs(share) < 1, (1 - share**2) ** 2, 0.0)
        total = weights.sum()
        if total < 3:
            return Plane(normal, offset, 0.0, 0, 0.0)
        centre = weights @ points / total
        centred = points - centre
        variances, axes = np.linalg.eigh((centred * weights[:, None]).T @ centred / total)
        normal = axes[:, 0] if axes[:, 0] @ up > 0 else -axes[:, 0]
        offset = float(centre @ normal)
        spread_m = float(np.sqrt(max(variances[1], 0.0)))
    num_points = int((weights > 0).sum())
    return Plane(normal, offset, spread_m, num_points, num_points / len(points))


def up_from_floor(
    points: Float[np.ndarray, "points 3"],
    soles: Float[np.ndarray, "soles 3"],
    lean: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "3"] | None:
    """Normal of the floor in a whole scene; None where none can be told.

    Args:
        points: of the scene, metres.
        soles: of people on the floor, in the same frame.
        lean: mean direction from ankles to heads.
    """
    soles = soles[:: max(1, len(soles) // _MAX_SOLES)]
    if not len(points) or not len(soles):
        return None
    points = _around_soles(points, soles, lean)
    if not len(points):
        return None
    plane = fit_plane(points, soles, lean)
    return None if doubt(plane, soles, lean) else plane.normal


def _around_soles(points: np.ndarray, soles: np.ndarray, lean: np.ndarray) -> np.ndarray:
    """Those of the scene's points that may be floor: within reach of a sole, at its height."""
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

    points = points[:: max(1, len(points) // _MAX_POINTS)].astype(np.float64)
    across = np.eye(3) - np.outer(lean, lean)
    distance, nearest = cKDTree(soles @ across).query(points @ across)
    height = np.abs((points - soles[nearest.clip(max=len(soles) - 1)]) @ lean)
    return points[(distance < _REACH_M) & (height < _BAND_M)]


def doubt(plane: Plane, soles: np.ndarray, lean: np.ndarray) -> str:
    """Why a plane is not the floor; empty when it is."""
    if plane.num_points < _MIN_POINTS:
        return f"{plane.num_points} points around the feet lie in a plane, of {_MIN_POINTS}"
    if plane.spread_m < _MIN_SPREAD_M:
        return f"the floor around the feet spreads {plane.spread_m:.2f} m, of {_MIN_SPREAD_M} m"
    if plane.share < _MIN_SHARE:
        return f"{plane.share:.0%} of what lies around the feet is in a plane, of {_MIN_SHARE:.0%}"
    error_m = float(np.median(np.abs(soles @ plane.normal - plane.offset_m)))
    if error_m > _MAX_SOLE_ERROR_M:
        return f"the feet are {error_m:.2f} m off the plane around them"
    cosine = float(plane.normal @ lean) / float(np.linalg.norm(lean))
    if cosine < np.cos(_MAX_LEAN_RAD):
        degrees = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        return f"people lean {degrees:.0f} degrees away from the plane under their feet"
    return ""


def lean_of(person: PersonEstimate) -> np.ndarray | None:
    """Unit vector from between the ankles to the head, camera frame; None without a body."""
    joints = person.joints_camera
    if len(joints) <= _HEAD or len(person.vertices_camera) == 0:
        return None
    lean = joints[_HEAD] - joints[list(_ANKLES)].mean(axis=0)
    length = float(np.linalg.norm(lean))
    return lean / length if np.isfinite(length) and length > 0 else None


def soles_of(person: PersonEstimate, up: np.ndarray) -> list[np.ndarray]:
    """The lowest point of each foot that is not lifted (3,), camera frame."""
    lowest = []
    for ankle in _ANKLES:
        offset = person.vertices_camera - person.joints_camera[ankle]
        foot = person.vertices_camera[np.linalg.norm(offset, axis=1) < _FOOT_RADIUS_M]
        if len(foot):
            lowest.append(foot[np.argmin(foot @ up)])
    floor_m = min((sole @ up for sole in lowest), default=0.0)
    return [sole for sole in lowest if sole @ up - floor_m < _LIFTED_M]


def _is_in_view(point: np.ndarray, estimate: FrameEstimate) -> bool:
    """Whether a point of the camera frame falls into the image; what lies outside is a guess."""
    camera = estimate.intrinsics
    if not (point[2] > 0 and np.isfinite(camera.fx) and camera.fx > 0):
        return False
    u = camera.fx * point[0] / point[2] + camera.cx
    v = camera.fy * point[1] / point[2] + camera.cy
    return bool(0 <= u < camera.width_px and 0 <= v < camera.height_px)
