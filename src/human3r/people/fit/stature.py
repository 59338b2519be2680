"""How tall a person is: one number per track, from everything that says something about it.

A picture alone knows proportions but not size: a small person near by looks like a tall one far
off. So depth is as good as stature is known, and stature, which does not change, is worth
remembering. Sources are the feet on a floor whose place is known, the feet of the others, measured
depth, a configured value, and what is known of adults and children.

Statures from each other: people in one image mostly stand on one floor. Where up is known, the drop
of the ray to someone's feet is proportional to their stature, and the same floor is under all of
them: who would stand high above the floor of the others is smaller. One person alone learns
nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

LEAST_DROP = 0.08
"""Of a ray to a foot towards the floor, as a share of its length: flatter ones say nothing."""
SEEN_FOOT = 0.5
"""Of a foot's visibility: one that is seen less says nothing."""
_FOOT_SIGMA_M = 0.03
"""Of a foot's place across its ray, and of the sole above the floor."""
_SOLE_M = 0.03
"""How high above the floor the points of a standing foot are that landmarks name."""
_CORRELATION_S = 2.0
"""Within this, errors of measurements of one person are much the same."""
_MOST_SIGHTINGS = 200
"""Of a lasting source: its mean follows slowly from there on."""
_WRONG_SHARE = 0.3
"""Of lasting measurements that have nothing to do with the person: alone they do not make a child
of an adult. On a real clip the depth network had an adult, and the floor at her feet, too near by
a third."""
_FLOOR_SHARE = 0.02
"""Never believe a sum of measurements more exactly than this."""
_GATE_SIGMAS = 3.0
_LOG_RANGE = (math.log(0.5), math.log(2.6))

_COMMON_FOOT_SIGMA_M = 0.05
"""Of the lower foot's place along gravity: its own error, and feet that step."""
_UP_SIGMA_RAD = 0.045
"""Of up as the scene's surfaces say it, about each level axis."""
_HEIGHT_SIGMA_M = 3.0
"""Of the camera above the floor, before anyone is seen."""
_ROUNDS, _FREEDOM = 4, 4.0
"""Of the reweighting, and degrees of freedom of Student's distribution over statures."""
_SMALLEST = 0.3
"""Of a stature over the expected one."""
_MIN_NEWS = 0.05
"""Of the precision of a stature: less from the others is no news."""


@dataclass(frozen=True)
class FloorPlane:
    """A level floor in the camera frame."""

    up: np.ndarray
    """(3,) unit vector, camera frame: the floor's normal, from the floor to the camera."""
    camera_height_m: float
    """Of the camera's centre above the floor."""
    up_sigma_rad: float = 0.01
    """Standard deviation of ``up`` about each level axis."""
    height_sigma_m: float = 0.02


@dataclass(frozen=True)
class LogStature:
    """A normal distribution over the logarithm of a stature in metres."""

    mean: float
    sigma: float

    @classmethod
    def of(cls, stature_m: float, relative_sigma: float) -> "LogStature":
        """From metres and a relative standard deviation."""
        return cls(math.log(stature_m), relative_sigma)


ADULTS = LogStature.of(1.69, 0.065)
CHILDREN = LogStature.of(1.20, 0.15)
"""From three to twelve years."""
CHILDREN_SHARE = 0.07
"""Of people; before anything is known."""


@dataclass
class _Guess:
    share: float
    mean: float
    variance: float


@dataclass
class _Lasting:
    """Measurements whose error is the same each time: their mean is as good as one of them."""

    mean: float
    sigma: float
    sightings: int = 1


