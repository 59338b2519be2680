"""Outdoor lots: ground and roads, house fronts, walls, trees, parked cars, sky."""

import numpy as np

from human3r_lab.synth import furniture as fu
from human3r_lab.synth import street
from human3r_lab.synth import textures as tx
from human3r_lab.synth.lighting import Lighting, toward_sun
from human3r_lab.synth.scenery import Scenery, Set, footprint
from human3r_lab.synth.shapes import Shape, blob, box, panel, prism
from human3r_lab.synth.stage import Stage

_AROUND = (
    (street.tree, 5), (street.hedge, 3), (street.pole, 2), (street.bin_, 2), (street.car, 3),
    (fu.bench, 3), (fu.crates, 1),
)  # fmt: skip


def make_lot(rng: np.random.Generator, *, is_roomy: bool = False) -> Scenery:
    """A random place outdoors, people in its middle.

    Args:
        rng: everything random comes from it.
        is_roomy: nothing stands in the middle.
    """
    place = Set(rng)
    half = rng.uniform(4.0, 6.5, 2)
    _ground(place, half)
    _houses(place, half)
    _things(place, half, is_roomy)
    _hills(place)
    cloud = place.texture(lambda r: tx.plain(r, np.array([128.0] * 3), 256, 45))
    stage = Stage(-half, half, tuple(place.obstacles), tuple(place.seats))
    reach = half + 2.5
    bounds = np.array([[*-reach, 0.0], [*reach, 5.0]])
    return place.finish("lot", _light(rng), bounds, stage, cloud)


def _ground(place: Set, half: np.ndarray) -> None:
    """The plane, and a square, a road or a path on it."""
    rng = place.rng
    wide = place.texture(tx.GROUNDS[rng.integers(len(tx.GROUNDS))])
    place.add([panel((-80, -80, 0), (160, 0, 0), (0, 160, 0), wide, rng.uniform(0.3, 0.6))], False)
    kind = rng.integers(4)
    if kind == 0:
        square = place.texture(tx.GROUNDS[1 + rng.integers(len(tx.GROUNDS) - 1)])
        x, y = half * rng.uniform(0.6, 1.6, 2)
        place.add([panel((-x, -y, 0.003), (2 * x, 0, 0), (0, 2 * y, 0), square, 0.5)], False)
    elif kind <= 2:
        width, y = rng.uniform(2.5, 6.0), rng.uniform(-1, 1) * half[1]
        road, kerb = place.texture(tx.asphalt), place.texture(tx.paving)
        line = place.texture(tx.road_mark)
        for low, wide_m, z, texture in (
            (y - width / 2 - 1.8, width + 3.6, 0.002, kerb),
            (y - width / 2, width, 0.004, road),
            (y - 0.45, 0.9, 0.006, line),
        ):
            strip = panel((-80, low, z), (160, 0, 0), (0, wide_m, 0), texture, 0.5)
            place.add([strip], casts_shadow=False)


def _houses(place: Set, half: np.ndarray) -> None:
    """House fronts on some sides and low walls or fences on others."""
    rng = place.rng
    for side in range(4):
        outward = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])[side]
        distance = np.abs(outward) @ half + rng.uniform(0.8, 12.0)
        kind = rng.random()
        if kind < 0.5:
            along = -30.0
            while along < 30.0:
                width, depth = rng.uniform(6, 14), rng.uniform(5, 9)
                _house(place, outward, distance, along, width, depth)
                along += width + (rng.uniform(1, 6) if rng.random() < 0.5 else 0.0)
        elif kind < 0.8:
            height = rng.uniform(0.6, 2.4)
            texture = place.texture((tx.brick, tx.concrete, tx.wood, tx.paving)[rng.integers(4)])
            place.add([_slab(outward, distance, -30, 30, 0.25, height, texture)])


def _slab(
    outward: np.ndarray,
    distance: float,
    start: float,
    end: float,
    depth: float,
    height: float,
    texture: int,
    bottom: float = 0.0,
) -> Shape:
    """A box along one side of the lot, its inner face ``distance`` away."""
    side = np.array([-outward[1], outward[0]])
    a, b = outward * distance + side * start, outward * (distance + depth) + side * end
    return box((*np.minimum(a, b), bottom), (*np.maximum(a, b), height), texture, 0.35)


