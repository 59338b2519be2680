"""Furniture from boxes, prisms and solids of revolution; every piece has its front towards +x."""

import numpy as np

from human3r_lab.synth import textures as tx
from human3r_lab.synth.scenery import Piece, Set
from human3r_lab.synth.shapes import Shape, blob, box, cylinder, lathe, panel, sheet


def _legs(depth: float, width: float, top: float, thick: float, texture: int) -> list[Shape]:
    """Four legs inside a rectangle around the origin."""
    shapes = []
    for x in (-depth / 2, depth / 2 - thick):
        for y in (-width / 2, width / 2 - thick):
            shapes.append(box((x, y, 0), (x + thick, y + thick, top), texture))
    return shapes


def block(piece_shapes: list[Shape], depth: float, width: float, height: float, **more) -> Piece:
    """A piece whose footprint is a rectangle around the origin."""
    return Piece(piece_shapes, (-depth / 2, -width / 2), (depth / 2, width / 2), height, **more)


def small_object(place: Set, z: float) -> Shape:
    """Something that stands on a table: a box, a bottle, a bowl, a cup, a book."""
    rng, kind = place.rng, place.rng.integers(5)
    texture = place.material(tx.plain)
    if kind == 0:
        size = rng.uniform([0.05, 0.05, 0.04], [0.2, 0.25, 0.3])
        shape = box((-size[0] / 2, -size[1] / 2, 0), (size[0] / 2, size[1] / 2, size[2]), texture)
    elif kind == 1:
        r, h = rng.uniform(0.03, 0.05), rng.uniform(0.2, 0.32)
        profile = [(0, 0), (r, 0), (r, 0.6 * h), (0.3 * r, 0.8 * h), (0.3 * r, h), (0, h)]
        shape = lathe(profile, texture, 10)
    elif kind == 2:
        r = rng.uniform(0.07, 0.16)
        shape = lathe(
            [(0.4 * r, 0), (0.8 * r, 0.25 * r), (r, 0.7 * r), (0.8 * r, 0.4 * r)], texture
        )
    elif kind == 3:
        shape = cylinder(rng.uniform(0.03, 0.06), 0, rng.uniform(0.08, 0.14), texture)
    else:
        art = place.material(tx.poster)
        shape = box((-0.1, -0.14, 0), (0.1, 0.14, rng.uniform(0.01, 0.06)), art, None)
    return shape.placed(0, 0, z, rng.uniform(0, 6.3))


def _set_objects(place: Set, shapes: list[Shape], depth: float, width: float, z: float) -> None:
    for _ in range(place.rng.integers(0, 6)):
        x = place.rng.uniform(-0.38, 0.38) * depth
        y = place.rng.uniform(-0.42, 0.42) * width
        shapes.append(small_object(place, z).placed(x, y))


def table(place: Set) -> Piece:
    """A dining or coffee table with things on it."""
    rng = place.rng
    low = rng.random() < 0.3
    top = rng.uniform(0.38, 0.5) if low else rng.uniform(0.7, 0.78)
    depth, width = rng.uniform(0.6, 1.0), rng.uniform(0.8, 1.8)
    texture = place.material(tx.wood if rng.random() < 0.6 else tx.plain)
    if rng.random() < 0.3:
        r = rng.uniform(0.35, 0.65)
        shapes = [cylinder(r, top - 0.04, top, texture), cylinder(0.05, 0, top, texture)]
        shapes.append(lathe([(0.6 * r, 0), (0.06, 0.05)], texture))
        depth = width = 2 * r
    else:
        half = depth / 2, width / 2
        shapes = [box((-half[0], -half[1], top - 0.04), (*half, top), texture)]
        shapes += _legs(depth, width, top - 0.04, 0.06, texture)
    _set_objects(place, shapes, depth * 0.7, width * 0.7, top)
    return block(shapes, depth, width, top)


