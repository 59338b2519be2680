"""One picture of a whole run: scene, people, camera path, floor."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

from human3r.viewer.canvas import Canvas
from human3r.viewer.colors import Rgb, person_color
from human3r.viewer.labels import draw_label, label_size
from human3r.viewer.viewpoint import Viewpoint, frame_all, look_down_along

_TURN_RAD, _TILT_RAD = 0.55, 0.42
_PATH_COLOR: Rgb = (255, 196, 84)
_FIRST_COLOR: Rgb = (178, 186, 200)
_GHOST_OPACITY = 0.32
_VEIL_OPACITY = 0.15
"""Of the scene in front of a person."""


@dataclass(frozen=True)
class Body:
    """One person at one moment."""

    track_id: int
    vertices_world: Float[np.ndarray, "vertices 3"]
    """Metres."""
    is_latest: bool = True
    """Where the person was last; earlier places are drawn faintly."""


@dataclass(frozen=True)
class View:
    """What is to be seen; every part may be empty."""

    points_world: Float[np.ndarray, "points 3"]
    """Metres."""
    colors: UInt8[np.ndarray, "points 3"]
    point_size_m: float
    bodies: Sequence[Body] = ()
    faces: Int[np.ndarray, "faces 3"] = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    """Triangles of every body's mesh."""
    world_from_camera: Sequence[Float[np.ndarray, "4 4"]] = ()
    """The camera's poses, first to last."""
    pitch_rad: float = 0.0
    """Tilt of the first camera, positive looks down: the setting ``level.pitch_rad``."""