def _house(
    place: Set, outward: np.ndarray, distance: float, along: float, width: float, depth: float
) -> None:
    rng = place.rng
    front = place.material(tx.facade)
    floors = int(rng.integers(1, 5))
    place.add([_slab(outward, distance, along, along + width, depth, floors * 2.86, front)])
    side = np.array([-outward[1], outward[0]])
    roof = place.material(tx.paving)
    if rng.random() < 0.6:
        rise = rng.uniform(1.5, 3.0)
        gable = np.array([(-0.3, 0.0), (depth + 0.3, 0.0), (depth / 2, rise)])
        ridge = prism(gable, along, along + width, roof, 0.6)
        # Outline x goes outward, its y up, the extrusion along the street.
        frame = np.stack([[*outward, 0.0], [0.0, 0.0, 1.0], [*side, 0.0]], 1)
        top = (*(outward * distance), floors * 2.86)
        place.add([ridge.turned(frame).placed(*top)])
    door, left = place.material(tx.door), along + rng.uniform(0.5, width - 1.5)
    flat = outward * (distance - 0.02) + side * left
    leaf = panel((*flat, 0.0), (*side, 0.0), (0, 0, 2.1), door, None)
    place.add([leaf], casts_shadow=False)


def _things(place: Set, half: np.ndarray, is_roomy: bool) -> None:
    rng = place.rng
    makers, weights = zip(*_AROUND, strict=True)
    weights = np.array(weights) / np.sum(weights)
    for _ in range(rng.integers(5, 16)):
        piece = makers[rng.choice(len(makers), p=weights)](place)
        radius = rng.uniform(0.3 if not is_roomy else 0.95, 2.2)
        angle = rng.uniform(0, 2 * np.pi)
        x, y = radius * half * [np.cos(angle), np.sin(angle)]
        yaw = rng.integers(4) * np.pi / 2
        if piece.seats:
            yaw = np.round((angle + np.pi) / (np.pi / 2)) * np.pi / 2
        low, high = footprint(piece, x, y, yaw)
        if place.is_free(low, high, 0.8):
            place.put(piece, x, y, yaw)


def _hills(place: Set) -> None:
    """Something on the horizon: hills or far trees."""
    rng, green = place.rng, place.material(tx.leaves)
    for angle in rng.uniform(0, 2 * np.pi, rng.integers(4, 14)):
        far, size = rng.uniform(45, 75), rng.uniform(5, 16)
        hill = blob(rng, np.array([1.6 * size, 1.6 * size, 0.6 * size]), green, 0.1)
        shape = hill.placed(far * np.cos(angle), far * np.sin(angle))
        place.add([shape], casts_shadow=False)


def _light(rng: np.random.Generator) -> Lighting:
    """Clear, hazy or overcast day, or a low sun."""
    elevation, azimuth = rng.uniform(0.25, 1.35), rng.uniform(0, 2 * np.pi)
    direction = toward_sun(elevation, azimuth)
    overcast = rng.uniform(0, 1)
    low_sun = np.array([1.0, 0.72 + 0.25 * elevation / 1.35, 0.5 + 0.45 * elevation / 1.35])
    sky = np.array([0.75, 0.85, 1.0]) * (1 - overcast) + np.array([0.92, 0.95, 1.0]) * overcast
    return Lighting(
        sun_direction=direction,
        sun_color=low_sun * (1.3 * (1 - overcast) ** 0.7 + 0.03),
        sun_softness=0.7 + 2.0 * overcast,
        lamp_m=np.array([0.0, 0.0, 50.0]),
        lamp_color=np.zeros(3),
        ambient_up=sky * (0.3 + 0.45 * overcast),
        ambient_down=np.array([0.9, 0.85, 0.75]) * rng.uniform(0.12, 0.3),
        horizon_color=sky * rng.uniform(0.75, 1.1),
        zenith_color=np.array([0.2, 0.4, 0.85]) * (1 - overcast) * 0.9 + sky * overcast * 0.8,
        cloud_cover=overcast,
        haze_per_m=float(rng.choice([0.0, 0.0, rng.uniform(0, 0.004), rng.uniform(0, 0.015)])),
    )