def desk(place: Set) -> Piece:
    """A desk with a display."""
    rng, depth, width, top = place.rng, 0.7, place.rng.uniform(1.1, 1.7), 0.73
    texture = place.material(tx.wood)
    shapes = [box((-depth / 2, -width / 2, top - 0.03), (depth / 2, width / 2, top), texture)]
    for y in (-width / 2, width / 2 - 0.03):
        shapes.append(box((-depth / 2, y, 0), (depth / 2, y + 0.03, top - 0.03), texture))
    dark = place.material(tx.metal)
    w, z = rng.uniform(0.45, 0.65), top + 0.1
    shapes.append(box((-0.2, -0.12, top), (0.0, 0.12, top + 0.02), dark))
    shapes.append(box((-0.13, -0.03, top), (-0.1, 0.03, z + 0.1), dark))
    shapes.append(box((-0.12, -w / 2, z), (-0.09, w / 2, z + 0.6 * w), dark))
    display = place.texture(tx.screen)
    shapes.append(
        panel((-0.085, -w / 2 + 0.01, z + 0.01), (0, w - 0.02, 0), (0, 0, 0.6 * w), display, None)
    )
    shapes.append(box((0.05, -0.22, top), (0.2, 0.22, top + 0.02), dark))
    _set_objects(place, shapes, depth * 0.5, width, top)
    return block(shapes, depth, width, 1.15)


def chair(place: Set) -> Piece:
    """A chair, or a stool without a back."""
    rng, size, seat = place.rng, place.rng.uniform(0.42, 0.5), place.rng.uniform(0.43, 0.48)
    frame = place.material(tx.wood if rng.random() < 0.6 else tx.metal)
    cover = place.material(tx.plaid if rng.random() < 0.3 else tx.plain)
    half = size / 2
    shapes = [box((-half, -half, seat - 0.05), (half, half, seat), cover, 2.0)]
    if rng.random() < 0.25:
        shapes += [cylinder(0.03, 0.05, seat - 0.05, frame), cylinder(0.27, 0.03, 0.06, frame)]
    else:
        shapes += _legs(size, size, seat - 0.05, 0.04, frame)
    height = seat
    if rng.random() < 0.85:
        height = seat + rng.uniform(0.4, 0.55)
        shapes.append(box((-half, -half, seat + 0.1), (-half + 0.04, half, height), cover, 2.0))
        for y in (-half, half - 0.04):
            shapes.append(box((-half, y, seat), (-half + 0.04, y + 0.04, height), frame))
    return block(shapes, size, size, height, seats=[(0.02, 0.0, seat)])


def sofa(place: Set) -> Piece:
    """An armchair or a sofa with cushions, one seat per cushion."""
    rng, count = place.rng, int(place.rng.choice([1, 2, 2, 3]))
    arm, unit = rng.uniform(0.12, 0.22), rng.uniform(0.58, 0.7)
    width, depth = count * unit + 2 * arm, rng.uniform(0.85, 0.98)
    seat, back = rng.uniform(0.4, 0.46), rng.uniform(0.75, 0.95)
    cloth = place.material(tx.CLOTHS[rng.integers(len(tx.CLOTHS))])
    x0, x1, y0, y1 = -depth / 2, depth / 2, -width / 2, width / 2
    shapes = [
        box((x0, y0, 0.06), (x1, y1, seat - 0.12), cloth),
        box((x0, y0, seat - 0.12), (x0 + 0.24, y1, back), cloth),
    ]
    for y in (y0, y1 - arm):
        shapes.append(box((x0, y, seat - 0.12), (x1, y + arm, seat + 0.18), cloth))
    seats = []
    for index in range(count):
        left = y0 + arm + index * unit
        shapes.append(
            box((x0 + 0.24, left + 0.01, seat - 0.12), (x1 + 0.02, left + unit - 0.01, seat), cloth)
        )
        seats.append((x0 + 0.24 + 0.28, left + unit / 2, seat))
        if rng.random() < 0.3:
            other = place.material(tx.plaid)
            cushion = box((-0.06, -0.2, 0), (0.06, 0.2, 0.38), other, 2.0)
            lean = np.array([[0.94, 0, -0.34], [0, 1, 0], [0.34, 0, 0.94]])
            shapes.append(cushion.turned(lean).placed(x0 + 0.4, left + unit / 2, seat))
            seats.pop()
    return block(shapes, depth, width, back, seats=seats)


