"""What stands outdoors: cars, trees, hedges, poles, bins; every piece has its front towards +x."""

import numpy as np

from human3r_lab.synth import textures as tx
from human3r_lab.synth.furniture import block
from human3r_lab.synth.scenery import Piece, Set
from human3r_lab.synth.shapes import blob, box, cylinder, lathe, prism


def car(place: Set) -> Piece:
    """A parked car: body, cabin, wheels."""
    length, width = place.rng.uniform(3.7, 4.7), place.rng.uniform(1.65, 1.85)
    paint = place.texture(lambda r: tx.plain(r, tx.random_color(r, (0, 0.9), (0.1, 0.95)), spots=1))
    glass = place.texture(lambda r: tx.plain(r, np.array([35.0, 42, 50]), spots=2))
    rubber = place.texture(lambda r: tx.plain(r, np.array([25.0, 25, 27]), spots=2))
    half = length / 2
    body = [(-half, 0.3), (half, 0.3), (half, 0.62), (0.55 * half, 0.82), (-half + 0.1, 0.88)]
    cabin = [(-0.85 * half, 0.86), (0.45 * half, 0.82), (0.15 * half, 1.42), (-0.6 * half, 1.45)]
    roof = [(-0.6 * half, 1.44), (0.15 * half, 1.41), (0.13 * half, 1.47), (-0.58 * half, 1.49)]
    # An outline is drawn in x and y; tipping it up makes y the height and z the width.
    tip = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    shapes = [
        prism(np.array(outline), -share * width / 2, share * width / 2, texture).turned(tip)
        for outline, share, texture in (
            (body, 1.0, paint), (cabin, 0.84, glass), (roof, 0.84, paint)
        )
    ]  # fmt: skip
    for x in (-0.62 * half, 0.62 * half):
        for y in (-width / 2 + 0.1, width / 2 - 0.1):
            wheel = lathe([(0, -0.11), (0.31, -0.11), (0.31, 0.11), (0, 0.11)], rubber, 16)
            shapes.append(wheel.turned(tip).placed(x, y, 0.31))
    return block(shapes, length, width, 1.5)


def tree(place: Set) -> Piece:
    """A trunk under a crown of blobs, or a conifer."""
    rng, height = place.rng, place.rng.uniform(3.0, 7.0)
    green, wood = place.material(tx.leaves), place.material(tx.bark)
    r = 0.03 * height
    if rng.random() < 0.3:
        shapes = [cylinder(r, 0, 0.3 * height, wood)]
        for z in (0.2, 0.45, 0.7):
            cone = [((1.1 - z) * 0.3 * height, z * height), (0.0, (z + 0.35) * height)]
            shapes.append(lathe(cone, green, 12, (4.0, 2.0)))
    else:
        trunk = [(1.4 * r, 0), (r, 0.3), (0.7 * r, 0.55 * height)]
        shapes = [lathe(trunk, wood, 10, (1.0, 3.0))]
        for _ in range(rng.integers(3, 7)):
            size = height * rng.uniform(0.14, 0.24, 3)
            x, y = rng.normal(0, 0.1 * height, 2)
            crown = blob(rng, size, green, 0.25)
            shapes.append(crown.placed(x, y, height * rng.uniform(0.55, 0.8)))
    return block(shapes, 3 * r, 3 * r, height)


def hedge(place: Set) -> Piece:
    """A row of bushes."""
    rng, width, height = place.rng, place.rng.uniform(1.0, 3.5), place.rng.uniform(0.6, 1.8)
    green, shapes = place.material(tx.leaves), []
    for y in np.arange(-width / 2, width / 2, 0.45):
        bush = blob(rng, np.array([0.4, 0.42, height * 0.6]), green, 0.2)
        shapes.append(bush.placed(0, y + 0.22, height * 0.45))
    return block(shapes, 0.9, width, height)


def pole(place: Set) -> Piece:
    """A street lamp or a sign."""
    rng, metal = place.rng, place.material(tx.metal)
    if rng.random() < 0.5:
        height = rng.uniform(3.5, 6.0)
        shapes = [
            cylinder(0.06, 0, height, metal),
            box((0, -0.05, height - 0.1), (0.9, 0.05, height), metal),
        ]
    else:
        height, sign = rng.uniform(2.2, 2.8), place.texture(tx.poster)
        shapes = [cylinder(0.04, 0, height, metal)]
        shapes.append(box((0.04, -0.3, height - 0.7), (0.06, 0.3, height - 0.1), sign, None))
    return block(shapes, 0.3, 0.3, height)


def bin_(place: Set) -> Piece:
    """A litter bin or a bollard."""
    rng, texture = place.rng, place.material(tx.metal)
    if rng.random() < 0.5:
        height = rng.uniform(0.7, 1.1)
        shapes = [box((-0.28, -0.3, 0.05), (0.28, 0.3, height), place.material(tx.plain))]
        shapes.append(box((-0.3, -0.32, height), (0.3, 0.32, height + 0.06), texture))
    else:
        height = rng.uniform(0.6, 1.0)
        shapes = [cylinder(rng.uniform(0.08, 0.25), 0, height, texture)]
    return block(shapes, 0.6, 0.64, height)
