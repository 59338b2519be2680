"""What lights a scene, and where that light does not reach."""

from typing import NamedTuple

import numpy as np


class Lighting(NamedTuple):
    """The light of a scene, world frame, linear RGB."""

    sun_direction: np.ndarray
    """(3,) float64 unit vector towards the sun."""
    sun_color: np.ndarray
    """(3,) float64."""
    sun_softness: float
    """Radius of the shadow's edge in texels of the shadow map."""
    lamp_m: np.ndarray
    """(3,) float64 place of a lamp without shadow."""
    lamp_color: np.ndarray
    """(3,) float64 at one metre."""
    ambient_up: np.ndarray
    """(3,) float64 light on surfaces that face up."""
    ambient_down: np.ndarray
    """(3,) float64 light on surfaces that face down."""
    horizon_color: np.ndarray
    """(3,) float64 of the sky and of the haze."""
    zenith_color: np.ndarray
    """(3,) float64."""
    cloud_cover: float
    """0 clear sky, 1 overcast."""
    haze_per_m: float


class Shade(NamedTuple):
    """Where light does not reach in a frame."""

    depth_m: np.ndarray
    """(rows, columns) float32 shadow map of the sun."""
    light_from_camera: np.ndarray
    """(3, 4) float64: column and row in the shadow map, depth in metres."""
    texel_m: float
    """Width of a texel of the shadow map."""
    floor_light: np.ndarray
    """(rows, columns) float32 in [0, 1]: share of the sky that the floor sees."""
    floor_from_world: np.ndarray
    """(2, 3) float64: column and row in ``floor_light`` from x, y, 1."""


def toward_sun(elevation_rad: float, azimuth_rad: float) -> np.ndarray:
    """(3,) unit vector to a sun so high above the horizon, azimuth from x to y."""
    return np.array(
        [
            np.cos(azimuth_rad) * np.cos(elevation_rad),
            np.sin(azimuth_rad) * np.cos(elevation_rad),
            np.sin(elevation_rad),
        ]
    )
