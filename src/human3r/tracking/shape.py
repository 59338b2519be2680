"""One shape per person: what a body keeps while its pose changes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

_MAX_PEOPLE = 256


class MeanShapes:
    """The mean of all shapes seen of each person; the longest unseen make room for others."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[np.ndarray, int]] = {}

    def update(
        self, track_ids: Sequence[int], betas: Float[np.ndarray, "people coefficients"]
    ) -> Float[np.ndarray, "people coefficients"]:
        """Take in a frame's shapes.

        Args:
            track_ids: whose they are.
            betas: shape coefficients as measured.

        Returns:
            The mean shape of each of them, this frame's included.
        """
        means = np.empty_like(betas)
        for row, track_id in enumerate(track_ids):
            # Taken out and put back, so that the dictionary is in the order of last sightings.
            total, count = self._sums.pop(track_id, (np.zeros(betas.shape[1]), 0))
            total, count = total + betas[row], count + 1
            self._sums[track_id] = total, count
            means[row] = total / count
        while len(self._sums) > _MAX_PEOPLE:
            del self._sums[next(iter(self._sums))]
        return means
