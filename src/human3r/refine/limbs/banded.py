"""Least squares over time: what ties a few frames in a row, solved as one band.

Each frame has the same number of unknowns, and no residual ties more than three frames in a row. So
the normal equations are a band, which Cholesky's method solves in time that grows with the frames
alone. Robust weights as in ``solver``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import solveh_banded

from human3r.refine.solver import Residuals

MOST_TIED = 3
"""Frames in a row."""


@dataclass(frozen=True)
class Tied:
    """Residuals of every frame, of every two or of every three in a row."""

    values: Float[np.ndarray, "rows points dims"]
    """In standard deviations."""
    by: Sequence[Float[np.ndarray, "rows points dims unknowns"]]
    """Derivatives by the unknowns of the first, second and third frame of each row."""
    robust: float = 0.0
    """See ``Residuals``; of each point by itself."""
    is_bounded: bool = False
    share: Float[np.ndarray, "rows points"] | None = None
    """How much each counts; None: 1."""

    def weights(self) -> Float[np.ndarray, "rows points"]:
        """Of the squares."""
        return self._flat().weights().reshape(self._shares().shape) * self._shares()

    def cost(self) -> float:
        """Half the robust sum of squares."""
        flat, share = self._flat(), np.sqrt(self._shares()).ravel()
        counts = share > 0
        values, robust = flat.values[counts] * share[counts, None], self.robust * share[counts]
        return Residuals(values, [], robust if self.robust else 0.0, self.is_bounded).cost()

    def _flat(self) -> Residuals:
        values = self.values.reshape(-1, self.values.shape[-1])
        return Residuals(values, [], self.robust, self.is_bounded)

    def _shares(self) -> np.ndarray:
        return np.ones(self.values.shape[:2]) if self.share is None else self.share


def newton_step(
    terms: Sequence[Tied], rows: int, unknowns: int, damping: float
) -> Float[np.ndarray, "rows unknowns"]:
    """The step of Gauss and Newton, damped (Marquardt 1963)."""
    blocks = np.zeros((MOST_TIED, rows, unknowns, unknowns))
    gradient = np.zeros((rows, unknowns))
    for term in terms:
        _add(term, blocks, gradient)
    diagonal = np.arange(unknowns)
    blocks[0][:, diagonal, diagonal] *= 1 + damping
    step = solveh_banded(_band(blocks), gradient.ravel(), lower=True, check_finite=False)
    return -step.reshape(rows, unknowns)


def _add(term: Tied, blocks: np.ndarray, gradient: np.ndarray) -> None:
    count, _, dims = term.values.shape
    weight = np.repeat(term.weights(), dims, axis=1)
    values = weight * term.values.reshape(count, -1)
    by = [part.reshape(count, values.shape[1], -1) for part in term.by]
    for first, one in enumerate(by):
        rows = slice(first, first + count)
        gradient[rows] += np.einsum("nda,nd->na", one, values)
        weighted = np.swapaxes(one * weight[..., None], 1, 2)
        for second in range(first, len(by)):
            blocks[second - first, rows] += weighted @ by[second]


def _band(blocks: np.ndarray) -> Float[np.ndarray, "band all"]:
    """The lower band: entry (i - j, j) is that of row i and column j of the matrix."""
    tied, rows, unknowns, _ = blocks.shape
    band = np.zeros((tied * unknowns, rows, unknowns))
    for apart in range(min(tied, rows)):
        for column in range(unknowns):
            first = column if apart == 0 else 0
            place = apart * unknowns + np.arange(first, unknowns) - column
            # Of the pair (t, t + apart): rows of the matrix are those of the later frame.
            band[place, : rows - apart, column] = blocks[apart, : rows - apart, column, first:].T
    return band.reshape(tied * unknowns, -1)
