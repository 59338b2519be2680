"""Furnished rooms and halls: walls with doors and windows, things on them and in front of them."""

from dataclasses import dataclass

import numpy as np

from human3r_lab.synth import furniture as fu
from human3r_lab.synth import textures as tx
from human3r_lab.synth.lighting import Lighting, toward_sun
from human3r_lab.synth.scenery import Piece, Scenery, Set, footprint
from human3r_lab.synth.shapes import Shape, box, cylinder, lathe, panel, sheet
from human3r_lab.synth.stage import Stage

_AT_WALLS = (
    (fu.sofa, 3), (fu.shelf, 3), (fu.cabinet, 4), (fu.television, 1), (fu.desk, 2), (fu.bed, 1),
    (fu.plant, 2), (fu.floor_lamp, 1), (fu.crates, 1), (fu.chair, 3), (fu.bench, 1),
)  # fmt: skip
_MARGIN_M = 0.25
"""Between the walls and the rectangle in which people walk."""


@dataclass(frozen=True)
class _Wall:
    """One side of the room, seen from inside."""

    corner_m: np.ndarray
    """(3,) lower left."""
    along: np.ndarray
    """(3,) unit vector to the right."""
    length_m: float
    openings: tuple[tuple[float, float, float, float], ...]
    """Windows and doors: left, right, bottom, top in the wall."""

    @property
    def yaw_rad(self) -> float:
        """Where furniture in front of it looks."""
        inward = np.cross(self.along, [0.0, 0.0, 1.0])
        return float(np.arctan2(inward[1], inward[0]))

    def at(self, along_m: float, height_m: float, inward_m: float = 0.0) -> np.ndarray:
        """(3,) world place of a point of the wall."""
        inward = np.cross(self.along, [0.0, 0.0, 1.0])
        return self.corner_m + along_m * self.along + inward_m * inward + [0, 0, height_m]


def make_room(rng: np.random.Generator, *, is_roomy: bool = False) -> Scenery:
    """A random room.

    Args:
        rng: everything random comes from it.
        is_roomy: wide, with little in the middle, so that people seldom hide.
    """
    place = Set(rng)
    is_hall = rng.random() < 0.2
    low, high = (8.0, 13.0) if is_hall else (5.0 if is_roomy else 4.2, 8.0)
    size = np.array([rng.uniform(low, high), rng.uniform(low, high)])
    height = rng.uniform(3.2, 5.0) if is_hall else rng.uniform(2.4, 3.0)
    walls = _walls(rng, size, height)
    _floor_and_ceiling(place, size, height)
    wall_texture = place.texture(tx.WALLS[rng.integers(len(tx.WALLS))])
    for wall in walls:
        if rng.random() < 0.2:
            wall_texture = place.texture(tx.WALLS[rng.integers(len(tx.WALLS))])
        _build_wall(place, wall, height, wall_texture)
    _furnish_walls(place, walls, size, crowd=rng.uniform(0.2, 0.6 if is_roomy else 1.0))
    if not is_roomy and rng.random() < 0.65:
        _furnish_middle(place, size, height)
    for wall in walls:
        _decorate(place, wall, height)
    _outside(place, size)
    cloud = place.texture(lambda r: tx.plain(r, np.array([128.0] * 3), 256, 45))
    inner = size / 2 - _MARGIN_M
    stage = Stage(-inner, inner, tuple(place.obstacles), tuple(place.seats), height)
    bounds = np.array([[*(-size / 2), 0.0], [*(size / 2), height]])
    light = _light(rng, size, height)
    return place.finish("hall" if is_hall else "room", light, bounds, stage, cloud)


def _walls(rng: np.random.Generator, size: np.ndarray, height: float) -> list[_Wall]:
    half_x, half_y = size / 2
    frames = (
        ((-half_x, half_y), (1, 0), size[0]),
        ((half_x, half_y), (0, -1), size[1]),
        ((half_x, -half_y), (-1, 0), size[0]),
        ((-half_x, -half_y), (0, 1), size[1]),
    )
    has_window = rng.random(4) < 0.4
    return [
        _Wall(
            np.array([*corner, 0.0]),
            np.array([*along, 0.0]),
            length,
            tuple(_windows(rng, length, height)) if has_window[side] else (),
        )
        for side, (corner, along, length) in enumerate(frames)
    ]


