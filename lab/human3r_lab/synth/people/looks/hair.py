"""Hair and what is worn over it."""

import cv2
import numpy as np

from human3r_lab.synth.people.looks import cloth, coverage
from human3r_lab.synth.people.looks.outfit import Outfit
from human3r_lab.synth.people.looks.paint import cloud_noise
from human3r_lab.synth.people.looks.piece import Piece, loft
from human3r_lab.synth.people.looks.section import extent_at, joint_weights, ramp
from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.template import JOINT, body_template

_TILES_PER_M = 5.0
_STYLES = ("long", "tail", "bun", "short", "round", "bald")
_FEMININE_SHARES = (0.3, 0.3, 0.2, 0.12, 0.08, 0.0)
_OTHER_SHARES = (0.03, 0.04, 0.03, 0.66, 0.1, 0.14)


def hair_texture(rng: np.random.Generator, color: np.ndarray) -> np.ndarray:
    """Strands that run down the rows."""
    side = 128
    strands = cv2.blur(rng.standard_normal((side, side), np.float32), (1, 21))[..., None]
    face = color * (1 + 1.1 * strands + 0.08 * cloud_noise(rng, side, (4, 8))[..., None])
    return np.clip(face, 0, 255).astype(np.uint8)


def put_on_hair(
    rng: np.random.Generator, outfit: Outfit, color: np.ndarray, *, is_feminine: bool
) -> None:
    """A haircut, or something over the head."""
    wish = rng.random()
    if is_feminine and wish < 0.08:
        _wear_scarf(rng, outfit)
        return
    number = outfit.add_texture(hair_texture(rng, color))
    shares = _FEMININE_SHARES if is_feminine else _OTHER_SHARES
    style = rng.choice(_STYLES, p=shares)
    if style == "bald":
        return
    _wear_cut(rng, outfit, number, str(style))
    physique = outfit.body.physique
    if style == "long":
        outfit.add(_curtain(rng, physique, number))
    elif style == "tail":
        outfit.add(_tail(rng, physique, number))
    elif style == "bun":
        outfit.add(_bun(rng, physique, number))
    if style in ("long", "tail", "short") and rng.random() < 0.14:
        _wear_hat(rng, outfit)


def _wear_cut(rng, outfit: Outfit, number: int, style: str) -> None:
    """Hair on the scalp."""
    low = 0.0 if style in ("long", "round") else rng.uniform(0.0, 0.03)
    covers = coverage.scalp(rng.uniform(0.085, 0.105), low - 0.01, rng.uniform(0.03, 0.055))
    head = body_template().joints_m[JOINT["head"]]
    x, y, z = (body_template().vertices_m - head).T
    thick_m = {"round": rng.uniform(0.025, 0.06), "short": rng.uniform(0.002, 0.024)}.get(
        style, rng.uniform(0.006, 0.016)
    )
    # More on top than at the sides, thin at the edge, uneven everywhere.
    top = 0.45 + 0.55 * np.clip(y / 0.16, 0, 1) if style != "round" else 0.9
    edge = np.clip(covers / 0.035, 0.1, 1)
    waves = sum(
        np.sin(body_template().vertices_m @ rng.normal(0, 60, 3) + rng.uniform(0, 6))
        for _ in range(4)
    )
    offset = 0.003 + thick_m * top * edge + 0.15 * thick_m * waves * edge
    if rng.random() < 0.5:
        quiff = np.exp(-((z - 0.09) ** 2) / 0.001 - x**2 / 0.003) * (y > 0.06)
        offset = offset + rng.uniform(0, 0.6) * thick_m * quiff
    outfit.wear(covers, np.maximum(offset, 0.002), number, "head", _TILES_PER_M)


def _wear_scarf(rng, outfit: Outfit) -> None:
    number = outfit.add_texture(cloth.plain(rng, cloth.cloth_color(rng)))
    covers = coverage.head_scarf(rng.uniform(0.02, 0.09))
    outfit.wear(covers, 0.014, number, "head", 2.0)


def _wear_hat(rng, outfit: Outfit) -> None:
    """A knitted hat, or a cap with a brim."""
    color = cloth.cloth_color(rng)
    if rng.random() < 0.5:
        covers = coverage.hat(rng.uniform(0.055, 0.075), rng.uniform(0.1, 0.3))
        number = outfit.add_texture(cloth.knit(rng, color))
        outfit.wear(covers, 0.012, number, "head", 3.0)
        return
    number = outfit.add_texture(cloth.plain(rng, color))
    covers = coverage.hat(0.072, rng.uniform(0.0, 0.2))
    outfit.wear(covers, 0.01, number, "head", 3.0)
    outfit.add(_brim(rng, outfit.body.physique, number))


