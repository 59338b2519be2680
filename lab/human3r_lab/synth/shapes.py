"""Simple solids with texture coordinates: what scenery is built from.

Right-handed, z up, metres. Texture rows run down: on upright faces v falls with z.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from human3r_lab.synth.mesh import Mesh


@dataclass(frozen=True)
class Shape:
    """A piece of scenery with one texture."""

    vertices_m: np.ndarray
    """(V, 3) float64."""
    faces: np.ndarray
    """(F, 3) int32, counter-clockwise from outside."""
    uv: np.ndarray
    """(V, 2) float64."""
    texture: int
    is_smooth: bool = False

    def placed(
        self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw_rad: float = 0.0
    ) -> "Shape":
        """Turned about z, then moved."""
        c, s = np.cos(yaw_rad), np.sin(yaw_rad)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        return replace(self, vertices_m=self.vertices_m @ turn.T + [x, y, z])

    def turned(self, rotation: np.ndarray) -> "Shape":
        """Every vertex times a (3, 3) rotation."""
        return replace(self, vertices_m=self.vertices_m @ rotation.T)


def box(
    low: Sequence[float],
    high: Sequence[float],
    texture: int,
    repeats_per_m: float | None = 1.0,
) -> Shape:
    """An axis-aligned box.

    Args:
        low: smallest x, y, z.
        high: largest x, y, z.
        texture: its index.
        repeats_per_m: texture repeats per metre; None fits it once onto every face.
    """
    x0, y0, z0 = low
    x1, y1, z1 = high
    sides = [
        panel((x1, y0, z0), (0, y1 - y0, 0), (0, 0, z1 - z0), texture, repeats_per_m),
        panel((x0, y1, z0), (0, y0 - y1, 0), (0, 0, z1 - z0), texture, repeats_per_m),
        panel((x1, y1, z0), (x0 - x1, 0, 0), (0, 0, z1 - z0), texture, repeats_per_m),
        panel((x0, y0, z0), (x1 - x0, 0, 0), (0, 0, z1 - z0), texture, repeats_per_m),
        panel((x0, y0, z1), (x1 - x0, 0, 0), (0, y1 - y0, 0), texture, repeats_per_m),
        panel((x0, y1, z0), (x1 - x0, 0, 0), (0, y0 - y1, 0), texture, repeats_per_m),
    ]
    return _joined(sides)


def panel(
    corner: Sequence[float],
    along: Sequence[float],
    up: Sequence[float],
    texture: int,
    repeats_per_m: float | None = 1.0,
) -> Shape:
    """A parallelogram seen from where along x up points; ``corner`` is its lower left."""
    corner, along, up = (np.asarray(v, float) for v in (corner, along, up))  # pyright: ignore[reportAssignmentType]
    vertices = np.stack([corner, corner + along, corner + along + up, corner + up])  # pyright: ignore[reportOperatorIssue]
    size = np.array([1.0, 1.0])
    if repeats_per_m is not None:
        size = np.array([np.linalg.norm(along), np.linalg.norm(up)]) * repeats_per_m
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]]) * size
    return Shape(vertices, np.array([[0, 1, 2], [0, 2, 3]], np.int32), uv, texture)


def prism(
    outline: np.ndarray, bottom_m: float, top_m: float, texture: int, repeats_per_m: float = 1.0
) -> Shape:
    """An upright solid over a convex outline.

    Args:
        outline: (N, 2) x and y, counter-clockwise from above.
        bottom_m: z of the lower face.
        top_m: z of the upper face.
        texture: its index.
        repeats_per_m: texture repeats per metre.
    """
    outline = np.asarray(outline, float)
    count = len(outline)
    sides = [
        panel((*a, bottom_m), (*(b - a), 0.0), (0, 0, top_m - bottom_m), texture, repeats_per_m)
        for a, b in zip(outline, np.roll(outline, -1, 0), strict=True)
    ]
    fan = np.array([[0, i, i + 1] for i in range(1, count - 1)], np.int32)
    for height, faces in ((top_m, fan), (bottom_m, fan[:, ::-1])):
        vertices = np.c_[outline, np.full(count, height)]
        sides.append(Shape(vertices, faces, outline * repeats_per_m, texture))
    return _joined(sides)


def lathe(
    profile: Sequence[Sequence[float]],
    texture: int,
    sides: int = 12,
    repeats: tuple[float, float] = (1.0, 1.0),
) -> Shape:
    """A smooth solid of revolution about z.

    Args:
        profile: (N, 2) radius and z, from the bottom up.
        texture: its index.
        sides: corners of the circle.
        repeats: of the texture around and along the profile.
    """
    radius, z = np.asarray(profile, float).T
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    vertices = np.stack(
        [
            radius[:, None] * np.cos(angle),
            radius[:, None] * np.sin(angle),
            np.broadcast_to(z[:, None], (len(z), sides + 1)),
        ],
        -1,
    ).reshape(-1, 3)
    u, v = np.meshgrid(np.linspace(0, repeats[0], sides + 1), np.linspace(repeats[1], 0, len(z)))
    return Shape(
        vertices, _grid_faces(len(z), sides + 1), np.c_[u.ravel(), v.ravel()], texture, True
    )


def cylinder(radius_m: float, bottom_m: float, top_m: float, texture: int) -> Shape:
    """An upright round bar with a lid."""
    edge = min(radius_m * 0.1, 0.01)
    profile = [
        (0, bottom_m),
        (radius_m, bottom_m),
        (radius_m, top_m - edge),
        (radius_m - edge, top_m),
        (0, top_m),
    ]
    return lathe(profile, texture, 10)


def sheet(points: np.ndarray, texture: int, repeats: tuple[float, float] = (1.0, 1.0)) -> Shape:
    """A smooth surface through a grid of points (rows, columns, 3)."""
    rows, columns, _ = points.shape
    u, v = np.meshgrid(np.linspace(0, repeats[0], columns), np.linspace(repeats[1], 0, rows))
    return Shape(
        points.reshape(-1, 3).astype(float),
        _grid_faces(rows, columns),
        np.c_[u.ravel(), v.ravel()],
        texture,
        True,
    )


def blob(rng: np.random.Generator, radius_m: np.ndarray, texture: int, bumps: float) -> Shape:
    """An uneven ellipsoid around the origin, for bushes and crowns of trees."""
    rows, columns = 9, 14
    polar = np.linspace(0.02, np.pi - 0.02, rows)[::-1, None]
    angle = np.linspace(0, 2 * np.pi, columns)[None]
    rough = 1 + bumps * rng.uniform(-1, 1, (rows, columns))
    rough[:, -1] = rough[:, 0]
    ball = np.stack(
        [np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), np.cos(polar) + 0 * angle],
        -1,
    )
    return sheet(ball * rough[..., None] * radius_m, texture, (3.0, 2.0))


def to_meshes(shapes: Iterable[Shape]) -> list[Mesh]:
    """One flat mesh of all flat shapes and one mesh per smooth shape."""
    shapes = list(shapes)
    flat = [shape for shape in shapes if not shape.is_smooth]
    meshes = [_mesh([shape], True) for shape in shapes if shape.is_smooth]
    return ([_mesh(flat, False)] if flat else []) + meshes


def _mesh(shapes: Sequence[Shape], is_smooth: bool) -> Mesh:
    joined = _joined(shapes)
    textures = np.repeat([s.texture for s in shapes], [len(s.faces) for s in shapes])
    return Mesh(
        joined.vertices_m.astype(np.float32),
        joined.faces,
        joined.uv.astype(np.float32),
        textures.astype(np.int32),
        is_smooth,
    )


def _joined(shapes: Sequence[Shape]) -> Shape:
    offsets = np.cumsum([0] + [len(shape.vertices_m) for shape in shapes])
    return Shape(
        np.concatenate([s.vertices_m for s in shapes]),
        np.concatenate([s.faces + o for s, o in zip(shapes, offsets, strict=False)]).astype(
            np.int32
        ),
        np.concatenate([s.uv for s in shapes]),
        shapes[0].texture,
        shapes[0].is_smooth,
    )


def _grid_faces(rows: int, columns: int) -> np.ndarray:
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + columns + 1], 1)
    upper = np.stack([corner, corner + columns + 1, corner + columns], 1)
    return np.concatenate([lower, upper]).astype(np.int32)
