"""What the renderer draws: triangles in the world frame (z up, metres, floor at z = 0)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mesh:
    """One object in the world frame."""

    vertices_m: np.ndarray
    """(V, 3) float32."""
    faces: np.ndarray
    """(F, 3) int32, counter-clockwise from outside; both sides are drawn."""
    uv: np.ndarray
    """(V, 2) float32 texture coordinates, v downwards as image rows; they repeat beyond [0, 1)."""
    face_texture: np.ndarray
    """(F,) int32 into the list of textures that goes with the mesh; a texture is (S, S, 3) uint8
    sRGB, S a power of two."""
    is_smooth: bool
    """Interpolate vertex normals; otherwise every face is flat."""
    person_id: int = 0
    """0: scenery."""
