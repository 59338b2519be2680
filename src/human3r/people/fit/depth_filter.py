"""A person's distance over time: a Kalman filter of its logarithm and of the logarithm's rate."""

import math
from dataclasses import dataclass, field

import numpy as np

_PUSH = 0.25
"""Spectral density of the rate's random walk, 1/s per root of a second: people start and stop."""
_FIRST_RATE_SIGMA = 0.3
_MAX_GAP_S = 2.0
"""After a longer gap nothing is left to predict."""


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
