"""Procedural textures: square uint8 sRGB arrays that repeat without a visible seam where it counts.

Every function takes a random generator first and gives (side, side, 3) uint8.
"""

import cv2
import numpy as np

SIDE = 256
"""Texels per side, unless a texture has little to show."""


def random_color(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.05, 0.6),
    value: tuple[float, float] = (0.25, 0.95),
) -> np.ndarray:
    """A colour (3,) float32 in 0..255: any hue, warm ones and dull ones more often."""
    hue = rng.uniform(-0.3, 1.2) if rng.random() < 0.35 else rng.uniform(0, 6)
    s = saturation[0] + (saturation[1] - saturation[0]) * rng.random() ** 1.6
    v = rng.uniform(*value)
    wheel = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0], np.float32)) % 6 - 3) - 1, 0, 1)
    return (255 * v * (1 - s + s * wheel)).astype(np.float32)


def cloud_noise(
    rng: np.random.Generator, side: int = SIDE, coarsest: int = 4, finest: int = 64
) -> np.ndarray:
    """(side, side) float32 noise of several sizes, mean 0, deviation 1, seamless.

    Args:
        rng: where it comes from.
        side: texels per side, a power of two.
        coarsest: cells per side of the largest size, a power of two.
        finest: cells per side of the smallest.
    """
    count, strength = coarsest, 1.0
    total = np.zeros((count, count), np.float32)
    while True:
        if count <= finest:
            total = total + rng.random((count, count), np.float32) * np.float32(strength)
            strength *= 0.66
        if count == side:
            break
        # Each size doubles the last: one pass over the full picture, not one per size.
        wrapped = np.pad(total, 2, mode="wrap")
        total = cv2.resize(wrapped, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)[4:-4, 4:-4]
        count *= 2
    return (total - total.mean()) / (total.std() + 1e-6)


