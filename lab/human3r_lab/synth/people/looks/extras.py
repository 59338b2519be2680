"""Glasses and backpacks."""

import numpy as np

from human3r_lab.synth.people.looks import cloth
from human3r_lab.synth.people.looks.outfit import Outfit
from human3r_lab.synth.people.looks.piece import Piece, join, loft
from human3r_lab.synth.people.looks.section import joint_weights
from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.template import JOINT, body_template


def put_on_extras(rng: np.random.Generator, outfit: Outfit) -> None:
    """What some people carry."""
    if rng.random() < 0.15:
        frame = outfit.add_texture(cloth.plain(rng, np.full(3, rng.uniform(15, 90))))
        outfit.add(_glasses(outfit.body.physique, frame))
    if rng.random() < 0.1:
        cover = outfit.add_texture(cloth.plain(rng, cloth.cloth_color(rng)))
        outfit.add(_backpack(rng, outfit, cover))


def _glasses(physique: Physique, texture: int) -> Piece:
    """Two rims, a bridge and two temples."""
    template = body_template()
    head = physique.joints_m[JOINT["head"]]
    skull = physique.vertices_m[template.owned_by("head")]
    scale = float(np.ptp(skull[:, 1])) / 0.24
    parts = []
    for side, sign in (("left", 1.0), ("right", -1.0)):
        eye = physique.joints_m[JOINT[f"{side}_eye_smplhf"]]
        centre = eye + scale * np.array([sign * 0.002, -0.004, 0.026])
        angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        round_ = np.stack([0.024 * np.cos(angle), 0.018 * np.sin(angle), 0 * angle], 1) * scale
        parts.append(_bar(centre + round_, 0.0016 * scale, texture, is_closed=True))
        hinge = centre + scale * np.array([sign * 0.024, 0.006, 0.0])
        ear = np.array([sign * (skull[:, 0].max() - 0.006), hinge[1], head[2] + 0.01])
        parts.append(_bar(np.stack([hinge, ear]), 0.0016 * scale, texture, is_closed=False))
        inner = centre - scale * np.array([sign * 0.024, 0.0, 0.0])
        middle = inner * [0, 1, 1] + scale * np.array([0, 0.003, 0.004])
        parts.append(_bar(np.stack([inner, middle]), 0.0016 * scale, texture, is_closed=False))
    return join(parts)


def _bar(line_m: np.ndarray, half_m: float, texture: int, *, is_closed: bool) -> Piece:
    """A thin four-sided bar along a line, carried by the head."""
    offsets = half_m * np.array([[1, 1, 0], [1, -1, 1], [-1, -1, 0], [-1, 1, -1]])
    rings = (line_m[:, None] + offsets).transpose(1, 0, 2)
    rings = np.concatenate([rings, rings[:1]])
    weights = joint_weights({"head": np.ones(rings.shape[:2])})
    columns = rings.shape[1] + is_closed
    uv = np.zeros((len(rings), columns, 2))
    return loft(rings, weights, uv, texture, is_closed=is_closed)


def _backpack(rng: np.random.Generator, outfit: Outfit, texture: int) -> Piece:
    """A rounded bag on the back."""
    physique = outfit.body.physique
    joints = physique.joints_m
    scale = physique.stature_m / 1.7
    top = joints[JOINT["neck"], 1] - 0.06 * scale
    height = rng.uniform(0.34, 0.46) * scale
    half_width, depth = rng.uniform(0.12, 0.16) * scale, rng.uniform(0.1, 0.18) * scale
    trunk = body_template().owned_by("spine2", "spine3")
    back = physique.vertices_m[trunk, 2].min() - outfit.outer_m[trunk].max() - 0.004
    share = np.linspace(0, 1, 12)[:, None]
    swell = (1 - np.abs(2 * share - 1) ** 5) ** 0.25
    angle = np.linspace(-np.pi, np.pi, 24, endpoint=False)[None]
    round_x = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.6
    round_z = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.6
    x = half_width * swell * round_x
    z = back - depth / 2 + depth / 2 * np.maximum(swell, 0.2) * round_z
    y = np.broadcast_to(top - height * share, x.shape)
    rings = np.stack(np.broadcast_arrays(x, y, z), -1)
    low = np.broadcast_to(share, x.shape)
    weights = joint_weights({"spine3": 1 - 0.4 * low, "spine2": 0.4 * low})
    uv = np.stack(np.broadcast_arrays(np.linspace(0, 2, 25)[None], share * 1.5), -1)
    return loft(rings, weights, uv, texture, is_closed=True, caps=(True, True))
