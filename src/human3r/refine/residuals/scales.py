"""Scales of chunks: near the live one, and of neighbours as depth beside a border says."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from human3r.refine.solver import Block, Residuals
from human3r.refine.unknowns import Layout, State

_CHANGE, _BORDER_STDDEV = 0.05, 0.005
"""Of the change of scale from chunk to chunk: where depth says nothing, and where it does."""
_KEPT = 1e-3
_ROBUST = 3.0


@dataclass(frozen=True)
class Scales:
    """Prior of all log scales."""

    layout: Layout
    stddev: float
    """Of the live scale; 0: it is known, all of them stay."""
    is_seen: bool
    """Enough contacts; otherwise the mean stays, and chunks may differ."""
    border_step: Float[np.ndarray, " borders"]
    """See ``start.border_steps``."""

    def residuals(self, state: State) -> list[Residuals]:
        """Of every chunk, and of every border."""
        return self._levels(state) + self._changes(state)

    def _levels(self, state: State) -> list[Residuals]:
        count, at = self.layout.num_chunks, self.layout.scale_at
        stddev = max(self.stddev, _KEPT)
        if self.is_seen or self.stddev == 0:
            blocks = [Block(at + np.arange(count), np.full((count, 1, 1), 1 / stddev))]
            return [Residuals(state.log_scale[:, None] / stddev, blocks)]
        mean = np.full((1, 1, 1), 1 / (count * _KEPT))
        blocks = [Block(np.array([at + one]), mean) for one in range(count)]
        return [Residuals(np.array([[state.log_scale.mean() / _KEPT]]), blocks)]

    def _changes(self, state: State) -> list[Residuals]:
        if self.layout.num_chunks == 1:
            return []
        is_known = ~np.isnan(self.border_step)
        stddev = np.where(is_known, _BORDER_STDDEV, _CHANGE)[:, None]
        change = np.diff(state.log_scale) - np.where(is_known, self.border_step, 0)
        weight = 1 / stddev[:, :, None]
        at = self.layout.scale_at + np.arange(self.layout.num_chunks)
        blocks = [Block(at[:-1], -weight), Block(at[1:], weight)]
        # Chunks may differ by much, but few do.
        return [Residuals(change[:, None] / stddev, blocks, robust=_ROBUST)]
