"""One picture of a whole run: scene, people, camera path, floor."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

from human3r.viewer.canvas import Canvas
from human3r.viewer.colors import Rgb, person_color
from human3r.viewer.labels import Box, draw_label, free_place, label_size
from human3r.viewer.viewpoint import Viewpoint, frame_all, look_down_along

_TURN_RAD, _TILT_RAD = 0.55, 0.42
_PATH_COLOR: Rgb = (255, 196, 84)
_FIRST_COLOR: Rgb = (178, 186, 200)
_VEIL_OPACITY = 0.15
"""Of the scene in front of a person."""


_MIN_TURN_RAD = 0.35
"""Two cameras in one place are drawn apart when they look this much apart."""
_MAX_CAMERAS = 5
_NO_PATH = np.zeros((0, 3), np.float32)


@dataclass(frozen=True)
class Body:
    """One person: as last seen, and the way there."""

    track_id: int
    vertices_world: Float[np.ndarray, "vertices 3"]
    """Metres."""
    path_world: Float[np.ndarray, "places 3"] = field(default_factory=lambda: _NO_PATH)
    """Where the person stood, metres, first to last; on the floor. NaN breaks it in two."""


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
    up_world: Float[np.ndarray, "3"] = field(default_factory=lambda: np.array([0.0, -1.0, 0.0]))
    """Unit vector."""


def render_view(
    view: View, longer_px: int = 1280, shorter_px: int = 800, *, note: str = ""
) -> UInt8[np.ndarray, "height width 3"]:
    """A picture of everything, seen from behind, above and beside the first camera.

    Args:
        view: what to draw.
        longer_px: the picture's longer side; upright where what is to be seen is taller than wide.
        shorter_px: the other side.
        note: words for the corner, for example that the weights are untrained.
    """
    bodies = [body for body in view.bodies if np.isfinite(body.vertices_world).all()]
    view = replace(view, bodies=bodies)
    up = view.up_world
    ahead = np.array([0.0, 0.0, 1.0])
    forward = look_down_along(up, ahead, _TURN_RAD, _TILT_RAD)
    subject = _subject(view)
    sides = (longer_px, shorter_px)
    eye = frame_all(
        subject, forward, up, *(sides[::-1] if _is_tall(subject, forward, up) else sides)
    )
    height_px = eye.height_px
    canvas = Canvas(eye)
    _draw_floor(canvas, view, subject, up, ahead)
    known = np.isfinite(view.points_world).all(axis=1)
    canvas.points(view.points_world[known], view.colors[known], view.point_size_m)
    canvas.shade_points()
    _draw_paths(canvas, view)
    _draw_bodies(canvas, view)
    _draw_cameras(canvas, view.world_from_camera, _frustum_depth_m(subject))
    picture = canvas.picture()
    _draw_ids(picture, eye, view.bodies, up)
    if note:
        size_px = max(12, height_px // 44)
        draw_label(picture, note, size_px, size_px, size_px=size_px, box=(150, 40, 30))
    return picture


def _draw_bodies(canvas: Canvas, view: View) -> None:
    """People on top of the scene."""
    scene_color, scene_depth_m = canvas.color.copy(), canvas.depth
    # The scene's points lie all around the people they were seen with, and would hide them.
    canvas.depth = np.full_like(scene_depth_m, np.inf)
    for body in view.bodies:
        canvas.mesh(body.vertices_world, view.faces, person_color(body.track_id))
    veiled = np.isfinite(canvas.depth) & (scene_depth_m < canvas.depth)
    canvas.color[veiled] += _VEIL_OPACITY * (scene_color[veiled] - canvas.color[veiled])
    canvas.depth = np.minimum(scene_depth_m, canvas.depth)


def _draw_paths(canvas: Canvas, view: View) -> None:
    """The ways of all people, on top of the scene, whose floor would hide half of them."""
    scene_depth_m = canvas.depth
    canvas.depth = np.full_like(scene_depth_m, np.inf)
    for body in view.bodies:
        lost = np.flatnonzero(~np.isfinite(body.path_world).all(axis=1))
        for part in np.split(body.path_world, lost):
            part = _finite(part)
            if len(part) > 1:
                canvas.line(part, person_color(body.track_id), 2.5)
    canvas.depth = scene_depth_m


def _is_tall(subject: np.ndarray, forward: np.ndarray, up: np.ndarray) -> bool:
    """Whether it fills an upright picture better than a wide one."""
    square = frame_all(subject, forward, up, 1000, 1000)
    pixels, _ = square.project(subject)
    width_px, height_px = np.ptp(pixels, axis=0)
    return bool(height_px > 1.1 * width_px)


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
    parts += [body.path_world for body in view.bodies]
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
    for pose in _different_poses(poses, 2.5 * depth_m)[:-1]:
        _draw_frustum(canvas, pose, depth_m, _FIRST_COLOR, 1.2)
    _draw_frustum(canvas, poses[-1], depth_m, _PATH_COLOR, 2.0)


def _different_poses(poses: Sequence[np.ndarray], distance_m: float) -> list[np.ndarray]:
    """A few along the way that do not lie over one another; the last one is one of them."""
    chosen = [poses[-1]]
    candidates = np.unique(
        np.linspace(0, len(poses) - 1, min(_MAX_CAMERAS, len(poses))).astype(int)
    )
    for index in candidates:
        pose = poses[index]
        if all(_are_apart(pose, other, distance_m) for other in chosen):
            chosen.insert(-1, pose)
    return chosen


def _are_apart(pose: np.ndarray, other: np.ndarray, distance_m: float) -> bool:
    cosine = float(pose[:3, 2] @ other[:3, 2])
    is_turned = cosine < np.cos(_MIN_TURN_RAD)
    return is_turned or bool(np.linalg.norm(pose[:3, 3] - other[:3, 3]) > distance_m)


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
    size_px = max(12, min(picture.shape[:2]) // 34)
    labels = []
    for body in bodies:
        highest = body.vertices_world[np.argmax(body.vertices_world @ up)]
        pixels, depth = eye.project(highest[None])
        if depth[0] > 0:
            labels.append((float(depth[0]), body.track_id, pixels[0]))
    taken: list[Box] = []
    for _, track_id, (u, v) in sorted(labels, key=lambda label: label[0]):
        text = str(track_id)
        width, height = label_size(text, size_px)
        left, top = free_place(
            (round(float(u) - width / 2), round(float(v)) - height - 5, width, height),
            taken,
            picture.shape[1],
            picture.shape[0],
        )
        draw_label(
            picture, text, left, top, size_px=size_px, ink=(16, 18, 24),
            box=person_color(track_id), opacity=0.95,
        )  # fmt: skip
