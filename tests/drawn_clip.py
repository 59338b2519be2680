"""A short video made from nothing: figures walk through a room while the camera moves sideways.

It gives demonstrations and tests an input with true camera motion, true scale and a known
calibration, without any footage of real people. The same arguments give the same pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from human3r.atomic import output_errors, whole_file
from human3r.errors import InputError
from human3r.types import Intrinsics

_EYE_HEIGHT_M = 1.45
_PITCH_RAD = 0.12
_WALL_DISTANCE_M = 6.5
_TEXELS_PER_M = 64
_ROOM_M = 16
_FOCAL_PER_WIDTH = 0.9


@dataclass(frozen=True)
class _Walker:
    """One figure: where its walk lies, how fast it goes, how it looks."""

    center_m: tuple[float, float]
    """Middle of the walk on the floor: x to the right, z away from the camera."""
    reach_m: float
    """Half the length of the walk, along ``heading_rad``."""
    heading_rad: float
    period_s: float
    phase_rad: float
    height_m: float
    shirt: tuple[int, int, int]
    trousers: tuple[int, int, int]
    skin: tuple[int, int, int]


_WALKERS = (
    _Walker((-0.9, 3.4), 0.8, 0.2, 7.0, 0.3, 1.78, (196, 78, 66), (52, 60, 84), (224, 178, 150)),
    _Walker((0.9, 4.3), 1.0, -0.5, 9.0, 2.1, 1.66, (64, 132, 122), (92, 74, 60), (150, 106, 82)),
    _Walker((0.2, 5.4), 1.6, 0.0, 11.0, 4.0, 1.84, (226, 176, 72), (62, 62, 66), (198, 150, 120)),
)


def clip_intrinsics(width_px: int, height_px: int) -> Intrinsics:
    """The camera the clip is drawn with."""
    focal = _FOCAL_PER_WIDTH * width_px
    return Intrinsics(focal, focal, (width_px - 1) / 2, (height_px - 1) / 2, width_px, height_px)


def draw_clip(
    *, width_px: int = 640, height_px: int = 480, rate_hz: int = 10, duration_s: float = 10.0
) -> Iterator[np.ndarray]:
    """The frames of the clip, (height, width, 3) uint8 RGB each.

    Raises:
        InputError: a size or duration that gives no video.
    """
    num_frames = round(rate_hz * duration_s)
    if min(width_px, height_px) < 32 or width_px % 2 or height_px % 2 or num_frames < 1:
        raise InputError(
            f"clip of {width_px}x{height_px} px with {num_frames} frames; expected even sides of "
            "at least 32 px and at least one frame. Choose other numbers."
        )
    textures = _wall_texture(), _floor_texture()
    camera = clip_intrinsics(width_px, height_px)
    for index in range(num_frames):
        yield _draw_frame(camera, textures, index / rate_hz)


def write_clip(
    path: str | Path,
    *,
    width_px: int = 640,
    height_px: int = 480,
    rate_hz: int = 10,
    duration_s: float = 10.0,
) -> Path:
    """Write the clip as an H.264 video; the file appears only when it is complete.

    Raises:
        InputError: a size or duration that gives no video.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    frames = draw_clip(
        width_px=width_px, height_px=height_px, rate_hz=rate_hz, duration_s=duration_s
    )
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file, av.open(file, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=rate_hz, options={"crf": "18"})
            stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    return path


def _draw_frame(
    camera: Intrinsics, textures: tuple[np.ndarray, np.ndarray], time_s: float
) -> np.ndarray:
    eye, camera_from_room = _camera_at(time_s)
    image = _draw_room(camera, textures, eye, camera_from_room)
    by_distance = sorted(_WALKERS, key=lambda w: -_place(w, time_s)[1])
    for walker in by_distance:
        joints = _joints(walker, time_s)
        _draw_shadow(image, camera, (joints["pelvis"] * (1, 0, 1) - eye) @ camera_from_room.T)
        placed = {name: camera_from_room @ (joint - eye) for name, joint in joints.items()}
        _draw_figure(image, camera, walker, placed)
    return image