def _windows(rng: np.random.Generator, length: float, height: float) -> list[tuple]:
    sill, top = rng.choice([0.05, 0.4, 0.85, 1.0]), rng.uniform(2.0, min(height - 0.2, 2.4))
    width, gap = rng.uniform(0.8, 1.8), rng.uniform(0.3, 1.0)
    count = max(1, min(int(rng.integers(1, 4)), int((length - 0.8) / (width + gap))))
    left = rng.uniform(0.4, max(length - 0.4 - count * (width + gap), 0.45))
    return [
        (left + i * (width + gap), left + i * (width + gap) + width, sill, top)
        for i in range(count)
    ]


def _build_wall(place: Set, wall: _Wall, height: float, texture: int) -> None:
    """Strips around the openings, frames in them, and a skirting board."""
    repeats, left, strips = 0.5, 0.0, []
    for start, end, sill, top in wall.openings:
        strips += [(left, start, 0.0, height), (start, end, 0.0, sill), (start, end, top, height)]
        left = end
    for start, end, bottom, top in [*strips, (left, wall.length_m, 0.0, height)]:
        if end - start < 1e-6 or top - bottom < 1e-6:
            continue
        shape = panel(
            wall.at(start, bottom), wall.along * (end - start), (0, 0, top - bottom), texture
        )
        # One wallpaper over all strips.
        uv = (shape.uv + np.array([start, height - top])) * repeats
        place.add(
            [Shape(shape.vertices_m, shape.faces, uv, texture)], casts_shadow=bool(wall.openings)
        )
    frame = place.material(tx.plain)
    for start, end, sill, top in wall.openings:
        bars = [(start, start + 0.06, sill, top), (end - 0.06, end, sill, top)]
        bars += [(start, end, sill, sill + 0.06), (start, end, top - 0.06, top)]
        bars += [((start + end) / 2 - 0.025, (start + end) / 2 + 0.025, sill, top)]
        place.add([_on_wall(wall, bar, -0.12, 0.02, frame) for bar in bars])
    if place.rng.random() < 0.6:
        texture = place.material(tx.wood if place.rng.random() < 0.5 else tx.plain)
        skirting = (0.0, wall.length_m, 0.0, 0.08)
        if all(opening[2] > 0.1 for opening in wall.openings):
            place.add([_on_wall(wall, skirting, 0.0, 0.015, texture)], casts_shadow=False)


def _on_wall(
    wall: _Wall,
    area: tuple[float, float, float, float],
    back_m: float,
    front_m: float,
    texture: int,
    repeats_per_m: float | None = 1.0,
) -> Shape:
    """A box over an area (left, right, bottom, top) of a wall, from ``back_m`` to ``front_m``."""
    start, end, bottom, top = area
    a, b = wall.at(start, bottom, back_m), wall.at(end, top, front_m)
    return box(np.minimum(a, b), np.maximum(a, b), texture, repeats_per_m)


def _floor_and_ceiling(place: Set, size: np.ndarray, height: float) -> None:
    rng, (x, y) = place.rng, size / 2
    floor = place.texture(tx.FLOORS[rng.integers(len(tx.FLOORS))])
    repeats = rng.uniform(0.35, 0.7)
    along = (2 * x, 0, 0), (0, 2 * y, 0)
    place.add([panel((-x, -y, 0), *along, floor, repeats)], casts_shadow=False)
    ceiling = place.texture(tx.plaster if rng.random() < 0.7 else tx.tiles)
    place.add([panel((-x, y, height), (2 * x, 0, 0), (0, -2 * y, 0), ceiling, 0.6)], False)
    if rng.random() < 0.45:
        half = rng.uniform(0.6, 0.35 * size, 2)
        corner = rng.uniform(-size / 2 + half + 0.1, size / 2 - half - 0.1) - half
        mat = panel(
            (*corner, 0.004), (2 * half[0], 0, 0), (0, 2 * half[1], 0), place.texture(tx.rug), None
        )
        place.add([mat], casts_shadow=False)
    white = place.texture(lambda r: tx.plain(r, np.array([250.0, 246, 238]), spots=1))
    for _ in range(rng.integers(0, 4)):
        u, v = rng.uniform(-0.35, 0.35, 2) * size
        if rng.random() < 0.5:
            lamp = box((-0.3, -0.3, height - 0.05), (0.3, 0.3, height), white)
        else:
            drop = rng.uniform(0.1, 0.5)
            cord = cylinder(0.01, height - drop, height, white)
            place.add([cord.placed(u, v)], casts_shadow=False)
            lamp = lathe([(0.22, height - drop - 0.2), (0.08, height - drop)], white)
        place.add([lamp.placed(u, v)], casts_shadow=False)


