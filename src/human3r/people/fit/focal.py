"""One focal length per stream, while no calibration is given.

Two sources are known to the project: the recurrent network's point maps, and people: with a wrong
focal length world landmarks and landmarks in the image contradict each other, in perspective and
in how a body is seen from the side of the image. People are a weak source: on synthetic streams of
24 images the error of what they say has a standard deviation of a third, and it lasts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from human3r.people.fit.gauss_newton import Evidence, FitSettings, LandmarkBody, fit
from human3r.people.fit.observations import evidence, observations, starting_bodies
from human3r.people.fit.prior import LandmarkPrior
from human3r.people.landmarks import PersonLandmarks
from human3r.types import Intrinsics

PRIOR_FIELD_RAD = math.radians(65)
"""Of view across the image: the middle of what robots' cameras have."""
_PRIOR_SIGMA = 0.25
PEOPLE_SIGMA = 0.35
"""What lasts of the error of what people say, relative."""
_CORRELATION_S = 2.0
_GATE_SIGMAS = 2.5
_MAX_SUM_WEIGHT = 100.0
_TRIED = np.array([-0.5, -0.25, 0.0, 0.25, 0.5])
"""Logarithms of the focal lengths at which people are fitted, relative to the given one."""
_MAX_COST = 10.0
"""Per person: whoever fits worse speaks of something else."""
_MAX_STEP = 0.75


@dataclass
class _Source:
    lasting_sigma: float
    mean: float
    weight: float
    """Sum of the inverse variances taken in."""
    last_ns: int


@dataclass
class FocalEstimate:
    """A normal distribution over the logarithm of the focal length, from several sources.

    A source's measurements average out as far as they are independent; what lasts of its error
    does not. Outliers count less the farther off they are.

    Source: Huber 1964, "Robust estimation of a location parameter".
    """

    width_px: int
    prior_field_rad: float = PRIOR_FIELD_RAD
    prior_sigma: float = _PRIOR_SIGMA
    _sources: dict[str, _Source] = field(default_factory=dict)

    def observe(
        self,
        source: str,
        focal_px: float,
        relative_sigma: float,
        stamp_ns: int,
        lasting_sigma: float = 0.0,
    ) -> None:
        """Take in a measurement; one that is no positive number is left out.

        Args:
            source: whose it is.
            focal_px: what it says.
            relative_sigma: of its errors that change within a few seconds.
            stamp_ns: of the image.
            lasting_sigma: of its errors that do not change, relative.
        """
        if not (focal_px > 0 and math.isfinite(focal_px) and 0 < relative_sigma < math.inf):
            return
        value, known = math.log(focal_px), self._sources.get(source)
        if known is None:
            weight = 1 / relative_sigma**2
            self._sources[source] = _Source(lasting_sigma, value, weight, stamp_ns)
            return
        share = min(1.0, max(0.0, (stamp_ns - known.last_ns) * 1e-9 / _CORRELATION_S))
        off = abs(value - known.mean) / math.hypot(relative_sigma, known.weight**-0.5)
        weight = share * min(1.0, _GATE_SIGMAS / max(off, 1e-9)) / relative_sigma**2
        total = known.weight + weight
        known.mean += weight / total * (value - known.mean)
        known.weight = min(total, _MAX_SUM_WEIGHT / relative_sigma**2)
        known.last_ns = max(known.last_ns, stamp_ns)

    @property
    def focal_px(self) -> float:
        """The best value."""
        return math.exp(self._fused()[0])

    @property
    def relative_sigma(self) -> float:
        """Standard deviation of ``focal_px``, relative."""
        return self._fused()[1]

    def _fused(self) -> tuple[float, float]:
        prior = math.log(self.width_px / 2 / math.tan(self.prior_field_rad / 2))
        weights, values = [1 / self.prior_sigma**2], [prior]
        for source in self._sources.values():
            weights.append(1 / (source.lasting_sigma**2 + 1 / source.weight))
            values.append(source.mean)
        mean = float(np.average(values, weights=weights))
        return mean, 1 / math.sqrt(sum(weights))


@dataclass(frozen=True)
class FocalMeasurement:
    """What the people of one image say."""

    focal_px: float
    relative_sigma: float


def focal_of_people(
    body: LandmarkBody,
    prior: LandmarkPrior,
    people: Sequence[PersonLandmarks],
    camera: Intrinsics,
    betas: np.ndarray | None = None,
    settings: FitSettings | None = None,
) -> FocalMeasurement | None:
    """The focal length with which people fit best, from fits at five around the given one.

    Costs about five fits, so ask rarely. The cost is modelled as a parabola in the
    logarithm of the focal length.

    Args:
        body: of the fit.
        prior: how far landmarks are to be trusted.
        people: of one image.
        camera: with the focal length to start from.
        betas: (10,) shape of all people, the mean by default.
        settings: of the fit.

    Returns:
        None without evidence.
    """
    seen = observations(people)
    if not len(seen):
        return None
    shapes = np.tile(np.zeros(10) if betas is None else betas, (len(seen), 1))
    cameras = [replace(camera, fx=camera.fx * k, fy=camera.fy * k) for k in np.exp(_TRIED)]
    tried = [evidence(body, prior, seen, one, shapes) for one in cameras]
    given = Evidence(
        *(np.concatenate([getattr(one, f.name) for one in tried]) for f in fields(Evidence))
    )
    start = starting_bodies(body, prior, given)
    costs = fit(body, prior, given, start, settings or FitSettings()).equations.cost
    costs = costs.reshape(len(_TRIED), -1)
    total = np.minimum(costs - costs.min(0), _MAX_COST).sum(1)
    curve, slope, _ = np.polyfit(_TRIED, total, 2)
    if not curve > 1e-6:
        return None
    step = float(np.clip(-slope / (2 * curve), -_MAX_STEP, _MAX_STEP))
    return FocalMeasurement(camera.fx * math.exp(step), 1 / math.sqrt(curve))
