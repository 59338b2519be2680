"""Clothes as shells around the body: cut from its surface, pushed outwards, closed at the hems."""

from dataclasses import dataclass

import numpy as np

from human3r_lab.synth.people.looks.piece import Piece, weld
from human3r_lab.synth.people.looks.surface import Patch, cut, vertex_normals
from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.template import JOINT, body_template

_TUCK_M = 0.004
"""How far a hem's inner edge lies under the skin."""
_TOP_M = 0.15
"""Height of the first row of a texture; a print's rows count from here."""
_ADULT_ROUNDS, _CHILD_ROUNDS = 28, 60
"""Of smoothing the body below cloth; more hides more of its form."""


@dataclass(frozen=True)
class Wrap:
    """How a texture goes around a part: an axis through a joint, and the way around it in tiles."""

    joint: str
    is_arm: bool
    circumference_m: float
    flatness: float = 1.0
    """Width over depth."""


WRAPS = {
    "torso": Wrap("spine2", False, 0.95, 1.4),
    "head": Wrap("head", False, 0.6),
    "sleeve": Wrap("elbow", True, 0.32),
    "leg": Wrap("knee", False, 0.5),
}


@dataclass(frozen=True)
class Cloth:
    """What a shell is made of."""

    offset_m: np.ndarray
    """(V,) distance from the smoothed body by vertex."""
    texture: int
    tiles_per_m: float
    wrap: str
    """One of ``WRAPS``; sleeves and legs are mapped side by side."""


class ClothedBody:
    """A body below its clothes, hollows filled as cloth fills them."""

    def __init__(self, physique: Physique) -> None:
        template = body_template()
        self.physique = physique
        self.vertices_m = physique.vertices_m
        self.normals = vertex_normals(physique.vertices_m, template.faces)
        smooth = self.vertices_m
        for _ in range(_CHILD_ROUNDS if physique.is_child else _ADULT_ROUNDS):
            smooth = template.smoother @ smooth
        rise = ((smooth - self.vertices_m) * self.normals).sum(1, keepdims=True)
        self.filled_m = self.vertices_m + np.maximum(rise, 0) * self.normals


def grow(body: ClothedBody, coverage: np.ndarray, cloth: Cloth) -> Piece:
    """A garment.

    Args:
        body: who wears it.
        coverage: (V,) positive where there is cloth, metres to the hem.
        cloth: thickness, looks.
    """
    template = body_template()
    patch = cut(template.faces, coverage)
    outside = patch.spread(body.filled_m + cloth.offset_m[:, None] * body.normals)
    under = patch.spread(body.vertices_m - _TUCK_M * body.normals)
    hem = np.unique(patch.border)
    inner = np.full(len(outside), -1)
    inner[hem] = len(outside) + np.arange(len(hem))
    start, end = patch.border.T
    rim = np.concatenate(
        [
            np.stack([end, start, inner[start]], 1),
            np.stack([end, inner[start], inner[end]], 1),
        ]
    )
    weights = patch.spread(template.weights)
    faces = np.concatenate([patch.faces, rim])
    corner_uv, key = _corner_uv(patch, hem, faces, cloth)
    return weld(
        np.concatenate([outside, under[hem]]),
        np.concatenate([weights, weights[hem]]),
        faces,
        corner_uv,
        key,
        np.full(len(faces), cloth.texture),
    )


def _corner_uv(
    patch: Patch, hem: np.ndarray, faces: np.ndarray, cloth: Cloth
) -> tuple[np.ndarray, np.ndarray]:
    """(F, 3, 2) cylinder coordinates, whole numbers of tiles around, and (F, 3) weld keys."""
    wrap = WRAPS[cloth.wrap]
    places = patch.spread(body_template().vertices_m)
    corners = np.concatenate([places, places[hem]])[faces]
    sided = wrap.joint in ("elbow", "knee")
    side = np.where(corners[..., 0].mean(1) > 0, 1.0, -1.0) if sided else np.ones(len(faces))
    joint = f"left_{wrap.joint}" if sided else wrap.joint
    axis = body_template().joints_m[JOINT[joint]]
    x, y, z = np.moveaxis(corners, -1, 0)
    x = x * side[:, None] - axis[0]
    y, z = y - axis[1], z - axis[2]
    if wrap.is_arm:
        angle, along = np.arctan2(z, y), x
    elif sided:
        angle, along = np.arctan2(z, x), _TOP_M - axis[1] - y
    else:
        angle, along = np.arctan2(x / wrap.flatness, z - 0.03), _TOP_M - axis[1] - y
    u = angle / (2 * np.pi) + 0.5
    is_wrapped = (u < u.max(1, keepdims=True) - 0.5) & (u < 0.5)
    tiles = max(1, round(wrap.circumference_m * cloth.tiles_per_m))
    uv = np.stack([(u + is_wrapped) * tiles, along * cloth.tiles_per_m], -1)
    return uv, (side[:, None] > 0) * 2 + is_wrapped
