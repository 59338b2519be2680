"""From where a scene is looked at, chosen so that everything is in the picture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_MARGIN = 0.88
"""Share of the picture that is filled."""


@dataclass(frozen=True)
class Viewpoint:
    """A pinhole camera that looks at the world."""

    view_from_world: Float[np.ndarray, "4 4"]
    """x right, y down, z forward."""
    focal_px: float
    width_px: int
    height_px: int

    def project(self, points_world: Float[np.ndarray, "points 3"]) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (points, 2) and depths (points,); pixels mean nothing where depth is below 0."""
        view = points_world @ self.view_from_world[:3, :3].T + self.view_from_world[:3, 3]
        depth = view[:, 2]
        safe = np.where(depth > 1e-3, depth, 1.0)
        center = np.array([(self.width_px - 1) / 2, (self.height_px - 1) / 2])
        return view[:, :2] * (self.focal_px / safe)[:, None] + center, depth


def frame_all(
    points_world: Float[np.ndarray, "points 3"],
    forward: Float[np.ndarray, "3"],
    up: Float[np.ndarray, "3"],
    width_px: int,
    height_px: int,
    field_of_view_rad: float = 0.75,
) -> Viewpoint:
    """The nearest viewpoint in a given direction that has all points in the picture.

    Args:
        points_world: everything that has to be seen; at least one point, finite.
        forward: viewing direction, not parallel to ``up``.
        up: what is up.
        width_px: of the picture.
        height_px: of the picture.
        field_of_view_rad: along the longer side.
    """
    rotation = _looking(forward, up)
    focal_px = max(width_px, height_px) / 2 / np.tan(field_of_view_rad / 2)
    slopes = np.array([width_px, height_px]) / 2 * _MARGIN / focal_px
    view = points_world @ rotation.T
    center = (view.min(axis=0) + view.max(axis=0)) / 2
    distance = 1.0
    # Moving sideways changes how far back one must stand and the other way round.
    for _ in range(8):
        offset = view - center
        distance = max(0.5, float((np.abs(offset[:, :2]) / slopes - offset[:, 2:]).max()))
        slope = offset[:, :2] / (offset[:, 2:] + distance)
        middle = (slope.min(axis=0) + slope.max(axis=0)) / 2
        center[:2] += middle * distance
    view_from_world = np.eye(4)
    view_from_world[:3, :3] = rotation
    view_from_world[:3, 3] = -center + [0, 0, distance]
    return Viewpoint(view_from_world, float(focal_px), width_px, height_px)


def look_down_along(
    up: Float[np.ndarray, "3"], ahead: Float[np.ndarray, "3"], turn_rad: float, tilt_rad: float
) -> Float[np.ndarray, "3"]:
    """A viewing direction: level ``ahead`` turned to the left by an angle, then tilted down."""
    up = up / np.linalg.norm(up)
    level = ahead - up * (ahead @ up)
    level = level / np.linalg.norm(level)
    left = np.cross(up, level)
    turned = np.cos(turn_rad) * level + np.sin(turn_rad) * left
    return np.cos(tilt_rad) * turned - np.sin(tilt_rad) * up


def _looking(forward: np.ndarray, up: np.ndarray) -> np.ndarray:
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])
