"""A scene being built: shapes with textures, obstacles, seats and light."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from human3r_lab.synth.lighting import Lighting
from human3r_lab.synth.mesh import Mesh
from human3r_lab.synth.shapes import Shape, to_meshes
from human3r_lab.synth.stage import Obstacle, Seat, Stage


@dataclass(frozen=True)
class Scenery:
    """Everything of a scene that does not move."""

    name: str
    """What kind of place it is."""
    meshes: tuple[Mesh, ...]
    casts_shadow: tuple[bool, ...]
    """Per mesh."""
    textures: tuple[np.ndarray, ...]
    """(S, S, 3) uint8 each."""
    cloud_texture: int
    """Index of the texture that clouds are made of."""
    lighting: Lighting
    bounds_m: np.ndarray
    """(2, 3) smallest and largest coordinates of what is near enough to throw shadows."""
    stage: Stage


@dataclass(frozen=True)
class Piece:
    """One piece of furniture around the origin, its front towards +x."""

    shapes: Sequence[Shape]
    low_m: tuple[float, float]
    """Smallest x and y of its footprint."""
    high_m: tuple[float, float]
    """Largest x and y of its footprint."""
    height_m: float
    seats: Sequence[tuple[float, float, float]] = ()
    """Seats' centres; sitters face +x."""


@dataclass
class Set:
    """A scene while it is furnished."""

    rng: np.random.Generator
    textures: list[np.ndarray] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    seats: list[Seat] = field(default_factory=list)
    casting: list[Shape] = field(default_factory=list)
    unshadowing: list[Shape] = field(default_factory=list)
    pools: dict[str, list[int]] = field(default_factory=dict)

    def texture(self, make: Callable[[np.random.Generator], np.ndarray]) -> int:
        """The index of a new texture."""
        self.textures.append(make(self.rng))
        return len(self.textures) - 1

    def material(self, make: Callable[[np.random.Generator], np.ndarray]) -> int:
        """The index of a texture of this kind: often one that the scene already has."""
        pool = self.pools.setdefault(make.__name__, [])
        if not pool or (len(pool) < 4 and self.rng.random() < 0.5):
            pool.append(self.texture(make))
        return int(self.rng.choice(pool))

    def add(self, shapes: Iterable[Shape], casts_shadow: bool = True) -> None:
        """Shapes that stand where they are."""
        (self.casting if casts_shadow else self.unshadowing).extend(shapes)

    def put(self, piece: Piece, x: float, y: float, yaw_rad: float = 0.0) -> None:
        """Furniture at a place; it becomes an obstacle."""
        self.add(shape.placed(x, y, 0.0, yaw_rad) for shape in piece.shapes)
        low, high = footprint(piece, x, y, yaw_rad)
        self.obstacles.append(Obstacle(low, high, piece.height_m))
        c, s = np.cos(yaw_rad), np.sin(yaw_rad)
        for across, along, height in piece.seats:
            place = np.array([x + c * across - s * along, y + s * across + c * along, height])
            self.seats.append(Seat(place, float(np.arctan2(s, c))))

    def is_free(self, low: np.ndarray, high: np.ndarray, margin_m: float) -> bool:
        """Whether a rectangle keeps its distance from everything that stands here."""
        return all(
            np.any(low - margin_m >= o.high_m) or np.any(high + margin_m <= o.low_m)
            for o in self.obstacles
        )

    def finish(
        self, name: str, lighting: Lighting, bounds_m: np.ndarray, stage: Stage, cloud_texture: int
    ) -> Scenery:
        """The finished scene."""
        casting, others = to_meshes(self.casting), to_meshes(self.unshadowing)
        return Scenery(
            name,
            (*casting, *others),
            (True,) * len(casting) + (False,) * len(others),
            tuple(self.textures),
            cloud_texture,
            lighting,
            bounds_m,
            stage,
        )


def footprint(piece: Piece, x: float, y: float, yaw_rad: float) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest x and y of a placed piece."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    corners = np.array([[a, b] for a in (0, 1) for b in (0, 1)])
    corners = np.where(corners, piece.high_m, piece.low_m) @ np.array([[c, s], [-s, c]])
    place = np.array([x, y])
    return corners.min(0) + place, corners.max(0) + place