def bed(place: Set) -> Piece:
    """A bed, its head at the wall; two people can sit on its foot."""
    rng, width, depth, top = place.rng, place.rng.uniform(0.9, 1.8), 2.0, 0.48
    frame, cloth = place.material(tx.wood), place.material(tx.plaid)
    sheet_ = place.material(tx.plain)
    x0, y0, x1, y1 = -depth / 2, -width / 2, depth / 2, width / 2
    shapes = [
        box((x0, y0, 0.1), (x1, y1, 0.3), frame),
        *_legs(depth, width, 0.1, 0.06, frame),
        box((x0, y0, 0.1), (x0 + 0.05, y1, rng.uniform(0.7, 1.1)), frame),
        box((x0 + 0.05, y0 + 0.02, 0.3), (x1 - 0.02, y1 - 0.02, top - 0.03), sheet_),
        box((x0 + 0.6, y0 - 0.02, top - 0.2), (x1, y1 + 0.02, top), cloth),
    ]
    for y in np.linspace(y0, y1, 1 + int(width > 1.3) + 1)[:-1]:
        shapes.append(box((x0 + 0.1, y + 0.1, top - 0.05), (x0 + 0.5, y + 0.7, top + 0.08), sheet_))
    return block(shapes, depth, width, 0.9, seats=[(x1 - 0.25, 0.0, top)])


def shelf(place: Set) -> Piece:
    """A book case, open or seen as a picture of spines."""
    rng, width, height = place.rng, place.rng.uniform(0.6, 1.6), place.rng.uniform(0.8, 2.2)
    depth, wood = rng.uniform(0.25, 0.4), place.material(tx.wood)
    x0, x1, y0, y1 = -depth / 2, depth / 2, -width / 2, width / 2
    boards = max(2, round(height / 0.38))
    shapes = [box((x0, y0, 0), (x0 + 0.02, y1, height), wood)]
    for y in (y0, y1 - 0.03):
        shapes.append(box((x0, y, 0), (x1, y + 0.03, height), wood))
    for z in np.linspace(0.0, height - 0.03, boards + 1):
        shapes.append(box((x0, y0, z), (x1, y1, z + 0.03), wood))
    if rng.random() < 0.6:
        spines = place.material(tx.books)
        corner = (x1 - 0.05, y0 + 0.03, 0.03)
        repeats = 0.25 * boards / height
        shapes.append(panel(corner, (0, width - 0.06, 0), (0, 0, height - 0.06), spines, repeats))
    else:
        for z in np.linspace(0.0, height - 0.03, boards + 1)[:-1]:
            for y in rng.uniform(y0 + 0.15, y1 - 0.15, rng.integers(0, 4)):
                shapes.append(small_object(place, z + 0.03).placed(0, y))
    return block(shapes, depth, width, height)


def cabinet(place: Set) -> Piece:
    """A cupboard, wardrobe, chest of drawers or kitchen counter."""
    rng = place.rng
    height = float(
        rng.choice([rng.uniform(0.5, 0.9), rng.uniform(0.85, 0.95), rng.uniform(1.7, 2.2)])
    )
    depth, columns = rng.uniform(0.4, 0.62), int(rng.integers(1, 5))
    width, rows = columns * rng.uniform(0.4, 0.6), 1 if height > 1.2 else int(rng.integers(1, 5))
    wood = place.material(tx.wood if rng.random() < 0.5 else tx.plain)
    face = place.texture(lambda r: tx.front(r, columns, rows))
    x1, y0 = depth / 2, -width / 2
    shapes = [
        box((-x1, y0, 0), (x1, -y0, height), wood),
        panel((x1 + 0.004, y0, 0.05), (0, width, 0), (0, 0, height - 0.08), face, None),
        box((-x1, y0 - 0.01, height), (x1 + 0.02, -y0 + 0.01, height + 0.02), wood),
    ]
    if height < 1.2:
        _set_objects(place, shapes, depth, width, height + 0.02)
    return block(shapes, depth, width, height)


def television(place: Set) -> Piece:
    """A large display on a low board."""
    base = place.rng.uniform(1.2, 1.8)
    board = box((-0.2, -base / 2, 0.05), (0.2, base / 2, 0.45), place.material(tx.wood))
    width, dark = base * 0.8, place.material(tx.metal)
    shapes = [board, box((-0.03, -width / 2, 0.5), (0.02, width / 2, 0.5 + 0.57 * width), dark)]
    face = place.texture(tx.screen)
    shapes.append(panel((0.025, -width / 2, 0.51), (0, width, 0), (0, 0, 0.56 * width), face, None))
    return block(shapes, 0.4, base, 0.5 + 0.57 * width)


