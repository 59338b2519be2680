"""What a 3D page is told, as plain arrays: pages of recordings, live pages and exports share it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

LOOPBACK = "127.0.0.1"

LAYERS = {
    "people": True,
    "names": True,
    "skeletons": False,
    "uncertainty": False,
    "paths": True,
    "cloud": True,
    "people in the cloud": False,
    "camera": True,
    "floor": True,
}
"""Parts of a page that can be switched, and whether they are shown at first."""

_FEET = (7, 8, 10, 11)
_SOLE_M = 0.03
"""Below the joints of feet."""
_PATH_ABOVE_FLOOR_M = 0.22
"""So that it does not drown in a floor of points, which is that thick."""

COLUMNS = ("distance", "speed", "stature", "visible", "state")
"""The facts about a person, in the order of ``ScenePerson.facts``."""
CAMERA_COLUMNS = ("age", "residual", "state")
"""The facts about one of several cameras, in the order of ``SceneCamera.facts``."""
STATES = ("new", "seen", "predicted", "lost")
"""Words for the numbers of ``human3r.types.TrackState``."""
UNKNOWN = "?"
USUAL_FOV_RAD = 1.0
_USUAL_DISTANCE_M = 3.0


@dataclass(frozen=True)
class BodyShape:
    """One person's skin before posing; metres, the pelvis at the origin, y up, z forward."""

    vertices: Float[np.ndarray, "vertices 3"]
    joints: Float[np.ndarray, "55 3"]


@dataclass(frozen=True)
class ScenePerson:
    """One person at one moment, in the axes of the page."""

    track_id: int
    rotations: Float[np.ndarray, "55 3 3"]
    """Child in parent; the root: body in the axes of the page."""
    joints: Float[np.ndarray, "55 3"]
    """Metres."""
    facts: tuple[str, ...] = ()
    """What the panel says about the person: a cell per column."""
    is_predicted: bool = False
    """Out of sight: drawn faintly."""
    covariance: Float[np.ndarray, "3 3"] | None = None
    """Of where the pelvis is, square metres, in the axes of the page; None where unknown."""


@dataclass(frozen=True)
class SceneCamera:
    """One camera at one moment, in the axes of the page."""

    page_from_camera: Float[np.ndarray, "4 4"]
    """Camera: x right, y down, z forward."""
    fov_rad: float
    """Vertical angle of view."""
    aspect: float
    """Width over height of its image."""
    image: UInt8[np.ndarray, "height width 3"] | None = None
    """Shown in the camera's frustum, small is enough; None: the one before stays."""
    name: str = ""
    """Of one of several; empty where there is one."""
    facts: tuple[str, ...] = ()
    """What the panel says about one of several: a cell per column."""
    is_silent: bool = False
    """Gives nothing any more: drawn in grey."""
    trouble: str = ""
    """What is wrong with it in a sentence; empty while nothing is."""


@dataclass(frozen=True)
class SceneFrame:
    """One moment, in the axes of the page."""

    cameras: Sequence[SceneCamera]
    """At least one; the view that follows the camera follows the first."""
    people: Sequence[ScenePerson] = ()

    @property
    def page_from_camera(self) -> Float[np.ndarray, "4 4"]:
        """Of the first camera."""
        return self.cameras[0].page_from_camera


@dataclass(frozen=True)
class PageStart:
    """What the page's process is told first."""

    host: str
    port: int
    period_s: float
    """The page asks for no more than one moment in this time."""
    faces: np.ndarray
    skin_weights: np.ndarray
    """(vertices, 55)."""


@dataclass(frozen=True)
class Moment:
    """What the page is told of one estimate, in its axes: level, z up."""

    frame: SceneFrame
    shapes: dict[int, BodyShape]
    """Skins that are new or have changed, by identity."""
    points: np.ndarray
    """(n, 3) float32 of the scene without people; they are collected."""
    colors: np.ndarray
    people_points: np.ndarray | None
    """(m, 3) float32 that show people and replace those before; None: those before stay."""
    people_colors: np.ndarray
    caption: str
    begins_world: bool
    """Forget everything of before: places mean something else from now on."""


def sole_places(joints: Float[np.ndarray, "*bodies 55 3"]) -> Float[np.ndarray, "*bodies 3"]:
    """Where people with these joints stand: below the pelvis, at the sole of the lower foot."""
    places = np.array(joints[..., 0, :])
    places[..., 2] = joints[..., _FEET, 2].min(axis=-1) - _SOLE_M
    return places


def over_the_floor(soles: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """The path along places on the floor, as it is drawn."""
    return soles + np.array([0.0, 0.0, _PATH_ABOVE_FLOOR_M])


def visible_share(visible: Float[np.ndarray, " joints"] | None) -> str:
    """How much of a person is to be seen, for ``person_facts``.

    Args:
        visible: per joint: 1 visible, 0 hidden, NaN outside the image; None where unknown.
    """
    if visible is None or not np.isfinite(visible).any():
        return UNKNOWN
    return f"{100 * np.mean(np.nan_to_num(visible)):.0f} %"


def person_facts(
    distance_m: float, speed_mps: float | None, stature_m: float, visible: str, state: int
) -> tuple[str, ...]:
    """Cells of a person's row, one per name in ``COLUMNS``.

    Args:
        distance_m: from the camera, the nearest of several.
        speed_mps: along the static world; None where unknown.
        stature_m: standing height; NaN where unknown.
        visible: how much of the person, or in how many cameras.
        state: number of a ``TrackState``.
    """
    return (
        f"{distance_m:.1f} m",
        UNKNOWN if speed_mps is None or not np.isfinite(speed_mps) else f"{speed_mps:.1f} m/s",
        f"{stature_m:.2f} m" if np.isfinite(stature_m) else UNKNOWN,
        visible,
        STATES[state] if 0 <= state < len(STATES) else UNKNOWN,
    )


def camera_facts(age: str, residual: str, trouble: str, *, is_silent: bool) -> tuple[str, ...]:
    """Cells of a camera's row, one per name in ``CAMERA_COLUMNS``."""
    state = "in doubt" if trouble else "fused"
    return age, residual, "silent" if is_silent else state


def angle_of_view_rad(height_px: float, focal_px: float) -> float:
    """Vertical angle of view; that of a usual lens where the focal length is unknown."""
    return 2 * float(np.arctan(height_px / (2 * focal_px))) if focal_px > 0 else USUAL_FOV_RAD


def overview(frame: SceneFrame) -> tuple[np.ndarray, np.ndarray]:
    """Eye and point looked at of a view of several cameras and all people before them."""
    eyes = np.array([camera.page_from_camera[:3, 3] for camera in frame.cameras])
    ahead = np.array([camera.page_from_camera[:3, 2] for camera in frame.cameras])
    people = np.array([one.joints[0] for one in frame.people]).reshape(-1, 3)
    seen = people if len(people) else eyes + _USUAL_DISTANCE_M * ahead
    places = np.concatenate([eyes, seen])
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    reach_m = max(float(np.linalg.norm(places - middle, axis=1).max()), 1.0)
    along = ahead.mean(axis=0) * [1.0, 1.0, 0.0]
    # Cameras all round look nowhere together: then as the first one does.
    along = along if np.linalg.norm(along) > 0.3 else ahead[0] * [1.0, 1.0, 0.0]
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    side = np.array([-along[1], along[0], 0.0])
    eye = middle + reach_m * (-1.6 * along + 0.65 * side + [0.0, 0.0, 1.2])
    # A little to the left of the middle of the page, whose right the panel covers.
    return eye, middle - 0.25 * reach_m * side
