"""Random clothes: tops, trousers, skirts, dresses, jackets, coats, shoes."""

import numpy as np

from human3r_lab.synth.people.looks import cloth, coverage
from human3r_lab.synth.people.looks.anatomy import anatomy
from human3r_lab.synth.people.looks.outfit import Outfit
from human3r_lab.synth.people.looks.section import ramp
from human3r_lab.synth.people.looks.shoes import ShoeCut, shoe
from human3r_lab.synth.people.looks.skirt import SkirtCut, hidden_by, skirt
from human3r_lab.synth.people.template import body_template

_WAIST_M = -0.27
_KNEE_M = -0.75


def put_on_clothes(rng: np.random.Generator, outfit: Outfit, *, is_feminine: bool) -> None:
    """Dress a person from the inside outwards."""
    _wear_shoes(rng, outfit)
    wish = rng.random()
    if is_feminine and wish < 0.2:
        _wear_dress(rng, outfit)
    elif is_feminine and wish < 0.45:
        _wear_top(rng, outfit, is_tucked=True)
        _wear_skirt(rng, outfit)
    elif rng.random() < 0.3:
        _wear_top(rng, outfit, is_tucked=True)
        _wear_bottom(rng, outfit)
    else:
        _wear_bottom(rng, outfit)
        _wear_top(rng, outfit, is_tucked=False)
    wish = rng.random()
    if wish < 0.25:
        _wear_jacket(rng, outfit)
    elif wish < 0.32:
        _wear_coat(rng, outfit)


def _wrinkles(rng: np.random.Generator, size_m: float) -> np.ndarray:
    """(V,) small waves over the body."""
    places = body_template().vertices_m.astype(np.float64)
    total = np.zeros(len(places))
    for _ in range(6):
        direction = rng.normal(0, 1, 3) * np.array([1, 0.6, 1])
        direction *= rng.uniform(18, 60) / np.linalg.norm(direction)
        total += np.sin(places @ direction + rng.uniform(0, 6.3))
    return size_m * total / 2.4


def _patterned(rng: np.random.Generator, outfit: Outfit, plain_share: float = 0.45) -> int:
    """A texture of random pattern."""
    color = cloth.cloth_color(rng)
    if rng.random() < plain_share:
        return outfit.add_texture(cloth.plain(rng, color))
    return outfit.add_texture(cloth.PATTERNS[rng.integers(len(cloth.PATTERNS))](rng, color))


def _wear_bottom(rng: np.random.Generator, outfit: Outfit) -> None:
    leg = rng.uniform(1.85, 2.06) if rng.random() < 0.75 else rng.uniform(0.35, 1.05)
    covers = coverage.bottom(_WAIST_M + rng.uniform(-0.02, 0.03), leg)
    width_m = rng.uniform(0.0, 0.03)
    along = np.maximum(anatomy().leg, 0)
    offset = 0.009 + width_m * ramp(along, 0.0, max(0.5, leg)) + _wrinkles(rng, 0.0022)
    color = cloth.cloth_color(rng)
    kind = rng.random()
    if kind < 0.42:
        texture = outfit.add_texture(cloth.denim(rng, color))
    elif kind < 0.88:
        texture = outfit.add_texture(cloth.plain(rng, color))
    else:
        texture = _patterned(rng, outfit)
    outfit.wear(covers, offset, texture, "leg")
    if leg < 1.2 and rng.random() < 0.5:
        _wear_socks(rng, outfit, rng.uniform(-1.08, -0.85))


def _wear_top(rng: np.random.Generator, outfit: Outfit, *, is_tucked: bool) -> None:
    sleeve = rng.uniform(0.3, 0.9) if rng.random() < 0.5 else rng.uniform(1.7, 1.98)
    hem_m = -0.42 if is_tucked else rng.uniform(-0.47, -0.34)
    covers = coverage.top(hem_m, sleeve, rng.uniform(0.07, 0.14))
    width_m = 0.0 if is_tucked else rng.uniform(0.0, 0.03)
    offset = _top_offset(rng, 0.008, width_m, sleeve)
    if rng.random() < 0.22:
        color = cloth.cloth_color(rng)
        trunk, tiles = outfit.add_texture(cloth.printed(rng, color)), 1.0
        sleeves = outfit.add_texture(cloth.plain(rng, color))
    else:
        trunk = sleeves = _patterned(rng, outfit, 0.3)
        tiles = float(rng.uniform(1.5, 3.5))
    if rng.random() < 0.12:
        sleeves = outfit.add_texture(cloth.plain(rng, cloth.cloth_color(rng)))
    _wear_parted(outfit, covers, offset, trunk, sleeves, tiles)


def _top_offset(rng, least_m: float, width_m: float, sleeve: float) -> np.ndarray:
    """(V,) a top's distance from the body: close at the neck, wide at the hems."""
    x, y, _ = body_template().vertices_m.T
    arm = anatomy().arm
    loose = width_m * ramp(-y, 0.0, 0.35) + 0.6 * width_m * ramp(arm, 0.2, max(0.4, sleeve))
    neck = ramp(y, 0.08, 0.15) * (np.abs(x) < 0.15)
    return (least_m + loose + _wrinkles(rng, 0.003)) * (1 - 0.4 * neck)


def _wear_parted(outfit: Outfit, covers, offset, trunk: int, sleeves: int, tiles: float) -> None:
    """Trunk and sleeves, each with its own way around."""
    on_trunk, on_sleeves = coverage.sleeves_of(covers)
    outfit.wear_parts(
        offset,
        [(on_trunk, trunk, "torso", tiles), (on_sleeves, sleeves, "sleeve", max(tiles, 3.0))],
    )
    # The seam between the parts is no hem.
    outfit.covered_m = np.maximum(outfit.covered_m, covers)