def _furnish_walls(place: Set, walls: list[_Wall], size: np.ndarray, crowd: float) -> None:
    rng = place.rng
    makers, weights = zip(*_AT_WALLS, strict=True)
    weights = np.array(weights) / np.sum(weights)
    for _ in range(int(crowd * size.sum())):
        wall = walls[rng.integers(4)]
        piece = makers[rng.choice(len(makers), p=weights)](place)
        width = piece.high_m[1] - piece.low_m[1]
        if width + 0.2 > wall.length_m:
            continue
        along = rng.uniform(width / 2 + 0.05, wall.length_m - width / 2 - 0.05)
        hides = any(
            start < along + width / 2 and end > along - width / 2 and piece.height_m > sill + 0.1
            for start, end, sill, _ in wall.openings
        )
        spot = wall.at(along, 0.0, 0.03 - piece.low_m[0])
        if not hides:
            _try_to_put(place, piece, spot[0], spot[1], wall.yaw_rad, margin_m=0.06)


def _furnish_middle(place: Set, size: np.ndarray, height: float) -> None:
    """A table with chairs, or a few single pieces away from the walls."""
    rng = place.rng
    free = size / 2 - 1.2
    if rng.random() < 0.6:
        x, y = rng.uniform(-free, free)
        quarter = float(rng.choice([0.0, np.pi / 2]))
        piece = fu.table(place)
        if _try_to_put(place, piece, x, y, quarter, margin_m=0.7) and piece.height_m > 0.6:
            low, high = footprint(piece, x, y, quarter)
            for direction in rng.permutation(4)[: rng.integers(1, 5)]:
                angle = direction * np.pi / 2
                outward = np.array([np.cos(angle), np.sin(angle)])
                spot = np.array([x, y]) + outward * ((high - low) / 2 + rng.uniform(0.12, 0.4))
                _try_to_put(place, fu.chair(place), *spot, angle + np.pi, margin_m=-0.3)
    singles = [fu.chair, fu.sofa, fu.crates, fu.plant, fu.bench]
    for _ in range(rng.integers(0, 3)):
        x, y = rng.uniform(-free, free)
        if rng.random() < 0.2:
            piece = fu.pillar(place, height)
        else:
            piece = singles[rng.integers(len(singles))](place)
        quarter = float(rng.integers(4)) * np.pi / 2
        _try_to_put(place, piece, x, y, quarter, margin_m=0.7)


def _try_to_put(
    place: Set, piece: Piece, x: float, y: float, yaw_rad: float, margin_m: float
) -> bool:
    low, high = footprint(piece, x, y, yaw_rad)
    if not place.is_free(low, high, margin_m):
        return False
    place.put(piece, float(x), float(y), yaw_rad)
    return True


