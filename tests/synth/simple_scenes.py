"""Scenes whose pictures are known in advance."""

import numpy as np
from human3r_lab.synth.lighting import Lighting
from human3r_lab.synth.renderer import Renderer
from human3r_lab.synth.shapes import to_meshes

from human3r.types import Intrinsics

GREY = np.full((64, 64, 3), 128, np.uint8)
BOUNDS_M = np.array([[-4.0, -4.0, 0.0], [4.0, 4.0, 3.0]])


def flat_light(**changes) -> Lighting:
    """Even light without sun, lamp and haze: a surface has its texture's colour."""
    light = Lighting(
        sun_direction=np.array([0.0, 0.0, 1.0]),
        sun_color=np.zeros(3),
        sun_softness=1.0,
        lamp_m=np.array([0.0, 0.0, 2.0]),
        lamp_color=np.zeros(3),
        ambient_up=np.ones(3),
        ambient_down=np.ones(3),
        horizon_color=np.array([0.1, 0.2, 0.9]),
        zenith_color=np.array([0.1, 0.2, 0.9]),
        cloud_cover=0.0,
        haze_per_m=0.0,
    )
    return light._replace(**changes)


def draw(shapes, pose, camera, *, textures=(GREY,), light=None, moving=(), ground=()):
    """A picture of shapes that stay, ground that throws no shadow, and meshes that move."""
    standing, flat = to_meshes(shapes), to_meshes(ground)
    casts_shadow = [True] * len(standing) + [False] * len(flat)
    light = light or flat_light()
    renderer = Renderer([*standing, *flat], textures, light, BOUNDS_M, casts_shadow)
    return renderer.render(camera, pose, moving)


def camera(width_px=96, height_px=64, focal_px=70.0) -> Intrinsics:
    """A pinhole with its axis through the middle of the picture."""
    middle = (width_px - 1) / 2, (height_px - 1) / 2
    return Intrinsics(focal_px, focal_px, *middle, width_px, height_px)


def looking_at(eye, target) -> np.ndarray:
    """world_from_camera (4, 4), level."""
    forward = np.subtract(target, eye).astype(float)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = eye
    return pose


def rays(intrinsics: Intrinsics, pose: np.ndarray) -> np.ndarray:
    """(H, W, 3) world directions of the pixels, one metre along the optical axis."""
    u, v = np.meshgrid(np.arange(intrinsics.width_px), np.arange(intrinsics.height_px))
    local = np.stack(
        [
            (u - intrinsics.cx) / intrinsics.fx,
            (v - intrinsics.cy) / intrinsics.fy,
            np.ones(u.shape),
        ],
        -1,
    )
    return local @ pose[:3, :3].T
