"""Small slow movements of every person."""

import numpy as np


class SmoothNoise:
    """A smooth random function of time with about unit variance."""

    def __init__(self, rng: np.random.Generator, period_s: float) -> None:
        self._frequency = 2 * np.pi / (period_s * np.array([1.0, 0.62, 0.37]))
        self._frequency *= rng.uniform(0.8, 1.25, 3)
        self._phase = rng.uniform(0, 2 * np.pi, 3)
        self._amplitude = np.array([1.0, 0.7, 0.4]) * rng.uniform(0.6, 1.3, 3)

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        """(T,) values."""
        angles = np.asarray(times_s)[:, None] * self._frequency + self._phase
        return (self._amplitude * np.sin(angles)).sum(1)


def window(times_s: np.ndarray, start_s: float, end_s: float, ease_s: float) -> np.ndarray:
    """(T,) 0 outside, 1 inside, with smooth flanks of ``ease_s`` within the interval."""
    rise = np.clip((times_s - start_s) / ease_s, 0, 1)
    fall = np.clip((end_s - times_s) / ease_s, 0, 1)
    share = np.minimum(rise, fall)
    return share * share * share * (share * (6 * share - 15) + 10)