def render_view(
    view: View, width_px: int = 1280, height_px: int = 800, *, note: str = ""
) -> UInt8[np.ndarray, "height width 3"]:
    """A picture of everything, seen from behind, above and beside the first camera.

    Args:
        view: what to draw.
        width_px: of the picture.
        height_px: of the picture.
        note: words for the corner, for example that the weights are untrained.
    """
    bodies = [body for body in view.bodies if np.isfinite(body.vertices_world).all()]
    view = replace(view, bodies=bodies)
    up = np.array([0.0, -np.cos(view.pitch_rad), -np.sin(view.pitch_rad)])
    ahead = np.array([0.0, 0.0, 1.0])
    forward = look_down_along(up, ahead, _TURN_RAD, _TILT_RAD)
    subject = _subject(view)
    eye = frame_all(subject, forward, up, width_px, height_px)
    canvas = Canvas(eye)
    _draw_floor(canvas, view, subject, up, ahead)
    known = np.isfinite(view.points_world).all(axis=1)
    canvas.points(view.points_world[known], view.colors[known], view.point_size_m)
    canvas.shade_points()
    _draw_bodies(canvas, view)
    _draw_cameras(canvas, view.world_from_camera, _frustum_depth_m(subject))
    picture = canvas.picture()
    _draw_ids(picture, eye, view.bodies, up)
    if note:
        size_px = max(12, height_px // 44)
        draw_label(picture, note, size_px, size_px, size_px=size_px, box=(150, 40, 30))
    return picture


def _draw_bodies(canvas: Canvas, view: View) -> None:
    """Earlier places where nothing hides them; people as of last on top of the scene."""
    for body in view.bodies:
        if not body.is_latest:
            color = person_color(body.track_id)
            canvas.mesh(body.vertices_world, view.faces, color, _GHOST_OPACITY)
    scene_color, scene_depth_m = canvas.color.copy(), canvas.depth
    # The scene's points lie all around the people they were seen with, and would hide them.
    canvas.depth = np.full_like(scene_depth_m, np.inf)
    for body in view.bodies:
        if body.is_latest:
            canvas.mesh(body.vertices_world, view.faces, person_color(body.track_id))
    veiled = np.isfinite(canvas.depth) & (scene_depth_m < canvas.depth)
    canvas.color[veiled] += _VEIL_OPACITY * (scene_color[veiled] - canvas.color[veiled])
    canvas.depth = np.minimum(scene_depth_m, canvas.depth)


def _finite(points: np.ndarray) -> np.ndarray:
    return points[np.isfinite(points).all(axis=1)]


def _subject(view: View) -> np.ndarray:
    """Points that have to be in the picture: all people and cameras, and most of the scene."""
    parts = [np.zeros((1, 3))]
    scene = _finite(view.points_world)
    if len(scene) >= 100:
        low, high = np.percentile(scene, (1, 99), axis=0)
        inner = scene[((scene >= low) & (scene <= high)).all(axis=1)]
        parts.append(inner[:: max(1, len(inner) // 20_000)])
    elif len(scene):
        parts.append(scene)
    parts += [body.vertices_world[::8] for body in view.bodies]
    parts += [pose[None, :3, 3] for pose in view.world_from_camera]
    subject = _finite(np.concatenate(parts).astype(np.float64))
    # A single point has no extent to choose a distance by.
    return np.concatenate([subject, np.array([[0.3, 0.3, 0.6], [-0.3, -0.3, 0.0]])])


def _draw_floor(
    canvas: Canvas, view: View, subject: np.ndarray, up: np.ndarray, ahead: np.ndarray
) -> None:
    """Below the feet of the people; without people, below nearly all of the scene."""
    feet = [np.percentile(body.vertices_world @ up, 0.5) for body in view.bodies]
    height_m = float(np.median(feet)) if feet else float(np.percentile(subject @ up, 2))
    center = (subject.min(axis=0) + subject.max(axis=0)) / 2
    center = center + up * (height_m - center @ up)
    reach_m = float(np.clip(np.ptp(subject, axis=0).max() * 1.1, 2.0, 60.0))
    step_m = 0.5 if reach_m < 12 else 2.0
    # Grid lines on whole steps of the world, so that squares can be counted from the camera.
    canvas.floor_grid(center, up, ahead, reach_m, step_m)


def _frustum_depth_m(subject: np.ndarray) -> float:
    return float(np.clip(0.035 * np.ptp(subject, axis=0).max(), 0.08, 0.6))


def _draw_cameras(canvas: Canvas, poses: Sequence[np.ndarray], depth_m: float) -> None:
    if not len(poses):
        return
    places = np.array([pose[:3, 3] for pose in poses])
    if len(places) > 400:
        places = places[np.linspace(0, len(places) - 1, 400).astype(int)]
    canvas.line(places, _PATH_COLOR, 2.2)
    chosen = np.unique(np.linspace(0, len(poses) - 1, min(5, len(poses))).astype(int))
    for index in chosen:
        last = index == len(poses) - 1
        color = _PATH_COLOR if last else _FIRST_COLOR
        _draw_frustum(canvas, poses[index], depth_m, color, 2.0 if last else 1.2)


def _draw_frustum(
    canvas: Canvas, world_from_camera: np.ndarray, depth_m: float, color: Rgb, width_px: float
) -> None:
    x, y = 0.8 * depth_m, 0.55 * depth_m
    corners = np.array(
        [[-x, -y, depth_m], [x, -y, depth_m], [x, y, depth_m], [-x, y, depth_m], [-x, -y, depth_m]]
    )
    top = np.array(
        [[-0.3 * x, -1.15 * y, depth_m], [0, -1.6 * y, depth_m], [0.3 * x, -1.15 * y, depth_m]]
    )
    apex = np.zeros(3)
    for line in (corners, top, *(np.stack([apex, corner]) for corner in corners[:4])):
        canvas.line(line @ world_from_camera[:3, :3].T + world_from_camera[:3, 3], color, width_px)


def _draw_ids(picture: np.ndarray, eye: Viewpoint, bodies: Sequence[Body], up: np.ndarray) -> None:
    size_px = max(12, picture.shape[0] // 46)
    for body in bodies:
        if not body.is_latest:
            continue
        highest = body.vertices_world[np.argmax(body.vertices_world @ up)]
        pixels, depth = eye.project(highest[None])
        if depth[0] <= 0:
            continue
        text = str(body.track_id)
        width, height = label_size(text, size_px)
        left, top = pixels[0] - [width / 2, height + 5]
        color = person_color(body.track_id)
        draw_label(
            picture, text, round(float(left)), round(float(top)), size_px=size_px,
            ink=(16, 18, 24), box=color, opacity=0.95,
        )  # fmt: skip
