"""What hangs around both legs: skirts, and the lower parts of dresses and coats."""

from dataclasses import dataclass

import numpy as np

from human3r_lab.synth.people.looks.piece import Piece, join, loft
from human3r_lab.synth.people.looks.section import extent_at, joint_weights, ramp, shaped_height
from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.template import JOINT, body_template

_ROWS, _COLUMNS = 18, 56
_CAP_ABOVE_HEM_M = 0.05


@dataclass(frozen=True)
class SkirtCut:
    """Template heights and widths, metres."""

    waist_m: float
    hem_m: float
    margin_m: float
    """Distance from waist and hips."""
    flare_m: float
    """Added to the radius at the hem."""
    folds: int
    fold_m: float
    """Depth of the folds at the hem."""


def skirt(physique: Physique, cut: SkirtCut, texture: int, dark: int, tiles_per_m: float) -> Piece:
    """A tube around both legs, closed from inside a little above its hem.

    Args:
        physique: who wears it.
        cut: its form.
        texture: outside.
        dark: inside.
        tiles_per_m: of the texture.
    """
    heights = shaped_height(physique, np.linspace(cut.waist_m, cut.hem_m, _ROWS))
    low, high = _form(physique, heights, cut.margin_m)
    down = np.linspace(0, 1, _ROWS)[:, None]
    # From the back, to the left, so that the outside is on the right going down.
    angle = np.linspace(0, 2 * np.pi, _COLUMNS, endpoint=False)[None] - np.pi
    fold = cut.fold_m * down * np.cos(cut.folds * angle + 0.7 * np.sin(2 * angle))
    grow = cut.flare_m * down**1.3 + fold
    sine, cosine = np.sin(angle), np.cos(angle)
    middle_z = (low[:, 2] + high[:, 2])[:, None] / 2
    half_x = (high[:, 0] - low[:, 0])[:, None] / 2
    half_z = (high[:, 2] - low[:, 2])[:, None] / 2
    # A superellipse is nearer to a pelvis than an ellipse.
    power = 2.4
    round_off = (np.abs(sine) ** power + np.abs(cosine) ** power) ** (-1 / power)
    x = (half_x + grow) * sine * round_off
    z = middle_z + (half_z + grow) * cosine * round_off
    y = np.broadcast_to(heights[:, None], x.shape)
    rings = np.stack([x, y, z], -1)
    weights = _weights(physique, rings)
    tiles = max(1, round(1.0 * tiles_per_m))
    u = np.linspace(0, tiles, _COLUMNS + 1)
    v = (0.15 - heights) * tiles_per_m
    uv = np.stack(np.broadcast_arrays(u[None], v[:, None]), -1)
    outside = loft(rings, weights, uv, texture, is_closed=True)
    return join([outside, _inside(rings, weights, dark)])


def hidden_by(cut: SkirtCut) -> np.ndarray:
    """(V,) metres above the hem, positive under the skirt; template coordinates."""
    y = body_template().vertices_m[:, 1]
    is_hand = np.abs(body_template().vertices_m[:, 0]) > 0.3
    return np.where(is_hand, -1.0, np.minimum(cut.waist_m - y, y - cut.hem_m - 0.04))


def _form(physique: Physique, heights: np.ndarray, margin_m: float):
    """Extents of trunk and legs by row; below the hips never narrower than the hips."""
    template = body_template()
    trunk = np.abs(template.vertices_m[:, 0]) < 0.3
    places = physique.vertices_m[trunk].astype(np.float64)
    extent = extent_at(places, 1, heights)
    low, high = extent.low_m - margin_m, extent.high_m + margin_m
    reach = np.maximum(high[:, 0], -low[:, 0])
    hips = heights < physique.joints_m[JOINT["left_hip"], 1] + 0.06
    widest = np.maximum.accumulate(np.where(hips, reach, 0))
    reach = np.maximum(reach, widest)
    high[:, 0], low[:, 0] = reach, -reach
    high[:, 2] = np.maximum.accumulate(np.where(hips, high[:, 2], -1)).clip(high[:, 2])
    low[:, 2] = np.minimum.accumulate(np.where(hips, low[:, 2], 1)).clip(None, low[:, 2])
    return low, high


def _weights(physique: Physique, rings: np.ndarray) -> np.ndarray:
    joints = physique.joints_m
    hip, knee, waist = (joints[JOINT[name], 1] for name in ("left_hip", "left_knee", "spine1"))
    x, y = rings[..., 0], rings[..., 1]
    half = joints[JOINT["left_hip"], 0]
    left = ramp(x, -1.3 * half, 1.3 * half)
    legs = 0.92 * ramp(-y, -(hip + 0.05), -(hip - 0.22))
    shins = 0.55 * ramp(-y, -(knee + 0.02), -(knee - 0.2))
    spine = ramp(y, hip + 0.08, waist + 0.04) * 0.7
    return joint_weights(
        {
            "spine1": spine,
            "pelvis": 1 - legs - spine * (1 - legs),
            "left_hip": legs * left * (1 - shins),
            "right_hip": legs * (1 - left) * (1 - shins),
            "left_knee": legs * left * shins,
            "right_knee": legs * (1 - left) * shins,
        }
    )


def _inside(rings: np.ndarray, weights: np.ndarray, texture: int) -> Piece:
    """A dark floor above the hem, so that no camera looks into an empty tube."""
    drop = np.abs(rings[:, 0, 1] - rings[-1, 0, 1] - _CAP_ABOVE_HEM_M)
    row = int(np.argmin(drop[1:])) + 1
    centre = rings[row].mean(0)
    edge = centre + (rings[row] - centre) * 0.985
    uv = np.zeros((1, _COLUMNS + 1, 2))
    uv = np.concatenate([uv, uv])
    core = centre + (rings[row] - centre) * 0.3
    return loft(
        np.stack([core, edge]),
        np.stack([weights[row], weights[row]]),
        uv,
        texture,
        is_closed=True,
        caps=(True, False),
    )