@dataclass
class StatureEstimate:
    """Stature of one track: a mixture of adults and children, sharpened by measurements.

    Every source has errors that last (a bias of the floor, of the landmarks on this body), so
    measurements that follow closely count for little, and the sum never for more than 2 %.
    """

    guesses: list[_Guess] = field(default_factory=list)
    _last_ns: dict[str, int] = field(default_factory=dict)
    _lasting: dict[str, _Lasting] = field(default_factory=dict)

    @classmethod
    def unknown(cls, configured: LogStature | None = None) -> "StatureEstimate":
        """Of a new person.

        Args:
            configured: what a person said about the people here; the prior over all people by
                default.
        """
        if configured is not None:
            return cls([_Guess(1.0, configured.mean, configured.sigma**2)])
        return cls(
            [
                _Guess(1 - CHILDREN_SHARE, ADULTS.mean, ADULTS.sigma**2),
                _Guess(CHILDREN_SHARE, CHILDREN.mean, CHILDREN.sigma**2),
            ]
        )

    @property
    def metres(self) -> float:
        """The best value: the mean of the likelier kind of person."""
        return math.exp(_summed_up(self._all_told()).mean)

    @property
    def relative_sigma(self) -> float:
        """Relative standard deviation of ``metres``, the doubt about the kind included."""
        return _summed_up(self._all_told()).sigma

    def observe(self, source: str, value: LogStature, stamp_ns: int) -> None:
        """Take in a measurement; what is not finite or far outside every expectation is left out.

        Args:
            source: whose errors it shares, such as ``floor`` or ``depth``.
            value: what was measured, with its standard deviation.
            stamp_ns: of the image.
        """
        if not (math.isfinite(value.mean) and value.sigma > 0) or not math.isfinite(value.sigma):
            return
        mean = min(max(value.mean, _LOG_RANGE[0]), _LOG_RANGE[1])
        share = self._new_share(source, stamp_ns)
        if share <= 0:
            return
        variance = value.sigma**2 / share
        off = [abs(mean - g.mean) / math.sqrt(g.variance + value.sigma**2) for g in self.guesses]
        if min(off) > _GATE_SIGMAS:
            return
        self._last_ns[source] = stamp_ns
        self.guesses = _sharpened(self.guesses, mean, variance)

    def observe_lasting(self, source: str, value: LogStature) -> None:
        """Take in a measurement that is off by about the same each time.

        However often it is repeated it counts once, with the mean of what it said.

        Args:
            source: whose measurements they are, such as ``scene``.
            value: what was measured, with its standard deviation.
        """
        if not (math.isfinite(value.mean) and math.isfinite(value.sigma) and value.sigma > 0):
            return
        mean = min(max(value.mean, _LOG_RANGE[0]), _LOG_RANGE[1])
        known = self._lasting.get(source)
        if known is None:
            self._lasting[source] = _Lasting(mean, value.sigma)
            return
        known.sightings = min(known.sightings + 1, _MOST_SIGHTINGS)
        known.mean += (mean - known.mean) / known.sightings
        known.sigma += (value.sigma - known.sigma) / known.sightings

    def without(self, source: str) -> LogStature:
        """What all lasting sources but one say together; its doubt about the kind included."""
        return _summed_up(self._all_told(source))

    def _all_told(self, without: str = "") -> list[_Guess]:
        """The mixture with what lasting sources say."""
        guesses = self.guesses
        for source, lasting in self._lasting.items():
            if source != without:
                guesses = _sharpened(guesses, lasting.mean, lasting.sigma**2, _WRONG_SHARE)
        return guesses

    def _new_share(self, source: str, stamp_ns: int) -> float:
        """How much of a measurement is new, given when its source last spoke."""
        last = self._last_ns.get(source)
        if last is None:
            return 1.0
        return min(1.0, max(0.0, (stamp_ns - last) * 1e-9 / _CORRELATION_S))


def stature_on_floor(
    soles: np.ndarray, weights: np.ndarray, stature_m: float, floor: FloorPlane
) -> LogStature | None:
    """The stature with which a body that looks the same would stand on the floor.

    A body that is k times as tall and k times as far looks the same. The lowest point of the
    soles, so scaled, touches the floor; the others are above it.

    Args:
        soles: (points, 3) metres, camera frame, of a body fitted with ``stature_m``.
        weights: (points,) how well each is seen, in [0, 1].
        stature_m: of the fitted body.
        floor: the floor.

    Returns:
        None where the feet are not seen or say nothing.
    """
    drops = -(soles @ floor.up)
    lengths = np.linalg.norm(soles, axis=-1)
    is_known = (weights > SEEN_FOOT) & (drops > LEAST_DROP * lengths)
    if not is_known.any():
        return None
    drop = floor.camera_height_m - _SOLE_M
    if drop <= _SOLE_M:
        return None
    factors = np.where(is_known, drop / np.where(is_known, drops, 1.0), np.inf)
    lowest = int(factors.argmin())
    factor = float(factors[lowest])
    length = float(lengths[lowest]) * factor
    level = math.sqrt(max(length**2 - drop**2, 0.0))
    sigma = math.hypot(_FOOT_SIGMA_M, floor.height_sigma_m, floor.up_sigma_rad * level) / drop
    return LogStature(math.log(stature_m * factor), sigma)


