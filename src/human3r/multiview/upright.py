"""Cameras that hang upside down or on their side: their images are turned before anybody looks."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from human3r.types import Frame, Intrinsics

_SEES_GRAVITY = 0.3
"""A camera that looks straight down has no upright image."""


def quarter_turns(world_from_camera: np.ndarray) -> int:
    """How often (0 to 3) the image must be turned clockwise by a quarter to stand upright.

    Args:
        world_from_camera: (4, 4); the world's z is up.
    """
    down_camera = -np.asarray(world_from_camera)[2, :3]
    if np.hypot(down_camera[0], down_camera[1]) < _SEES_GRAVITY:
        return 0
    return round(float(np.arctan2(down_camera[0], down_camera[1])) / (np.pi / 2)) % 4


def turned_frame(frame: Frame, turns: int) -> Frame:
    """A frame whose image was turned clockwise by quarters, with the intrinsics of that image."""
    if turns == 0:
        return frame
    intrinsics = frame.intrinsics
    for _ in range(turns if intrinsics is not None else 0):
        intrinsics = _turned(intrinsics)  # pyright: ignore[reportArgumentType]
    image = np.ascontiguousarray(np.rot90(frame.image, -turns))
    bend = frame.raw_from_image
    if bend is not None:
        size_px = frame.image.shape[1], frame.image.shape[0]
        bend = _bend_of_turned(bend, turns, size_px)
    return replace(frame, image=image, intrinsics=intrinsics, raw_from_image=bend)


def _bend_of_turned(
    bend: Callable[[np.ndarray], np.ndarray], turns: int, size_px: tuple[int, int]
) -> Callable[[np.ndarray], np.ndarray]:
    """Pixels of the picture as the lens drew it, from pixels of the turned image."""

    def raw(pixels: np.ndarray) -> np.ndarray:
        for turn in reversed(range(turns)):
            # The height of the image before this turn.
            height = size_px[1] if turn % 2 == 0 else size_px[0]
            pixels = np.stack((pixels[..., 1], height - 1 - pixels[..., 0]), axis=-1)
        return bend(pixels)

    return raw


def turned_pose(world_from_camera: np.ndarray, turns: int) -> np.ndarray:
    """The pose (4, 4) of the camera that would have taken the turned image."""
    camera_from_turned = np.eye(4)
    quarter = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    camera_from_turned[:3, :3] = np.linalg.matrix_power(quarter, turns)
    return np.asarray(world_from_camera, np.float64) @ camera_from_turned


def _turned(camera: Intrinsics) -> Intrinsics:
    return Intrinsics(
        camera.fy,
        camera.fx,
        camera.height_px - 1 - camera.cy,
        camera.cx,
        camera.height_px,
        camera.width_px,
    )