def _decorate(place: Set, wall: _Wall, height: float) -> None:
    """A door, pictures, curtains: what hangs on a wall."""
    rng = place.rng
    taken = [(start - 0.2, end + 0.2) for start, end, *_ in wall.openings]

    def find(width: float) -> float | None:
        for _ in range(8):
            left = rng.uniform(0.1, max(wall.length_m - width - 0.1, 0.11))
            if left + width < wall.length_m and all(
                left + width < start or left > end for start, end in taken
            ):
                taken.append((left, left + width))
                return left
        return None

    if rng.random() < 0.45 and (left := find(width := rng.uniform(0.8, 1.0))) is not None:
        trim = place.material(tx.plain)
        area = (left - 0.07, left + width + 0.07, 0.0, 2.12)
        place.add([_on_wall(wall, area, 0.0, 0.02, trim)], casts_shadow=False)
        leaf = panel(
            wall.at(left, 0.0, 0.025),
            wall.along * width,
            (0, 0, 2.05),
            place.texture(tx.door),
            None,
        )
        place.add([leaf], casts_shadow=False)
    for _ in range(rng.integers(0, 4)):
        width, tall = rng.uniform(0.25, 1.2), rng.uniform(0.25, 0.9)
        if (left := find(width)) is None:
            continue
        bottom = rng.uniform(1.1, max(1.15, min(1.9, height - tall - 0.2)))
        area = (left, left + width, bottom, bottom + tall)
        place.add([_on_wall(wall, area, 0.0, 0.025, place.material(tx.wood))], casts_shadow=False)
        picture = place.material(tx.art if rng.random() < 0.7 else tx.poster)
        inner = panel(
            wall.at(left + 0.03, bottom + 0.03, 0.028),
            wall.along * (width - 0.06),
            (0, 0, tall - 0.06),
            picture,
            None,
        )
        place.add([inner], casts_shadow=False)
    if wall.openings and rng.random() < 0.5:
        cloth = place.material(tx.stripes if rng.random() < 0.4 else tx.plain)
        for start, end, _, top in wall.openings:
            for left, right in ((start - 0.35, start + 0.12), (end - 0.12, end + 0.35)):
                place.add([_curtain(wall, left, right, top + 0.12, cloth)])


def _curtain(wall: _Wall, left: float, right: float, top: float, texture: int) -> Shape:
    along = np.linspace(left, right, 25)
    depth = 0.07 + 0.035 * np.sin(along * 45)
    rows = [[wall.at(a, z, d) for a, d in zip(along, depth, strict=True)] for z in (0.03, top)]
    return sheet(np.array(rows), texture, (2.0, 3.0))


def _outside(place: Set, size: np.ndarray) -> None:
    """What windows show: ground far below or just outside, and houses."""
    rng = place.rng
    ground = place.texture(tx.GROUNDS[rng.integers(len(tx.GROUNDS))])
    drop = float(rng.choice([0.15, 0.15, 3.0, 9.0]))
    place.add([panel((-60, -60, -drop), (120, 0, 0), (0, 120, 0), ground, 0.3)], False)
    front = place.texture(tx.facade)
    for angle in rng.uniform(0, 2 * np.pi, 5):
        x, y = (size.max() + rng.uniform(8, 25)) * np.array([np.cos(angle), np.sin(angle)])
        half, top = rng.uniform(3, 7), rng.uniform(3, 14)
        house = box((x - half, y - half, -drop), (x + half, y + half, top), front, 0.35)
        place.add([house], casts_shadow=False)


def _light(rng: np.random.Generator, size: np.ndarray, height: float) -> Lighting:
    """A wide light from above or low sun through the windows, and a lamp."""
    elevation, azimuth = rng.uniform(0.7, 1.45), rng.uniform(0, 2 * np.pi)
    direction = toward_sun(elevation, azimuth)
    warmth = rng.uniform(0.75, 1.0)
    warm = np.array([1.0, 0.5 + 0.5 * warmth, warmth])
    cool = np.array([rng.uniform(0.85, 1.0), 0.97, 1.0])
    lamp = np.array([*(rng.uniform(-0.4, 0.4, 2) * size), height - rng.uniform(0.1, 0.6)])
    return Lighting(
        sun_direction=direction,
        sun_color=warm * rng.uniform(0.15, 0.8),
        sun_softness=rng.uniform(1.0, 6.0),
        lamp_m=lamp,
        lamp_color=warm * rng.uniform(0.3, 2.2),
        ambient_up=cool * rng.uniform(0.3, 0.7),
        ambient_down=cool * rng.uniform(0.15, 0.4),
        horizon_color=np.array([0.85, 0.9, 0.95]) * rng.uniform(0.8, 1.6),
        zenith_color=np.array([0.35, 0.55, 0.9]) * rng.uniform(0.6, 1.2),
        cloud_cover=rng.uniform(0, 1),
        haze_per_m=0.0,
    )