def _head_extent(physique: Physique) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Head joint, smallest and largest coordinates of the skull."""
    skull = physique.vertices_m[body_template().owned_by("head")].astype(np.float64)
    return physique.joints_m[JOINT["head"]], skull.min(0), skull.max(0)


def _brim(rng, physique: Physique, texture: int) -> Piece:
    head, low, high = _head_extent(physique)
    angle = np.linspace(-1.15, 1.15, 17)
    half = (high[0] - low[0]) / 2
    front = high[2] - 0.035
    y = head[1] + 0.088 * (high[1] - low[1]) / 0.22
    reach = rng.uniform(0.05, 0.075) * np.cos(angle / 1.15 * np.pi / 2) ** 0.6
    inner = np.stack(
        [half * np.sin(angle), np.full(17, y), front - half * 1.1 * (1 - np.cos(angle))], 1
    )
    outer = inner + np.stack([0.15 * reach * np.sin(angle), -0.3 * reach, reach], 1)
    rings = np.stack([inner, outer])
    uv = np.stack([inner[:, [0, 2]], outer[:, [0, 2]]]) * 3
    weights = joint_weights({"head": np.ones(rings.shape[:2])})
    return loft(rings, weights, uv, texture, is_closed=False)


def _curtain(rng, physique: Physique, texture: int) -> Piece:
    """Hair that hangs around the back and the sides of the head."""
    head, low, high = _head_extent(physique)
    scale = (high[1] - low[1]) / 0.24
    template = body_template()
    trunk = (np.abs(template.vertices_m[:, 0]) < 0.13) & (template.vertices_m[:, 1] > -0.25)
    rows, columns = 14, 31
    length_m = float(rng.choice([rng.uniform(0.1, 0.17), rng.uniform(0.22, 0.4)])) * scale
    reach = rng.uniform(1.75, 2.15)
    angle = np.linspace(-reach, reach, columns)  # 0 is the back
    # The sides end on the shoulders, the back may be longer.
    back = np.exp(-((angle / 1.0) ** 4))
    end = np.minimum(length_m, 0.15 * scale + np.maximum(length_m - 0.15 * scale, 0) * back)
    start_y = head[1] + 0.075 * scale
    down = np.linspace(0, 1, rows)[:, None]
    y = start_y - down * (0.075 * scale + end)[None]
    heights = np.linspace(y.max(), y.min(), 30)
    extent = extent_at(physique.vertices_m[trunk].astype(np.float64), 1, heights)
    behind = np.minimum.accumulate(extent.low_m[:, 2])
    half_x = (high[0] - low[0]) / 2 - 0.004
    middle_z = (low[2] + high[2]) / 2 - 0.01
    half_z = middle_z - low[2] + 0.014
    back_z = -np.interp(-y, -heights, -behind) - 0.014
    swell = 0.012 * np.sin(np.pi * np.clip(down, 0, 1)) * scale
    x = (half_x + 0.014 + swell + 0.02 * down) * np.sin(angle)
    z = middle_z - (half_z + swell) * np.cos(angle)
    behind_z = middle_z + (back_z - middle_z) * np.cos(angle)
    z = np.where(np.cos(angle) > 0, np.minimum(z, behind_z), z)
    strands = 0.003 * np.sin(angle * 23 + 2 * np.sin(3 * down))
    rings = np.stack(np.broadcast_arrays(x * (1 + strands * 4), y, z - strands), -1)
    hang = ramp(-y, -(head[1] - 0.02), -(head[1] - 0.25))
    weights = joint_weights({"head": 1 - 0.75 * hang, "spine3": 0.75 * hang})
    uv = np.stack(np.broadcast_arrays(angle[None] * 0.8, (start_y - y) * _TILES_PER_M), -1)
    return loft(rings, weights, uv, texture, is_closed=False)


def _tail(rng, physique: Physique, texture: int) -> Piece:
    """A ponytail or a plait."""
    head, low, high = _head_extent(physique)
    scale = (high[1] - low[1]) / 0.24
    rows, columns = 12, 12
    length_m, start = rng.uniform(0.12, 0.34) * scale, rng.uniform(0.02, 0.11) * scale
    share = np.linspace(0, 1, rows)
    out = 0.05 * scale * np.sin(np.pi * np.minimum(share * 1.6, 1)) + 0.02 * share
    centre = np.stack(
        [np.zeros(rows), head[1] + start - length_m * share**1.2, low[2] + 0.012 - out], 1
    )
    width = rng.uniform(0.02, 0.034) * scale
    radius = width * (0.55 + 0.6 * np.sin(np.pi * share) ** 0.6) * (1 - 0.5 * share)
    return _tube(centre, radius, columns, texture, head, scale)


def _bun(rng, physique: Physique, texture: int) -> Piece:
    head, low, high = _head_extent(physique)
    scale = (high[1] - low[1]) / 0.24
    rise = rng.uniform(-0.1, 1.35)
    radius = rng.uniform(0.028, 0.045) * scale
    middle = np.array([0, head[1] + 0.07 * scale, (low[2] + high[2]) / 2])
    direction = np.array([0, np.sin(rise), -np.cos(rise)])
    span = np.array([0, high[1] - middle[1], middle[2] - low[2]])
    centre = middle + direction * (np.hypot(span[1] * np.sin(rise), span[2] * np.cos(rise)))
    share = np.linspace(0.02, 0.98, 10)
    around = radius * np.sin(np.pi * share)
    line = centre + np.stack([0 * share, radius * np.cos(np.pi * share), 0 * share], 1)
    return _tube(line, around, 14, texture, head, scale)


def _tube(centre, radius, columns: int, texture: int, head, scale: float) -> Piece:
    """Level rings around a line that goes down; the head carries it, lower parts follow less."""
    angle = np.linspace(-np.pi, np.pi, columns, endpoint=False)
    x = centre[:, None, 0] + radius[:, None] * np.sin(angle)
    z = centre[:, None, 2] + radius[:, None] * np.cos(angle)
    y = np.broadcast_to(centre[:, None, 1], x.shape)
    hang = ramp(-y, -(head[1] - 0.02), -(head[1] - 0.25 * scale))
    weights = joint_weights({"head": 1 - 0.6 * hang, "spine3": 0.6 * hang})
    u = np.linspace(0, 1, columns + 1)
    v = (centre[0, 1] - centre[:, 1]) * _TILES_PER_M
    uv = np.stack(np.broadcast_arrays(u[None], v[:, None]), -1)
    rings = np.stack([x, y, z], -1)
    return loft(rings, weights, uv, texture, is_closed=True, caps=(True, True))
