"""Shoes: lofts around the feet with flat soles."""

from dataclasses import dataclass

import numpy as np

from human3r_lab.synth.people.looks.piece import Piece, loft
from human3r_lab.synth.people.looks.section import extent_at, joint_weights, ramp
from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.template import JOINT, body_template

_ROWS, _COLUMNS = 15, 22
_UPPER_M = 0.007
_POINT_M = 0.012


@dataclass(frozen=True)
class ShoeCut:
    """Form of a pair."""

    sole_m: float
    collar_m: float
    """Height above the ankle joint, up to which the shoe closes around the ankle."""
    point: float
    """0 broad, 1 pointed."""


def shoe(physique: Physique, side: str, cut: ShoeCut, upper: int, sole: int) -> Piece:
    """One shoe; the foot inside need not be drawn.

    Args:
        physique: who wears it.
        side: left or right.
        cut: its form.
        upper: texture of the upper.
        sole: texture of the sole.
    """
    template = body_template()
    ankle = physique.joints_m[JOINT[f"{side}_ankle"]]
    ball = physique.joints_m[JOINT[f"{side}_foot"]]
    mine = template.owned_by(f"{side}_ankle", f"{side}_foot", f"{side}_knee")
    foot = physique.vertices_m[mine].astype(np.float64)
    foot = foot[foot[:, 1] < ankle[1] + cut.collar_m]
    floor_y = foot[:, 1].min() - cut.sole_m
    heel_z, toe_z = foot[:, 2].min() - 0.008, foot[:, 2].max() + _POINT_M
    share = np.linspace(0, 1, _ROWS)
    along = heel_z + (toe_z - heel_z) * (1 - np.cos(np.pi * share)) / 2
    extent = extent_at(foot, 2, along)
    low_x, high_x = extent.low_m[:, 0] - _UPPER_M, extent.high_m[:, 0] + _UPPER_M
    top = extent.high_m[:, 1] + _UPPER_M
    # Ends are round: narrow towards heel and tip.
    middle, half = (low_x + high_x) / 2, (high_x - low_x) / 2
    widest = half.max()
    sharp = 2.2 + 1.2 * (1 - cut.point)
    round_off = (1 - np.abs(2 * share - 1) ** (2 * sharp)) ** (1 / sharp)
    half = np.minimum(np.maximum(half, 0.6 * widest), widest) * (0.35 + 0.65 * round_off)
    tip_y = floor_y + cut.sole_m + 0.028
    top = np.where(share > 0.8, np.minimum(top, tip_y + (1 - share) / 0.2 * 0.035), top)
    top = np.maximum(top, tip_y * 0.5 + 0.5 * top)

    angle = np.linspace(2 * np.pi, 0, _COLUMNS, endpoint=False)
    across = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.55
    upward = np.sin(angle)
    lift = np.where(upward > 0, np.abs(upward) ** 0.8, -(np.abs(upward) ** 0.25))
    middle_y = np.full(_ROWS, floor_y + 0.007 + cut.sole_m)
    x = middle[:, None] + half[:, None] * across
    y = np.where(
        lift > 0,
        middle_y[:, None] + (top - middle_y)[:, None] * lift,
        middle_y[:, None] + (middle_y - floor_y)[:, None] * lift,
    )
    z = np.broadcast_to(along[:, None], x.shape)
    rings = np.stack([x, np.maximum(y, floor_y), z], -1)
    toes = ramp(z, ball[2] - 0.025, ball[2] + 0.025)
    weights = joint_weights({f"{side}_ankle": 1 - toes, f"{side}_foot": toes})
    u = np.linspace(0, 1, _COLUMNS + 1)
    uv = np.stack(np.broadcast_arrays(u[None], (along * 4)[:, None]), -1)
    piece = loft(rings, weights, uv, upper, is_closed=True, caps=(True, True))
    is_sole = np.append((lift[:-1] < 1e-6) & (lift[1:] < 1e-6), False)
    # A loft lists the two triangles of its squares, row by row, then the two caps.
    squares = np.tile(is_sole, _ROWS - 1)
    marked = np.concatenate([squares, squares, is_sole, is_sole])
    piece.face_texture[marked] = sole
    return piece