def _ramp(side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Rows y and columns x as (side, side) in [0, 1)."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    return y, x


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def _grain(rng: np.random.Generator, side: int, strength: float) -> np.ndarray:
    return rng.standard_normal((side, side, 1), np.float32) * strength


def plain(
    rng: np.random.Generator, color: np.ndarray | None = None, side: int = 64, spots: float = 4.0
) -> np.ndarray:
    """One colour with a little unevenness."""
    color = random_color(rng) if color is None else color
    return _bytes(color + cloud_noise(rng, side, 4, 16)[..., None] * spots)


def plaster(rng: np.random.Generator) -> np.ndarray:
    """Painted wall."""
    color = random_color(rng, (0.0, 0.35), (0.6, 0.97))
    return _bytes(color + cloud_noise(rng)[..., None] * rng.uniform(1, 5) + _grain(rng, SIDE, 2))


def concrete(rng: np.random.Generator) -> np.ndarray:
    """Grey with stains."""
    color = random_color(rng, (0.0, 0.12), (0.35, 0.75))
    return _bytes(color + cloud_noise(rng)[..., None] * rng.uniform(3, 11) + _grain(rng, SIDE, 4))


def brick(rng: np.random.Generator) -> np.ndarray:
    """Rows of bricks in mortar, four by eight."""
    y, x = _ramp()
    row = np.floor(y * 8).astype(int)
    across = (x * 4 + 0.5 * (row % 2)) % 4
    tone = rng.normal(0, rng.uniform(6, 18), (8, 4)).astype(np.float32)[row, across.astype(int)]
    base = random_color(rng, (0.3, 0.65), (0.35, 0.8)) if rng.random() < 0.3 else None
    base = np.array([165, 90, 70], np.float32) * rng.uniform(0.6, 1.2) if base is None else base
    wall = base + (tone + 7 * cloud_noise(rng))[..., None]
    joint = ((y * 8) % 1 < 0.1) | (across % 1 < 0.05)
    wall[joint] = rng.uniform(110, 200)
    return _bytes(wall + _grain(rng, SIDE, 4))


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Wallpaper or cloth with upright stripes."""
    _, x = _ramp()
    count, share = rng.integers(2, 12), rng.uniform(0.2, 0.6)
    first = random_color(rng)
    second = np.clip(first + rng.normal(0, 45, 3), 20, 245)
    mix = ((x * count) % 1 < share)[..., None]
    return _bytes(np.where(mix, first, second) + cloud_noise(rng)[..., None] * 4)


def tiles(rng: np.random.Generator) -> np.ndarray:
    """Square tiles with joints; sometimes a chequerboard."""
    y, x = _ramp()
    count = int(rng.choice([2, 4, 8]))
    cell = np.floor(y * count).astype(int), np.floor(x * count).astype(int)
    color = random_color(rng, (0.0, 0.4), (0.5, 0.97))
    face = color + rng.normal(0, 5, (count, count)).astype(np.float32)[cell][..., None]
    if rng.random() < 0.35:
        other = random_color(rng, (0.0, 0.5), (0.1, 0.9))
        face = np.where((cell[0] + cell[1])[..., None] % 2 == 0, face, other)
    face += cloud_noise(rng)[..., None] * rng.uniform(1, 6)
    width = 0.008 * count
    face[((x * count) % 1 < width) | ((y * count) % 1 < width)] = rng.uniform(60, 200)
    return _bytes(face)


def wood(rng: np.random.Generator, planks: int | None = None) -> np.ndarray:
    """Boards along the rows with grain; one board makes veneer."""
    y, x = _ramp()
    count = int(rng.choice([4, 8])) if planks is None else planks
    board = np.floor(y * count).astype(int)
    phase = rng.random(count, np.float32)[board]
    tone = rng.uniform(0.75, 1.15, count).astype(np.float32)[board]
    warp = 0.1 * cloud_noise(rng, SIDE, 4, 16)
    rings = np.sin(2 * np.pi * (np.round(count * 2.0) * y + 3 * phase + warp * 3))
    fibre = cv2.blur(rng.standard_normal((SIDE, SIDE), np.float32), (31, 1))
    color = np.array([[150, 105, 65], [190, 150, 105], [95, 60, 38], [205, 185, 155]], np.float32)
    base = color[rng.integers(4)] * rng.uniform(0.8, 1.1)
    face = base * tone[..., None] + (rings * 7 + fibre * 40)[..., None]
    if count > 1:
        face[(y * count) % 1 < 0.012 * count] *= 0.45
        for index, place in enumerate(rng.random(count)):
            face[(board == index) & (np.abs(x - place) < 0.006)] *= 0.5
    return _bytes(face)


def parquet(rng: np.random.Generator) -> np.ndarray:
    """Basket weave of short boards."""
    y, x = _ramp()
    cell_y, cell_x = np.floor(y * 4).astype(int), np.floor(x * 4).astype(int)
    upright = (cell_y + cell_x) % 2 == 0
    along = np.where(upright, x * 4 % 1, y * 4 % 1)
    board = np.floor(along * 4).astype(int)
    tone = rng.uniform(0.75, 1.15, (4, 4, 4)).astype(np.float32)[cell_y, cell_x, board]
    base = np.array([[165, 115, 70], [120, 78, 48]], np.float32)[rng.integers(2)] * rng.uniform(
        0.8, 1.2
    )
    face = base * tone[..., None] + cloud_noise(rng)[..., None] * 6
    face[along * 4 % 1 < 0.06] *= 0.6
    return _bytes(face)


def carpet(rng: np.random.Generator) -> np.ndarray:
    """Fuzzy cloth."""
    color = random_color(rng, (0.05, 0.6), (0.2, 0.75))
    return _bytes(color + cloud_noise(rng)[..., None] * 9 + _grain(rng, SIDE, 12))


def rug(rng: np.random.Generator) -> np.ndarray:
    """A border and a pattern that mirrors itself; fits once onto a rectangle."""
    half = cloud_noise(rng, SIDE // 2, 4, 16)
    field = np.concatenate([half, half[:, ::-1]], 1)
    field = np.concatenate([field, field[::-1]], 0)
    palette = np.stack([random_color(rng, (0.2, 0.8), (0.2, 0.8)) for _ in range(4)])
    face = palette[np.digitize(field, [-0.6, 0.0, 0.7])]
    y, x = _ramp()
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    face[(edge < 0.08) & (edge > 0.05)] = palette[3]
    face[edge < 0.05] = palette[0]
    return _bytes(face + _grain(rng, SIDE, 8))


def plaid(rng: np.random.Generator) -> np.ndarray:
    """Crossing bands."""
    y, x = _ramp()
    count = int(rng.integers(2, 9))
    first, second = random_color(rng), random_color(rng)
    bands = ((x * count) % 1 < 0.4) * 0.5 + ((y * count) % 1 < 0.4) * 0.5
    thin = ((x * count + 0.3) % 1 < 0.06) | ((y * count + 0.3) % 1 < 0.06)
    face = first * (1 - bands[..., None]) + second * bands[..., None]
    face[thin] = random_color(rng)
    return _bytes(face + _grain(rng, SIDE, 4))


def art(rng: np.random.Generator) -> np.ndarray:
    """A painting: soft colour fields with some hard shapes."""
    first, second, third = (random_color(rng, (0.1, 0.8), (0.2, 0.95)) for _ in range(3))
    mix = np.clip(0.5 + 0.4 * cloud_noise(rng, SIDE, 2, 8), 0, 1)[..., None]
    face = first * mix + second * (1 - mix)
    if rng.random() < 0.5:
        face = np.where(cloud_noise(rng, SIDE, 2, 16)[..., None] > 0.8, third, face)
    else:
        horizon = int(rng.integers(SIDE // 3, SIDE - 40))
        face[horizon:] = 0.7 * third + 0.3 * face[horizon:]
    for _ in range(rng.integers(0, 7)):
        centre, color = rng.integers(0, SIDE, 2).tolist(), random_color(rng, (0.3, 1.0)).tolist()
        face = np.ascontiguousarray(face, np.float32)
        if rng.random() < 0.5:
            cv2.circle(face, centre, int(rng.integers(8, 70)), color, -1)
        else:
            corner = rng.integers(0, SIDE, 2).tolist()
            cv2.rectangle(face, centre, corner, color, -1)
    return _bytes(face)


def poster(rng: np.random.Generator) -> np.ndarray:
    """Lines of something like text around a picture."""
    face = np.full((SIDE, SIDE, 3), rng.uniform(180, 250), np.float32)
    ink = random_color(rng, (0.0, 0.8), (0.05, 0.5)).tolist()
    top = int(rng.integers(20, 120))
    face[20 : 20 + top, 24:-24] = cv2.resize(art(rng), (SIDE - 48, top))
    for row in range(30 + top, SIDE - 16, int(rng.integers(9, 20))):
        left = 24
        while left < SIDE - 40:
            word = int(rng.integers(8, 40))
            cv2.rectangle(face, (left, row), (min(left + word, SIDE - 24), row + 4), ink, -1)
            left += word + 6
    return _bytes(face)


def books(rng: np.random.Generator) -> np.ndarray:
    """Four boards of book spines, seen from the front."""
    face = np.full((SIDE, SIDE, 3), 30.0)
    for board in range(4):
        bottom, left = (board + 1) * SIDE // 4 - 3, 0
        while left < SIDE:
            width, height = int(rng.integers(4, 14)), int(rng.integers(38, 59))
            color = random_color(rng, (0.1, 0.8), (0.15, 0.9))
            spine = face[bottom - height : bottom, left : left + width]
            spine[:] = color
            spine[:, :1] = color * 0.6
            if rng.random() < 0.6:
                band = int(rng.integers(4, height - 6))
                spine[band : band + int(rng.integers(2, 8))] = random_color(rng, (0, 0.6))
            left += width
            if rng.random() < 0.06:
                left += int(rng.integers(6, 40))
        face[bottom : bottom + 3] = 140
    return _bytes(face + _grain(rng, SIDE, 3))


def front(rng: np.random.Generator, columns: int, rows: int) -> np.ndarray:
    """Doors or drawers of furniture, with gaps and handles; fits once onto a face."""
    face = wood(rng, 1).astype(np.float32) if rng.random() < 0.5 else plain(rng, side=SIDE) * 1.0
    for row in range(rows):
        for column in range(columns):
            y, x = (np.array([row, row + 1]) * SIDE // rows), np.array([column, column + 1])
            x = x * SIDE // columns
            cv2.rectangle(
                face, (int(x[0]), int(y[0])), (int(x[1]) - 1, int(y[1]) - 1), (40, 38, 35), 2
            )
            middle_x, middle_y = int(x.mean()), int(y[0] + (y[1] - y[0]) * 0.3)
            cv2.rectangle(
                face, (middle_x - 9, middle_y - 2), (middle_x + 9, middle_y + 2), (60, 60, 60), -1
            )
    return _bytes(face)


def door(rng: np.random.Generator) -> np.ndarray:
    """A door leaf with panels and a handle."""
    face = wood(rng, 1).astype(np.float32) if rng.random() < 0.4 else plain(rng, side=SIDE) * 1.0
    for y0, y1 in ((20, 110), (130, 236)) if rng.random() < 0.6 else ((16, 240),):
        for x0, x1 in ((28, 118), (138, 228)):
            cv2.rectangle(face, (x0, y0), (x1, y1), (face.mean((0, 1)) * 0.6).tolist(), 3)
    cv2.rectangle(face, (222, 128), (248, 134), (70, 70, 75), -1)
    return _bytes(face)


def screen(rng: np.random.Generator) -> np.ndarray:
    """A display: off, or windows and pictures."""
    face = np.full((64, 64, 3), rng.uniform(8, 30), np.float32)
    if rng.random() < 0.5:
        face = cv2.resize(art(rng), (64, 64)).astype(np.float32)
    face[:3] = face[-3:] = face[:, :2] = face[:, -2:] = 15
    return _bytes(face)


def grass(rng: np.random.Generator) -> np.ndarray:
    """Lawn or meadow."""
    base = np.array([85, 115, 50], np.float32) * rng.uniform(0.6, 1.3) + rng.normal(
        0, 10, 3
    ).astype(np.float32)
    dry = np.clip(cloud_noise(rng, SIDE, 4, 16) * 0.4, 0, 1)[..., None]
    blades = cv2.blur(rng.standard_normal((SIDE, SIDE), np.float32), (1, 5))[..., None]
    return _bytes(base * (1 - dry) + np.array([150, 140, 85], np.float32) * dry + blades * 45)


def asphalt(rng: np.random.Generator) -> np.ndarray:
    """Road surface."""
    base = rng.uniform(60, 125) + rng.normal(0, 3, 3).astype(np.float32)
    return _bytes(base + cloud_noise(rng)[..., None] * 6 + _grain(rng, SIDE, 12))


def paving(rng: np.random.Generator) -> np.ndarray:
    """Slabs or cobbles, every second row shifted."""
    y, x = _ramp()
    count = int(rng.choice([4, 8, 16]))
    row = np.floor(y * count).astype(int)
    across = (x * count + 0.5 * (row % 2)) % count
    tone = rng.normal(0, 12, (count, count)).astype(np.float32)[row, across.astype(int)]
    base = random_color(rng, (0.0, 0.25), (0.4, 0.8))
    face = base + (tone + 6 * cloud_noise(rng))[..., None]
    face[((y * count) % 1 < 0.07) | (across % 1 < 0.07)] *= 0.55
    return _bytes(face + _grain(rng, SIDE, 5))


def gravel(rng: np.random.Generator) -> np.ndarray:
    """Sand, earth or small stones."""
    base = np.array([[170, 150, 120], [120, 95, 70], [150, 148, 145]], np.float32)[rng.integers(3)]
    stones = cloud_noise(rng, SIDE, 32, 128)
    return _bytes(base + stones[..., None] * rng.uniform(8, 24) + cloud_noise(rng)[..., None] * 8)


def facade(rng: np.random.Generator) -> np.ndarray:
    """One window of a house front with the wall around it; repeats over a building."""
    kind = rng.integers(3)
    wall = (plaster, brick, concrete)[kind](rng).astype(np.float32)
    x0, x1 = int(rng.integers(40, 80)), int(rng.integers(176, 216))
    y0, y1 = int(rng.integers(40, 70)), int(rng.integers(180, 226))
    frame = random_color(rng, (0.0, 0.4), (0.2, 0.98)).tolist()
    cv2.rectangle(wall, (x0 - 8, y0 - 8), (x1 + 8, y1 + 10), frame, -1)
    glass = np.linspace(rng.uniform(60, 160), rng.uniform(20, 70), y1 - y0)[:, None, None]
    wall[y0:y1, x0:x1] = glass * np.array([0.9, 1.0, 1.12], np.float32)
    if rng.random() < 0.5:
        cv2.rectangle(wall, (x0, y0), (x1, y0 + (y1 - y0) // 3), (200, 195, 185), -1)
    for x in np.linspace(x0, x1, int(rng.integers(2, 5))).astype(int).tolist():
        cv2.line(wall, (x, y0), (x, y1), frame, 5)
    middle = (y0 + y1) // 2
    cv2.line(wall, (x0, middle), (x1, middle), frame, 5)
    return _bytes(wall)


def leaves(rng: np.random.Generator) -> np.ndarray:
    """Foliage."""
    base = np.array([60, 95, 40], np.float32) * rng.uniform(0.6, 1.4) + rng.normal(0, 10, 3).astype(
        np.float32
    )
    if rng.random() < 0.15:
        base = np.array([160, 105, 45], np.float32) * rng.uniform(0.7, 1.1)
    clumps = cloud_noise(rng, SIDE, 16, 128)
    return _bytes(base + clumps[..., None] * np.array([20, 26, 12], np.float32))


def bark(rng: np.random.Generator) -> np.ndarray:
    """Upright furrows."""
    furrows = cv2.blur(rng.standard_normal((128, 128), np.float32), (3, 25))[..., None]
    return _bytes(np.array([95, 75, 58], np.float32) * rng.uniform(0.6, 1.3) + furrows * 110)


def metal(rng: np.random.Generator) -> np.ndarray:
    """Brushed grey or a painted sheet."""
    color = random_color(rng, (0.0, 0.1), (0.3, 0.8))
    lines = cv2.blur(rng.standard_normal((64, 64), np.float32), (33, 1))[..., None]
    return _bytes(color + lines * 25)


def cardboard(rng: np.random.Generator) -> np.ndarray:
    """A box with tape and a label; fits once onto a face."""
    face = np.array([185, 145, 100], np.float32) * rng.uniform(0.8, 1.1)
    face = face + cloud_noise(rng, 128)[..., None] * 5
    face[58:70] = np.array([205, 175, 130], np.float32)
    if rng.random() < 0.6:
        face[80:112, 70:115] = 235
        face[84:108:5, 74:110] = 60
    return _bytes(face)


def road_mark(rng: np.random.Generator) -> np.ndarray:
    """A dashed line on asphalt; one repeat along the columns is one dash and one gap."""
    face = asphalt(rng)
    face[108:148, : int(rng.integers(90, 180))] = rng.integers(190, 240)
    return face


WALLS = (plaster, plaster, plaster, brick, stripes, concrete, tiles)
FLOORS = (wood, wood, parquet, tiles, carpet, concrete, plaid)
CLOTHS = (carpet, plaid, stripes, plain)
GROUNDS = (grass, paving, asphalt, gravel, concrete)
