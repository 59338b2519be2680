"""Who is who from image to image: where a person should be by now, and who looks at that place.

Regions are followed from image to image by whoever found them; that holds until two people cross
or one is hidden for a while. Then places in space tell who is who: people do not jump, and two who
cross in the image pass each other at different distances.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from human3r.tracking.tracks import fit_velocity

_WINDOW_NS = 700_000_000
_MAX_AHEAD_S = 1.0
"""A velocity is not carried on for longer."""
_ACROSS_M, _ALONG = 0.15, 0.12
"""Standard deviations of a place: across the ray in metres, along it relative to the distance."""
_WANDER_M_S = 0.8
"""How fast a prediction grows unsure."""
_GATE, _LINKED_GATE = 12.0, 60.0
"""Squared standard deviations beyond which it is another person: in general, and where the
finder of regions says they are the same."""
_LINK = 6.0
"""What that word is worth where others are as near."""
_TOKEN = 4.0
"""And a token's distance (1 - cosine)."""
_IMPOSSIBLE = 1e6


@dataclass
class Whereabouts:
    """Where a person was lately, in a frame that stands still as far as that is known."""

    stamps_ns: list[int] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    number: int = -1
    """Of the region, as its finder counts."""
    token: np.ndarray | None = None

    stature_m: float = 1.0
    """With which ``places`` are right: a taller person who looks the same is farther off."""

    def update(self, seen: "Sightings", person: int, stamp_ns: int, stature_m: float) -> None:
        """Remember a sighting of this one, and how tall they are known to be by now."""
        factor = stature_m / self.stature_m
        self.places = [seen.camera + factor * (place - seen.camera) for place in self.places]
        self.stature_m = stature_m
        self.places.append(seen.places_of(stature_m)[person])
        self.stamps_ns.append(stamp_ns)
        old = sum(stamp < stamp_ns - _WINDOW_NS for stamp in self.stamps_ns)
        del self.stamps_ns[:old], self.places[:old]
        self.number = int(seen.numbers[person])
        self.token = self.token if seen.tokens is None else seen.tokens[person]

    def unseen_s(self, stamp_ns: int) -> float:
        """Time since the last sighting."""
        return max(0.0, (stamp_ns - self.stamps_ns[-1]) * 1e-9)

    def expected(self, stamp_ns: int) -> np.ndarray:
        """(3,) where the person should be by now."""
        if self.stamps_ns[-1] - self.stamps_ns[0] < _WINDOW_NS // 3:
            return self.places[-1]
        velocity = fit_velocity(np.array(self.stamps_ns), np.array(self.places))
        return self.places[-1] + velocity * min(self.unseen_s(stamp_ns), _MAX_AHEAD_S)


@dataclass(frozen=True)
class Sightings:
    """People of one image, unnamed."""

    places: np.ndarray
    """(people, 3) metres, in the frame of ``Whereabouts``."""
    statures_m: np.ndarray
    """(people,) with which they were fitted."""
    camera: np.ndarray
    """(3,) the camera's place in that frame."""
    numbers: np.ndarray
    """(people,) of their regions; -1 for new ones."""
    tokens: np.ndarray | None = None
    """(people, width) anything that stays alike while a person is the same; optional."""

    def places_of(self, stature_m: float) -> np.ndarray:
        """(people, 3) where each person would be with this stature."""
        factors = (stature_m / self.statures_m)[:, None]
        return self.camera + factors * (self.places - self.camera)


def assign(known: list[Whereabouts], seen: Sightings, stamp_ns: int) -> np.ndarray:
    """(people,) index into ``known`` of all seen, -1 for who is new; none twice.

    Source: the assignment of least total cost, Kuhn 1955, with a gate on each pair.
    """
    found = np.full(len(seen.places), -1)
    if not known or not len(found):
        return found
    costs = np.stack([_costs(one, seen, stamp_ns) for one in known])
    rows, columns = linear_sum_assignment(costs)
    is_same = costs[rows, columns] < _IMPOSSIBLE
    found[columns[is_same]] = rows[is_same]
    return found


def _costs(one: Whereabouts, seen: Sightings, stamp_ns: int) -> np.ndarray:
    """(people,) squared standard deviations, less for those the finder says are this one."""
    places = seen.places_of(one.stature_m)
    rays = places - seen.camera
    distances = np.maximum(np.linalg.norm(rays, axis=1), 0.1)
    apart = places - one.expected(stamp_ns)
    along = (apart * rays).sum(1) / distances
    across = np.sqrt(np.maximum((apart**2).sum(1) - along**2, 0.0))
    wander = _WANDER_M_S * one.unseen_s(stamp_ns)
    away = (along / np.hypot(_ALONG * distances, wander)) ** 2
    away += (across / np.hypot(_ACROSS_M, wander)) ** 2
    if one.token is not None and seen.tokens is not None:
        lengths = np.linalg.norm(seen.tokens, axis=1) * np.linalg.norm(one.token)
        away += _TOKEN * (1 - seen.tokens @ one.token / np.maximum(lengths, 1e-9))
    is_linked = (seen.numbers == one.number) & (one.number >= 0)
    gate = np.where(is_linked, _LINKED_GATE, _GATE)
    return np.where(away < gate, away - _LINK * is_linked, _IMPOSSIBLE)