def _camera_at(time_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Eye in the room (x right, y up, z away) and the rotation from room to camera axes."""
    eye = np.array([0.6 * np.sin(0.45 * time_s), _EYE_HEIGHT_M, 0.15 * np.sin(0.3 * time_s)])
    yaw = 0.12 * np.sin(0.45 * time_s + 0.6)
    cos_y, sin_y = np.cos(yaw), np.sin(yaw)
    cos_p, sin_p = np.cos(_PITCH_RAD), np.sin(_PITCH_RAD)
    right = np.array([cos_y, 0.0, -sin_y])
    forward = np.array([sin_y * cos_p, -sin_p, cos_y * cos_p])
    return eye, np.stack([right, np.cross(forward, right) * -1, forward])


def _draw_room(
    camera: Intrinsics,
    textures: tuple[np.ndarray, np.ndarray],
    eye: np.ndarray,
    camera_from_room: np.ndarray,
) -> np.ndarray:
    """Back wall and floor, each pixel's ray cut with the nearer of the two planes."""
    u, v = np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px))
    rays = np.stack(
        [(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u, float)], -1
    )
    rays = rays @ camera_from_room
    to_wall = (_WALL_DISTANCE_M - eye[2]) / np.maximum(rays[..., 2], 1e-6)
    to_floor = np.where(rays[..., 1] < -1e-6, -eye[1] / np.minimum(rays[..., 1], -1e-6), np.inf)
    on_floor = to_floor < to_wall
    points = eye + np.minimum(to_wall, to_floor)[..., None] * rays
    half = _ROOM_M * _TEXELS_PER_M / 2
    across = (points[..., 0] * _TEXELS_PER_M + half).astype(np.float32)
    up = (points[..., 1] * _TEXELS_PER_M).astype(np.float32)
    away = (points[..., 2] * _TEXELS_PER_M + half).astype(np.float32)
    wall, floor = (
        cv2.remap(texture, across, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        for texture, rows in zip(textures, (up, away), strict=True)
    )
    image = np.where(on_floor[..., None], floor, wall).astype(np.float32)
    # A little light falls off towards the borders and the far end, as in a real room.
    falloff = 1.06 - 0.05 * ((u / camera.width_px - 0.5) ** 2 + (v / camera.height_px - 0.4) ** 2)
    falloff = falloff - 0.03 * np.clip(points[..., 2] - 3, 0, 5) * on_floor
    return np.ascontiguousarray(np.clip(image * falloff[..., None], 0, 255).astype(np.uint8))


def _noise(shape: tuple[int, int], cell: int, seed: int) -> np.ndarray:
    """Smooth noise in [-1, 1], (height, width)."""
    coarse = np.random.default_rng(seed).uniform(
        -1, 1, (shape[0] // cell + 2, shape[1] // cell + 2)
    )
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _wall_texture() -> np.ndarray:
    """Plaster with pictures and a skirting board; row 0 is the floor line."""
    shape = (4 * _TEXELS_PER_M, _ROOM_M * _TEXELS_PER_M)
    grain = 6 * _noise(shape, 48, 1) + 4 * _noise(shape, 7, 2) + 3 * _noise(shape, 2, 3)
    wall = np.array([206, 199, 186], np.float32) + grain[..., None].astype(np.float32)
    wall[:8] = (120, 96, 76)
    random = np.random.default_rng(4)
    for left_m in np.arange(0.4, _ROOM_M - 1.4, 1.7):
        left, width = int(left_m * _TEXELS_PER_M), int(random.uniform(0.6, 1.1) * _TEXELS_PER_M)
        bottom = int(random.uniform(1.2, 1.5) * _TEXELS_PER_M)
        top = bottom + int(random.uniform(0.6, 0.9) * _TEXELS_PER_M)
        wall[bottom - 4 : top + 4, left - 4 : left + width + 4] = (84, 66, 52)
        first, second = random.uniform(60, 225, 3), random.uniform(60, 225, 3)
        blend = 0.5 + 0.5 * _noise((top - bottom, width), 12, int(left))
        wall[bottom:top, left : left + width] = first + (second - first) * blend[..., None]
    return wall


def _floor_texture() -> np.ndarray:
    """Boards that run away from the camera, each with its own tone."""
    size = _ROOM_M * _TEXELS_PER_M
    board_px, length_px = 12, 110
    column = np.arange(size)[None, :] // board_px
    row = (np.arange(size)[:, None] + 41 * column) // length_px
    tones = np.random.default_rng(5).uniform(-16, 16, 4096)
    tone = tones[(column * 131 + row * 17) % 4096]
    seams = (np.arange(size)[None, :] % board_px == 0) * -26.0
    grain = 7 * _noise((size, size), 20, 6) + 5 * _noise((size, size), 3, 7)
    return np.array([158, 122, 88], np.float32) + (tone + seams + grain)[..., None].astype(
        np.float32
    )


def _place(walker: _Walker, time_s: float) -> tuple[float, float]:
    """Where the figure stands: x and z in the room, metres."""
    along = walker.reach_m * np.sin(2 * np.pi * time_s / walker.period_s + walker.phase_rad)
    return (
        walker.center_m[0] + along * np.cos(walker.heading_rad),
        walker.center_m[1] + along * np.sin(walker.heading_rad),
    )


def _joints(walker: _Walker, time_s: float) -> dict[str, np.ndarray]:
    """Joints in the room, metres; steps follow the distance walked, so feet hardly slide."""
    phase = 2 * np.pi * time_s / walker.period_s + walker.phase_rad
    distance = walker.reach_m * np.sin(phase)
    speed = abs(np.cos(phase)) * walker.reach_m * 2 * np.pi / walker.period_s
    swing = min(1.0, 0.35 + speed) * np.sin(2 * np.pi * distance / 1.2)
    forward = np.array([np.cos(walker.heading_rad), 0.0, np.sin(walker.heading_rad)])
    forward = forward * np.sign(np.cos(phase) or 1.0)
    side = np.array([-forward[2], 0.0, forward[0]])
    up = np.array([0.0, 1.0, 0.0])
    x, z = _place(walker, time_s)
    scale = walker.height_m / 1.75

    def limb(start: np.ndarray, length_m: float, angle_rad: float) -> np.ndarray:
        return start + scale * length_m * (np.sin(angle_rad) * forward - np.cos(angle_rad) * up)

    pelvis = np.array([x, 0.0, z]) + scale * 0.93 * up
    joints = {"pelvis": pelvis, "neck": pelvis + scale * 0.52 * up + 0.02 * forward}
    joints["head"] = joints["neck"] + scale * (0.19 * up + 0.03 * forward)
    for name, sign in (("left", 1.0), ("right", -1.0)):
        hip = pelvis + sign * scale * 0.1 * side
        shoulder = joints["neck"] + scale * (sign * 0.19 * side - 0.05 * up)
        leg, arm = 0.5 * sign * swing, -0.55 * sign * swing
        knee = limb(hip, 0.43, leg + 0.08)
        joints[f"{name}_hip"], joints[f"{name}_knee"] = hip, knee
        joints[f"{name}_ankle"] = limb(knee, 0.43, leg - 0.12 - 0.5 * max(0.0, -sign * swing))
        joints[f"{name}_toe"] = joints[f"{name}_ankle"] + scale * (0.17 * forward - 0.03 * up)
        joints[f"{name}_shoulder"] = shoulder
        joints[f"{name}_elbow"] = limb(shoulder, 0.29, arm)
        joints[f"{name}_wrist"] = limb(joints[f"{name}_elbow"], 0.25, arm + 0.35)
    joints["crown"] = joints["head"] + scale * (0.035 * up - 0.035 * forward)
    # A long stride lowers the hips: the standing foot stays on the floor.
    sink = min(joints["left_ankle"][1], joints["right_ankle"][1]) - 0.08 * scale
    return {name: joint - sink * up for name, joint in joints.items()}


_PARTS = (
    # (from, to, radius in metres, colour)
    *(
        part
        for side in ("left", "right")
        for part in (
            (f"{side}_hip", f"{side}_knee", 0.085, "trousers"),
            (f"{side}_knee", f"{side}_ankle", 0.06, "trousers"),
            (f"{side}_ankle", f"{side}_toe", 0.045, "shoes"),
            (f"{side}_shoulder", f"{side}_elbow", 0.055, "shirt"),
            (f"{side}_elbow", f"{side}_wrist", 0.042, "skin"),
        )
    ),
    ("left_hip", "right_hip", 0.11, "trousers"),
    ("pelvis", "neck", 0.145, "shirt"),
    ("left_shoulder", "right_shoulder", 0.075, "shirt"),
    ("neck", "head", 0.055, "skin"),
    ("head", "head", 0.112, "skin"),
    ("crown", "crown", 0.11, "hair"),
)


def _draw_figure(
    image: np.ndarray, camera: Intrinsics, walker: _Walker, joints: dict[str, np.ndarray]
) -> None:
    """Rounded limbs, the far ones first, each lit from the upper left."""
    colors = {
        "shirt": walker.shirt,
        "trousers": walker.trousers,
        "skin": walker.skin,
        "shoes": (44, 40, 40),
        "hair": (70, 52, 40),
    }
    parts = sorted(_PARTS, key=lambda p: -(joints[p[0]][2] + joints[p[1]][2]))
    for start, end, radius_m, color in parts:
        ends = joints[start], joints[end]
        radius_px = radius_m * camera.fx / np.mean([end[2] for end in ends])
        for shrink, light in ((1.0, 0.72), (0.72, 0.92), (0.4, 1.08)):
            shift = -(1 - shrink) * radius_px * np.array([0.45, 0.45])
            shade = tuple(min(255, round(c * light)) for c in colors[color])
            _stroke(image, camera, ends, shift, radius_px * shrink, shade)


def _stroke(
    image: np.ndarray,
    camera: Intrinsics,
    ends: tuple[np.ndarray, np.ndarray],
    shift_px: np.ndarray,
    radius_px: float,
    color: tuple[int, ...],
) -> None:
    # OpenCV takes whole numbers with four binary places, and rounds the ends of thick lines.
    first, second = (
        tuple(int(c) for c in np.round((_project(camera, end) + shift_px) * 16)) for end in ends
    )
    if first == second:
        cv2.circle(image, first, round(radius_px * 16), color, -1, cv2.LINE_AA, 4)
    else:
        cv2.line(image, first, second, color, max(1, round(2 * radius_px)), cv2.LINE_AA, 4)


def _draw_shadow(image: np.ndarray, camera: Intrinsics, foot_camera: np.ndarray) -> None:
    center = tuple(int(c) for c in np.round(_project(camera, foot_camera)))
    width = round(0.34 * camera.fx / foot_camera[2])
    shadow = np.zeros(image.shape[:2], np.float32)
    cv2.ellipse(shadow, center, (width, max(1, width // 4)), 0, 0, 360, 0.5, -1, cv2.LINE_AA)
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(1.0, width / 6))
    image[:] = (image * (1 - shadow[..., None])).astype(np.uint8)


def _project(camera: Intrinsics, point_camera: np.ndarray) -> np.ndarray:
    x, y, z = point_camera
    return np.array([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy])
