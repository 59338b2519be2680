"""One shape per person: what a body keeps while its pose changes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

_MAX_PEOPLE = 256
_MAX_SHAPES = 30
"""As many make the mean; from then on a person's bones have the same lengths for good."""


class MeanShapes:
    """The mean of the first shapes seen of each person; the longest unseen make room for others."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[np.ndarray, int]] = {}

    def update(
        self, numbers: Sequence[int], betas: Float[np.ndarray, "people coefficients"]
    ) -> Float[np.ndarray, "people coefficients"]:
        """Take in a frame's shapes.

        Args:
            numbers: whose they are.
            betas: shape coefficients as measured.

        Returns:
            The mean shape of each of them, this frame's included unless enough were seen before.
        """
        means = np.empty_like(betas)
        for row, number in enumerate(numbers):
            # Taken out and put back, so that the dictionary is in the order of last sightings.
            total, count = self._sums.pop(number, (np.zeros(betas.shape[1]), 0))
            if count < _MAX_SHAPES:
                total, count = total + betas[row], count + 1
            self._sums[number] = total, count
            means[row] = total / count
        while len(self._sums) > _MAX_PEOPLE:
            del self._sums[next(iter(self._sums))]
        return means
