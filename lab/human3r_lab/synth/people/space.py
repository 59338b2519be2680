"""Free floor: out of furniture, inside the stage, away from all other people at every time."""

from dataclasses import dataclass, field

import numpy as np

from human3r_lab.synth.stage import Obstacle, Stage

EDGE_M = 0.3
"""Between the middle of a body and the stage's edge or an obstacle."""
APART_M = 0.7
"""Between the middles of two bodies."""
_GRID_HZ = 10.0


@dataclass
class Space:
    """The stage with the tracks of those already on it."""

    stage: Stage
    end_s: float
    tracks: list[np.ndarray] = field(default_factory=list)

    @property
    def times_s(self) -> np.ndarray:
        """(G,) when tracks are compared."""
        return np.arange(-0.5, self.end_s + 0.5, 1 / _GRID_HZ)

    def add(self, track_m: np.ndarray) -> None:
        """Remember a person who is at (G, 2) at ``times_s``."""
        self.tracks.append(track_m)

    def is_clear(self, places_m: np.ndarray, margin_m: float = EDGE_M) -> bool:
        """Whether all places (n, 2) are on free floor."""
        return self._is_inside(places_m, margin_m) and not any(
            _is_near(obstacle, places_m, margin_m) for obstacle in self.stage.obstacles
        )

    def is_clear_before(self, seat_m: np.ndarray, place_m: np.ndarray, margin_m: float) -> bool:
        """Whether a place (2,) is free; what stands around the seat (2,) is the seat itself."""
        return self._is_inside(place_m[None], margin_m) and not any(
            _is_near(obstacle, place_m[None], margin_m)
            for obstacle in self.stage.obstacles
            if not _is_near(obstacle, seat_m[None], 0.0)
        )

    def way_out_m(self, seat_m: np.ndarray, forward: np.ndarray) -> float:
        """How far the seat's own furniture reaches from its middle (2,) in a direction (2,)."""
        furthest = 0.0
        for obstacle in self.stage.obstacles:
            if _is_near(obstacle, seat_m[None], 0.0):
                edge = np.where(forward > 0, obstacle.high_m, obstacle.low_m) - seat_m
                crossed = np.abs(forward) > 1e-6
                furthest = max(furthest, float((edge[crossed] / forward[crossed]).min()))
        return furthest

    def _is_inside(self, places_m: np.ndarray, margin_m: float) -> bool:
        low, high = self.stage.low_m + margin_m, self.stage.high_m - margin_m
        return bool((places_m >= low).all() and (places_m <= high).all())

    def is_apart(self, track_m: np.ndarray, apart_m: float = APART_M) -> bool:
        """Whether (G, 2) at ``times_s`` stays away from all people."""
        return all(
            (np.linalg.norm(track_m - other, axis=1) > apart_m).all() for other in self.tracks
        )

    def random_place(self, rng: np.random.Generator, margin_m: float = EDGE_M) -> np.ndarray | None:
        """(2,) a free spot, or None when many tries found none."""
        low, high = self.stage.low_m + margin_m, self.stage.high_m - margin_m
        for _ in range(200):
            place = rng.uniform(low, np.maximum(low + 1e-3, high))
            if self.is_clear(place[None], margin_m):
                return place
        return None


def _is_near(obstacle: Obstacle, places_m: np.ndarray, margin_m: float) -> bool:
    inside = (places_m > obstacle.low_m - margin_m) & (places_m < obstacle.high_m + margin_m)
    return bool(inside.all(1).any())
