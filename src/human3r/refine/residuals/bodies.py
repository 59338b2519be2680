"""Where bodies are: near what the stream published, moved slowly, and as smooth as people walk.

A body's correction has a slow part, the bias, given at knots, and a part of each row that is noise.
Robust priors as in Triggs et al. 2000, "Bundle adjustment - a modern synthesis"; constant velocity
as in every Kalman smoother (Rauch, Tung and Striebel 1965).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from human3r.refine.rows import Knots, Rows
from human3r.refine.solver import Block, Residuals
from human3r.refine.unknowns import Layout, State

_TILT = np.radians(2.0)
"""Standard deviation of a body's tilt."""
_CORE = 0.01
"""Biases below this share of their standard deviation count as usual (Cauchy)."""
_CHANGE = 0.1
"""Of biases from knot to knot, over the prior's standard deviation."""
_TURN_M = 0.9
"""Lever by which noise of places becomes noise of rotations."""
ACCELERATION = 2.0
"""m/s^2 of a walking pelvis."""


@dataclass(frozen=True)
class Bias:
    """Biases are none, or as large as such places are wrong, and change slowly.

    Places have a sharp peak and heavy tails: what the contacts hardly show stays as it is, what
    they clearly show costs little.
    """

    layout: Layout
    rows: Rows
    knots: Knots

    def residuals(self, state: State) -> list[Residuals]:
        """Of tilts, of all of a bias, and of its changes."""
        knots = self.knots
        weight = self._weight(knots.row, 1.0)
        # A bias of the place is one mistake, however long it lasts; a turn hardly lasts.
        stretch = np.concatenate([[0], np.cumsum(~knots.goes_on)[:-1]])
        weight[:, :3] /= np.sqrt(np.bincount(stretch)[stretch])[:, None, None]
        values = np.einsum("nij,nj->ni", weight, state.bias)
        at = self.layout.bias_at + 6 * np.arange(len(weight))
        first = np.flatnonzero(knots.goes_on)
        change = self._weight(knots.row[first], _CHANGE)
        changes = np.einsum("nij,nj->ni", change, state.bias[first + 1] - state.bias[first])
        begins = self.layout.bias_at + 6 * first
        return [
            Residuals(values[:, 3:], [Block(at, weight[:, 3:])]),
            Residuals(values / _CORE, [Block(at, weight / _CORE)], robust=1.0),
            Residuals(changes, [Block(begins, -change), Block(begins + 6, change)], robust=1.0),
        ]

    def _weight(self, row: np.ndarray, share: float) -> Float[np.ndarray, "n 6 6"]:
        weight = np.zeros((len(row), 6, 6))
        weight[:, :3, :3] = self.rows.stddev[row] / share
        weight[:, 3:, 3:] = np.eye(3) / (_TILT * share)
        return weight


@dataclass(frozen=True)
class Noise:
    """Corrections of rows differ from the bias by the noise of the places alone."""

    layout: Layout
    rows: Rows
    knots: Knots
    noise_m: Float[np.ndarray, "people 2"]
    """Along and across the ray."""

    def residuals(self, state: State) -> list[Residuals]:
        """One of six numbers per row."""
        knots, rows = self.knots, np.arange(len(self.rows.key))
        far = np.linalg.norm(self.rows.place, axis=1, keepdims=True)
        ray = self.rows.place / far
        noise = self.noise_m[self.rows.person]
        along = ray[:, :, None] * ray[:, None, :]
        weight = np.zeros((len(rows), 6, 6))
        weight[:, :3, :3] = along / noise[:, 0, None, None]
        weight[:, :3, :3] += (np.eye(3) - along) / noise[:, 1, None, None]
        weight[:, 3:, 3:] = np.eye(3) * (_TURN_M / noise[:, 1])[:, None, None]
        before, after = (1 - knots.share)[:, None], knots.share[:, None]
        bias = before * state.bias[knots.before] + after * state.bias[knots.after]
        error = np.concatenate([state.shift, state.turn], axis=1) - bias
        bias_at = self.layout.bias_at
        blocks = [
            Block(self.layout.row_at + 6 * rows, weight),
            Block(bias_at + 6 * knots.before, -weight * before[:, :, None]),
            Block(bias_at + 6 * knots.after, -weight * after[:, :, None]),
        ]
        return [Residuals(np.einsum("nij,nj->ni", weight, error), blocks)]


@dataclass(frozen=True)
class Smoothness:
    """Pelvises in the world hardly accelerate: constant velocity over three key frames.

    Cameras are those at the beginning: people's steps must not tell them where to go.
    """

    layout: Layout
    rows: Rows
    times_s: Float[np.ndarray, " keys"]
    triples: tuple[np.ndarray, np.ndarray, np.ndarray]
    start: State

    def residuals(self, state: State) -> list[Residuals]:
        """One per three consecutive rows."""
        a, b, c = self.triples
        times_s = self.times_s[self.rows.key]
        first_s, second_s = times_s[b] - times_s[a], times_s[c] - times_s[b]
        rotation = self.start.rotation[self.rows.key]
        world = np.einsum("nij,nj->ni", rotation, self.rows.place + state.shift)
        world += self.start.centre[self.rows.key]
        share = (first_s / (first_s + second_s))[:, None]
        stddev = (ACCELERATION * first_s * second_s / 2)[:, None]
        values = (world[b] - (1 - share) * world[a] - share * world[c]) / stddev
        factors = ((a, share - 1), (b, np.ones_like(share)), (c, -share))
        blocks = [
            Block(self.layout.row_at + 6 * row, rotation[row] * (factor / stddev)[:, :, None])
            for row, factor in factors
        ]
        return [Residuals(values, blocks)]