def _wear_jacket(rng: np.random.Generator, outfit: Outfit) -> None:
    hem_m, sleeve = rng.uniform(-0.5, -0.38), rng.uniform(1.88, 2.04)
    covers = coverage.top(hem_m, sleeve, rng.uniform(0.1, 0.14))
    if rng.random() < 0.65:
        covers = coverage.opened(covers, rng.uniform(0.015, 0.07), rng.uniform(0.0, 0.12))
    offset = _top_offset(rng, rng.uniform(0.014, 0.024), rng.uniform(0.0, 0.02), sleeve)
    color = cloth.cloth_color(rng)
    kind = rng.random()
    if kind < 0.2:
        number = outfit.add_texture(cloth.denim(rng, color))
    elif kind < 0.85:
        number = outfit.add_texture(cloth.plain(rng, color))
    else:
        number = _patterned(rng, outfit)
    _wear_parted(outfit, covers, offset, number, number, 2.0)


def _wear_coat(rng: np.random.Generator, outfit: Outfit) -> None:
    sleeve = rng.uniform(1.9, 2.04)
    covers = coverage.top(-0.36, sleeve, rng.uniform(0.1, 0.14))
    offset = _top_offset(rng, rng.uniform(0.02, 0.03), 0.0, sleeve)
    number = outfit.add_texture(cloth.plain(rng, cloth.cloth_color(rng)))
    _wear_parted(outfit, covers, offset, number, number, 2.0)
    around = float(offset[np.abs(body_template().vertices_m[:, 1] + 0.33) < 0.03].max())
    cut = SkirtCut(
        waist_m=-0.31,
        hem_m=rng.uniform(-0.85, -0.5),
        margin_m=around + 0.012,
        flare_m=rng.uniform(0.02, 0.06),
        folds=int(rng.integers(3, 7)),
        fold_m=0.004,
    )
    _add_skirt(rng, outfit, cut, number, 2.0)


def _wear_skirt(rng: np.random.Generator, outfit: Outfit) -> None:
    cut = SkirtCut(
        waist_m=_WAIST_M + rng.uniform(-0.02, 0.02),
        hem_m=float(rng.choice([rng.uniform(-0.7, -0.58), rng.uniform(-1.02, -0.7)])),
        margin_m=0.02,
        flare_m=rng.uniform(0.02, 0.16),
        folds=int(rng.integers(5, 15)),
        fold_m=rng.uniform(0.002, 0.016),
    )
    _add_skirt(rng, outfit, cut, _patterned(rng, outfit), float(rng.uniform(1.5, 3)))


def _wear_dress(rng: np.random.Generator, outfit: Outfit) -> None:
    sleeve = float(rng.choice([0.25, rng.uniform(0.3, 0.8), rng.uniform(1.5, 1.95)]))
    covers = coverage.top(-0.31, sleeve, rng.uniform(0.05, 0.13))
    offset = _top_offset(rng, 0.009, 0.0, sleeve)
    number, tiles = _patterned(rng, outfit, 0.25), float(rng.uniform(1.5, 3))
    _wear_parted(outfit, covers, offset, number, number, tiles)
    cut = SkirtCut(
        waist_m=-0.24,
        hem_m=float(rng.uniform(-1.08, -0.6)),
        margin_m=0.022,
        flare_m=rng.uniform(0.04, 0.18),
        folds=int(rng.integers(5, 13)),
        fold_m=rng.uniform(0.002, 0.016),
    )
    _add_skirt(rng, outfit, cut, number, tiles)


def _add_skirt(rng, outfit: Outfit, cut: SkirtCut, texture: int, tiles: float) -> None:
    color = outfit.textures[texture].mean((0, 1)) * 0.45
    dark = outfit.add_texture(cloth.plain(rng, color))
    physique = outfit.body.physique
    outfit.add(skirt(physique, cut, texture, dark, tiles), hidden_by(cut))
    if rng.random() < 0.25 and cut.hem_m > -0.9:
        _wear_socks(rng, outfit, cut.hem_m + 0.1)


def _wear_socks(rng: np.random.Generator, outfit: Outfit, top_m: float) -> None:
    """Socks, or tights that end under a skirt."""
    number = outfit.add_texture(cloth.plain(rng, cloth.cloth_color(rng)))
    shanks = np.minimum(coverage.below(top_m), -coverage.below(-1.18))
    outfit.wear(shanks, 0.003, number, "leg")


def _wear_shoes(rng: np.random.Generator, outfit: Outfit) -> None:
    color = cloth.cloth_color(rng) * rng.uniform(0.4, 1.0)
    upper = outfit.add_texture(cloth.plain(rng, color))
    sole_color = np.full(3, rng.choice([25.0, 60.0, 200.0, 235.0])) + rng.normal(0, 5, 3)
    sole = outfit.add_texture(cloth.plain(rng, np.clip(sole_color, 0, 255)))
    cut = ShoeCut(outfit.sole_m, rng.uniform(-0.01, 0.03), rng.uniform(0, 1))
    for side in ("left", "right"):
        outfit.add(shoe(outfit.body.physique, side, cut, upper, sole))
    ankle_m = coverage.height_of("left_ankle")
    outfit.covered_m = np.maximum(outfit.covered_m, coverage.below(ankle_m + cut.collar_m + 0.012))
    if rng.random() < 0.2:
        boots = np.minimum(
            coverage.below(ankle_m + rng.uniform(0.08, 0.3)), -coverage.below(ankle_m - 0.02)
        )
        outfit.wear(boots, 0.008, upper, "leg", 4.0)
