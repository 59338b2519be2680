"""What is known of a person from image to image: where they should be, how they face, how far off.

Who is who: regions are followed from image to image by whoever found them; that holds until two
people cross or one is hidden for a while. Then places in space tell who is who: people do not jump,
and two who cross in the image pass each other at different distances.

Which way a body faces: people do not turn round between two images. Seen from afar a body from the
front and one from behind look alike, and a landmark network takes one for the other occasionally.
Its answer is then another body's: left and right exchanged, and near and far. Undoing both gives
back landmarks to fit.

How far off: a Kalman filter of the logarithm of the distance and of that logarithm's rate.
"""

import math
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

_FREE_RAD, _MAX_RATE_RAD_S = math.radians(75), 6.0
"""A turn that is always believed, and how fast one may turn on top of it."""
_MAX_TURN_RAD = math.radians(150)
_PERSIST_FRAMES, _PERSIST_NS = 4, 600_000_000
"""A claim that lasts for both is believed; sooner where the old facing was seen for less."""
_MAX_GAP_NS = 1_000_000_000

_PUSH = 0.25
"""Spectral density of the rate's random walk, 1/s per root of a second: people start and stop."""
_FIRST_RATE_SIGMA = 0.3
_MAX_GAP_S = 2.0
"""After a longer gap nothing is left to predict."""


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


def turn_between(a: np.ndarray, b: np.ndarray) -> float:
    """Angle in rad between the fronts of two root rotations (3, 3), about the body's long axis."""
    relative = a.T @ b
    return abs(math.atan2(relative[0, 2], relative[2, 2]))


@dataclass
class FacingGuard:
    """Of one track: remembers the last facing, and since when another one is claimed."""

    root: np.ndarray | None = None
    """(3, 3) as last believed, in a frame that does not turn with the camera."""
    _seen_ns: int = 0
    _sightings: int = 0
    """In a row, of the facing believed."""
    _since_ns: int = 0
    _until_ns: int = 0
    """First and last of these."""
    _claims: int = 0
    _claimed_since_ns: int = 0

    def is_flip(self, root: np.ndarray, stamp_ns: int) -> bool:
        """Whether a root rotation (3, 3) faces where a person cannot turn to in this time."""
        gap_ns = stamp_ns - self._seen_ns
        if self.root is None or not 0 <= gap_ns <= _MAX_GAP_NS:
            return False
        limit = min(_FREE_RAD + _MAX_RATE_RAD_S * gap_ns * 1e-9, _MAX_TURN_RAD)
        return turn_between(self.root, root) > limit

    def persists(self, stamp_ns: int) -> bool:
        """Count one more image that claims another facing; True once it is to be believed."""
        if not self._claims:
            self._claimed_since_ns = stamp_ns
        self._claims += 1
        lasted_ns = stamp_ns - self._claimed_since_ns
        held_ns = self._until_ns - self._since_ns
        is_often = self._claims >= min(_PERSIST_FRAMES, self._sightings)
        return is_often and lasted_ns >= min(_PERSIST_NS, held_ns)

    def believe(
        self,
        root: np.ndarray,
        stamp_ns: int,
        *,
        was_refused: bool = False,
        is_new: bool = False,
    ) -> None:
        """Remember a facing.

        Args:
            root: (3, 3) of the body as fitted.
            stamp_ns: of the image.
            was_refused: the image claimed another facing.
            is_new: the facing is another than before, or the first.
        """
        self.root, self._seen_ns = root, stamp_ns
        if was_refused:
            return
        self._claims, self._until_ns = 0, stamp_ns
        if is_new:
            self._sightings, self._since_ns = 0, stamp_ns
        self._sightings += 1


@dataclass
class DepthFilter:
    """Distance relative to stature, any frame rate, gaps allowed.

    Relative to stature, because a better knowledge of the stature moves the body at once and says
    nothing about how it moves.

    Source: Kalman 1960; constant-velocity model with white acceleration.
    """

    push: float = _PUSH
    _state: np.ndarray | None = field(default=None, init=False)
    _covariance: np.ndarray = field(default_factory=lambda: np.zeros((2, 2)), init=False)
    _last_ns: int = field(default=0, init=False)

    def update(self, distance: float, relative_sigma: float, stamp_ns: int) -> float:
        """The filtered distance after a measurement.

        Args:
            distance: any positive measure of it, in the same unit every time.
            relative_sigma: standard deviation of this measurement from image to image.
            stamp_ns: not before the last one.
        """
        measured = math.log(distance)
        gap_s = (stamp_ns - self._last_ns) * 1e-9
        if self._state is None or not 0 <= gap_s <= _MAX_GAP_S:
            self._state = np.array([measured, 0.0])
            self._covariance = np.diag([relative_sigma**2, _FIRST_RATE_SIGMA**2])
            self._last_ns = stamp_ns
            return distance
        state, covariance = self._predicted(gap_s)
        gain = covariance[:, 0] / (covariance[0, 0] + relative_sigma**2)
        self._state = state + gain * (measured - state[0])
        self._covariance = covariance - np.outer(gain, covariance[0])
        self._last_ns = stamp_ns
        return math.exp(self._state[0])  # pyright: ignore[reportOptionalSubscript]

    def _predicted(self, gap_s: float) -> tuple[np.ndarray, np.ndarray]:
        step = np.array([[1.0, gap_s], [0.0, 1.0]])
        noise = np.array([[gap_s**3 / 3, gap_s**2 / 2], [gap_s**2 / 2, gap_s]])
        covariance = step @ self._covariance @ step.T + self.push**2 * noise
        return step @ self._state, covariance


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
