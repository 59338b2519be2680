"""Samples that are shaded together."""

from typing import NamedTuple

import numpy as np

BATCH = 1024
"""Samples. Fewer mean more calls; many more would no longer fit the processor's near memory."""


class Batch(NamedTuple):
    """Samples on surfaces, (BATCH,) each; float32 unless noted."""

    spot: np.ndarray
    """int32 index of the sample in the picture."""
    texture: np.ndarray
    """int32."""
    ray_x: np.ndarray
    """float64, camera frame, one metre along the optical axis."""
    ray_y: np.ndarray
    """float64."""
    depth: np.ndarray
    """float64 metres along the optical axis."""
    u: np.ndarray
    """float64 texture coordinate."""
    v: np.ndarray
    """float64."""
    nx: np.ndarray
    """Normal in the world frame, towards the eye once ``_turn_normals`` was there."""
    ny: np.ndarray
    nz: np.ndarray
    facing: np.ndarray
    """Face's unit normal times the ray."""
    density: np.ndarray
    """Texels that a sample spans, per metre of depth."""
    x: np.ndarray
    """Place in the world frame, metres."""
    y: np.ndarray
    z: np.ndarray
    column: np.ndarray
    """float64 in the shadow map."""
    row: np.ndarray
    """float64 in the shadow map."""
    limit: np.ndarray
    """What is nearer to the sun throws a shadow here, metres."""
    sunny: np.ndarray
    """Share of the sun's light."""
    lamp: np.ndarray
    """Share of the lamp's light."""
    open_sky: np.ndarray
    """Share of all light but the sun's that reaches the place."""
    haze: np.ndarray
    footprint: np.ndarray
    """Texels under the sample, squared side."""
    red: np.ndarray
    """At first 8.8 fixed point sRGB, then light."""
    green: np.ndarray
    blue: np.ndarray


def new_batch() -> Batch:
    """Memory for a batch."""
    kinds = {
        **dict.fromkeys(("spot", "texture"), np.int32),
        **dict.fromkeys(("ray_x", "ray_y", "depth", "u", "v", "column", "row"), np.float64),
    }
    return Batch(*[np.zeros(BATCH, kinds.get(name, np.float32)) for name in Batch._fields])
