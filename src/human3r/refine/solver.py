"""Sparse Levenberg-Marquardt with robust weights.

SciPy's own ``least_squares`` needs the same residuals and Jacobians but solves its steps by
iteration and cannot move on rotations; this is its normal equations with a direct solver.

Sources: Marquardt 1963; iteratively reweighted least squares, Huber and Ronchetti 2009; Cauchy's
and Geman and McClure's weights, Triggs et al. 2000, "Bundle adjustment - a modern synthesis".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

T = TypeVar("T")


@dataclass(frozen=True)
class Block:
    """Derivative of n residuals of d numbers by w unknowns each."""

    columns: np.ndarray
    """(n,) first unknown."""
    values: np.ndarray
    """(n, d, w)."""


@dataclass(frozen=True)
class Residuals:
    """One kind of residual, in standard deviations."""

    values: np.ndarray
    """(n, d)."""
    blocks: Sequence[Block]
    robust: float | np.ndarray = 0.0
    """Beyond so many standard deviations a residual loses weight; 0: never. Or (n,)."""
    is_bounded: bool = False
    """The cost has an upper bound, so that what is far off pulls no more (Geman and McClure);
    otherwise it grows as a logarithm (Cauchy)."""

    def weights(self) -> np.ndarray:
        """(n,) of the squares."""
        if not np.any(self.robust):
            return np.ones(len(self.values))
        weight = 1 / (1 + (self.values**2).sum(axis=1) / self.robust**2)
        return weight**2 if self.is_bounded else weight

    def cost(self) -> float:
        """Half the robust sum of squares."""
        squares = (self.values**2).sum(axis=1)
        if np.any(self.robust):
            share = squares / self.robust**2
            bounded = share / (1 + share) if self.is_bounded else np.log1p(share)
            squares = self.robust**2 * bounded
        return 0.5 * float(squares.sum())


def normal_equations(
    groups: Sequence[Residuals], num_unknowns: int
) -> tuple[sparse.csc_matrix, np.ndarray]:
    """Hessian and gradient of the weighted squares."""
    rows, columns, values, right = [], [], [], []
    start = 0
    for group in groups:
        count, size = group.values.shape
        if count == 0:
            continue
        root = np.sqrt(group.weights())
        row = start + np.arange(count * size).reshape(count, size)
        right.append((group.values * root[:, None]).ravel())
        for block in group.blocks:
            width = block.values.shape[2]
            rows.append(np.broadcast_to(row[:, :, None], block.values.shape).ravel())
            column = block.columns[:, None, None] + np.arange(width)
            columns.append(np.broadcast_to(column, block.values.shape).ravel())
            values.append((block.values * root[:, None, None]).ravel())
        start += count * size
    shape = (start, num_unknowns)
    index = (np.concatenate(rows), np.concatenate(columns))
    jacobian = sparse.csr_matrix((np.concatenate(values), index), shape=shape)
    residual = np.concatenate(right)
    return (jacobian.T @ jacobian).tocsc(), jacobian.T @ residual


def minimise(
    state: T,
    residuals: Callable[[T], list[Residuals]],
    moved: Callable[[T, np.ndarray], T],
    num_unknowns: int,
    iterations: int,
    after_step: Callable[[int, float], None] = lambda done, cost: None,
    tolerance: float = 1e-6,
) -> tuple[T, int]:
    """The state of least cost near ``state``, and how many steps were tried.

    Args:
        state: where to begin.
        residuals: of a state.
        moved: a state after a step (unknowns,).
        num_unknowns: length of a step.
        iterations: steps at most.
        after_step: told the number of steps and the cost.
        tolerance: relative decrease of the cost below which it is over.
    """
    damping = 1e-4
    groups = residuals(state)
    cost = sum(group.cost() for group in groups)
    done = 0
    while done < iterations:
        hessian, gradient = normal_equations(groups, num_unknowns)
        diagonal = np.maximum(hessian.diagonal(), 1e-9)
        before = cost
        while done < iterations:
            done += 1
            damped = hessian + sparse.diags(damping * diagonal, format="csc")
            solver = splu(
                damped,
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
            step = -solver.solve(gradient)
            candidate = moved(state, step)
            tried = residuals(candidate)
            tried_cost = sum(group.cost() for group in tried)
            if np.isfinite(tried_cost) and tried_cost <= cost:
                state, groups, cost = candidate, tried, tried_cost
                damping = max(damping / 5, 1e-9)
                after_step(done, cost)
                break
            damping *= 8
            if damping > 1e8:
                return state, done
        if before - cost <= tolerance * max(before, 1e-12) or cost < 1e-12:
            break
    return state, done