def plant(place: Set) -> Piece:
    """A pot with long leaves or a small bush."""
    rng, pot = place.rng, place.material(tx.plain)
    r, h = rng.uniform(0.12, 0.2), rng.uniform(0.2, 0.4)
    shapes = [lathe([(0.7 * r, 0), (r, h), (0.85 * r, h), (0.8 * r, h - 0.05), (0, h - 0.05)], pot)]
    green, height = place.material(tx.leaves), rng.uniform(0.5, 1.4)
    if rng.random() < 0.4:
        size = rng.uniform(0.25, 0.4)
        crown = blob(rng, np.array([size, size, height * 0.4]), green, 0.35)
        shapes += [cylinder(0.02, h - 0.05, h + height * 0.4, place.material(tx.bark))]
        shapes.append(crown.placed(0, 0, h + height * 0.6))
        return block(shapes, 2 * size, 2 * size, h + height)
    for angle in rng.uniform(0, 2 * np.pi, rng.integers(12, 26)):
        reach, rise = rng.uniform(0.1, 0.45), rng.uniform(0.5, 1.0) * height
        t = np.linspace(0, 1, 5)[:, None]
        spine = np.c_[reach * t**1.5, 0 * t, h - 0.05 + rise * (1.6 * t - 0.7 * t**2)]
        half = 0.05 * np.sin(np.pi * np.clip(t + 0.05, 0, 1)) + 0.004
        leaf = np.stack([spine - half * [0, 1, 0], spine + half * [0, 1, 0]], 1)
        shapes.append(sheet(leaf, green).placed(yaw_rad=angle))
    return block(shapes, 0.6, 0.6, h + height)


def floor_lamp(place: Set) -> Piece:
    """A pole with a shade."""
    rng, height, metal = place.rng, place.rng.uniform(1.4, 1.8), place.material(tx.metal)
    shade = place.texture(lambda r: tx.plain(r, np.array([240.0, 230, 205]), spots=2))
    r = rng.uniform(0.15, 0.25)
    cone = [(r, height - 0.25), (rng.uniform(0.5, 0.9) * r, height)]
    shapes = [cylinder(0.015, 0, height - 0.1, metal), cylinder(0.14, 0, 0.03, metal)]
    return block([*shapes, lathe(cone, shade)], 0.3, 0.3, height)


def crates(place: Set) -> Piece:
    """A stack of cardboard boxes."""
    rng, shapes, z = place.rng, [], 0.0
    for _ in range(rng.integers(1, 4)):
        size = rng.uniform([0.3, 0.3, 0.2], [0.55, 0.6, 0.5])
        carton = box((-size[0] / 2, -size[1] / 2, z), (*(size[:2] / 2), z + size[2]), 0, None)
        carton = Shape(carton.vertices_m, carton.faces, carton.uv, place.material(tx.cardboard))
        shapes.append(carton.placed(yaw_rad=rng.uniform(-0.25, 0.25)))
        z += size[2]
    return block(shapes, 0.65, 0.7, z)


def pillar(place: Set, height_m: float) -> Piece:
    """A column up to the ceiling, round or square."""
    r, texture = place.rng.uniform(0.12, 0.25), place.material(tx.concrete)
    if place.rng.random() < 0.5:
        shape = lathe([(r, 0), (r, height_m)], texture, 16, (2.0, 3.0))
    else:
        shape = box((-r, -r, 0), (r, r, height_m), texture)
    return block([shape], 2 * r, 2 * r, height_m)


def bench(place: Set) -> Piece:
    """A bench of boards with two or three seats."""
    rng, width, wood = place.rng, place.rng.uniform(1.2, 1.8), place.material(tx.wood)
    metal = place.material(tx.metal)
    shapes = [box((-0.22, -width / 2, 0.41), (0.22, width / 2, 0.45), wood)]
    for y in (-width / 2 + 0.1, width / 2 - 0.16):
        shapes.append(box((-0.2, y, 0), (0.2, y + 0.06, 0.41), metal))
    if rng.random() < 0.6:
        shapes.append(box((-0.26, -width / 2, 0.6), (-0.22, width / 2, 0.85), wood))
        for y in (-width / 2 + 0.1, width / 2 - 0.16):
            shapes.append(box((-0.26, y, 0.4), (-0.22, y + 0.06, 0.85), metal))
    seats = [(0.02, y, 0.45) for y in (-width / 3.2, width / 3.2)]
    return block(shapes, 0.52, width, 0.85, seats=seats)
