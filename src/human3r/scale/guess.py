"""What a measurement of the scale says, and the robust middle it is made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_NORMAL_FROM_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
_MEDIAN_FROM_MEAN = math.sqrt(math.pi / 2)
"""Standard error of a normal sample's median over that of its mean."""
_PLAUSIBLE = (0.2, 5.0)
"""Beyond this something other than the scale is wrong."""
_MAX_RELATIVE_STDDEV = 0.1


@dataclass(frozen=True)
class Guess:
    """Metres per network unit as one source sees them."""

    value: float = math.nan
    """NaN while nothing is known."""
    relative_stddev: float = math.inf
    """Standard error of ``value`` over ``value``."""
    samples: int = 0
    trouble: str = ""
    """Why the value must not be used; empty when it may."""


@dataclass(frozen=True)
class Middle:
    """A robust location with its standard error."""

    value: float
    stddev: float


def robust_middle(values: Sequence[float] | np.ndarray, independent: float | None = None) -> Middle:
    """The median, and its standard error from the median absolute deviation.

    Args:
        values: at least one, finite.
        independent: how many of them count as independent; by default all.
    """
    sample = np.asarray(values, np.float64)
    count = max(1.0, len(sample) if independent is None else min(independent, len(sample)))
    median = float(np.median(sample))
    spread = _NORMAL_FROM_MAD * float(np.median(np.abs(sample - median)))
    # The deviation of a few values from their own median is too small; for normal samples this
    # brings it back within some percent from four values on.
    spread *= 1.0 + 1.2 / len(sample)
    return Middle(median, _MEDIAN_FROM_MEAN * spread / math.sqrt(count))


def judged(value: float, relative_stddev: float, samples: int, what: str, remedy: str) -> Guess:
    """A measured scale, with a reason not to use it where there is one.

    Args:
        value: metres per network unit.
        relative_stddev: of the value.
        samples: behind it.
        what: was compared, for the message.
        remedy: what a user can do about a bad comparison.
    """
    low, high = _PLAUSIBLE
    trouble = ""
    if not low <= value <= high:
        trouble = (
            f"{what} gives a scale of {value:.3g} metres per network unit; expected {low:g} to "
            f"{high:g}. {remedy}"
        )
    elif not relative_stddev <= _MAX_RELATIVE_STDDEV:
        trouble = (
            f"{what} gives a scale of {value:.2f}, uncertain by {relative_stddev:.0%}; expected at "
            f"most {_MAX_RELATIVE_STDDEV:.0%}. {remedy}"
        )
    return Guess(value, relative_stddev, samples, trouble)