def statures_on_common_floor(
    feet: Float[np.ndarray, "people 3"],
    is_seen: Bool[np.ndarray, " people"],
    statures_m: Float[np.ndarray, " people"],
    known: Sequence[LogStature],
    up_camera: Float[np.ndarray, "3"],
) -> dict[int, LogStature]:
    """What the feet of the others say about each one's stature.

    The height of the floor, a small tilt of it and all statures are one normal distribution, in
    which each foot is a measurement; what is known of the person asked about is taken out of the
    answer (the message of belief propagation from the floor to a stature).

    Args:
        feet: camera frame, metres: the lowest point of the sole, of bodies fitted with
            ``statures_m``. A body k times as tall has it k times as far.
        is_seen: whose feet the image shows.
        statures_m: of the fitted bodies.
        known: of each person, without this source.
        up_camera: unit vector against gravity, about.

    Returns:
        By index; people of whom the others say nothing new are left out.
    """
    drops = -(feet @ up_camera)
    usable = is_seen & (drops > LEAST_DROP * np.linalg.norm(feet, axis=1))
    people = np.flatnonzero(usable)
    if len(people) < 2:
        return {}
    means = np.array([known[int(person)].mean for person in people])
    sigmas = np.array([known[int(person)].sigma for person in people])
    # Feet where they are with the stature that is known best.
    at_m = feet[people] * (np.exp(means) / statures_m[people])[:, None]
    shifts, news = _news(at_m, sigmas, up_camera)
    return {
        int(people[i]): LogStature(
            float(means[i] + np.log1p(shifts[i])), float(news[i] ** -0.5 / (1 + shifts[i]))
        )
        for i in np.flatnonzero(news > _MIN_NEWS / sigmas**2)
    }


def _summed_up(guesses: list[_Guess]) -> LogStature:
    """Mean of the likelier kind of person, and deviation of all about it."""
    best = max(guesses, key=lambda guess: guess.share)
    variance = sum(
        guess.share * (guess.variance + (guess.mean - best.mean) ** 2) for guess in guesses
    )
    return LogStature(best.mean, math.sqrt(max(variance, _FLOOR_SHARE**2)))


def _sharpened(
    guesses: list[_Guess], mean: float, variance: float, wrong_share: float = 0.0
) -> list[_Guess]:
    """The mixture after a measurement, which with some probability is of nothing at all."""
    anywhere = wrong_share / (_LOG_RANGE[1] - _LOG_RANGE[0])
    sharpened = []
    for guess in guesses:
        total = guess.variance + variance
        away = (mean - guess.mean) ** 2 / total
        right = (1 - wrong_share) * math.exp(-away / 2) / math.sqrt(2 * math.pi * total)
        likelihood = max(right + anywhere, 1e-12)
        gain = guess.variance / total * min(1.0, right / likelihood)
        left = max(guess.variance * (1 - gain), _FLOOR_SHARE**2 / 4)
        share = guess.share * likelihood
        sharpened.append(_Guess(share, guess.mean + gain * (mean - guess.mean), left))
    total_share = sum(guess.share for guess in sharpened)
    for guess in sharpened:
        guess.share = max(guess.share / total_share, 1e-6)
    return sharpened


def _news(
    feet: np.ndarray, sigmas: np.ndarray, up_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much larger each person is by the others' feet, relative, and how precise that is."""
    drops_m = -(feet @ up_camera)
    # Unknowns: height of the camera, two tilts, and how much larger each person is.
    level = feet @ _level_axes(up_camera).T
    rows = np.concatenate([np.ones((len(feet), 1)), level, -np.diag(drops_m)], 1)
    larger = np.zeros(len(feet))
    for _ in range(_ROUNDS):
        # Student's distribution: a child among adults does not lift the floor of all.
        spread = sigmas**2 * (_FREEDOM + (larger / sigmas) ** 2) / (_FREEDOM + 1)
        prior = np.concatenate([[_HEIGHT_SIGMA_M**2], [_UP_SIGMA_RAD**2] * 2, spread])
        covariance = np.linalg.inv(rows.T @ rows / _COMMON_FOOT_SIGMA_M**2 + np.diag(1 / prior))
        larger = (covariance @ (rows.T @ drops_m) / _COMMON_FOOT_SIGMA_M**2)[3:]
    own_precision = 1 / np.diag(covariance)[3:]  # pyright: ignore[reportPossiblyUnboundVariable]
    news = np.maximum(own_precision - 1 / spread, 1e-9)  # pyright: ignore[reportPossiblyUnboundVariable]
    return np.maximum(larger * own_precision / news, _SMALLEST - 1), news


def _level_axes(up: np.ndarray) -> np.ndarray:
    """(2, 3) unit vectors across ``up`` and across each other."""
    side = np.cross(up, [0.0, 0.0, 1.0] if abs(up[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(up, side)])
