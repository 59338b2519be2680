"""The unknowns of a refinement: where each stands in the vector of all, and what a step changes.

In this order:

- each key frame's camera: small rotation from the right, translation of its place in the world
- each chunk's log scale: of the depth its frames saw and of the way its camera went
- each person's row (one per key frame that shows them): place in the camera frame, and a small
  rotation about the pelvis
- each person's bias: what shifts and turns of rows have in common, every two seconds
- each contact episode's landmark: the place of the world that a skin point stays at
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class State:
    """A value of all unknowns."""

    rotation: Float[np.ndarray, "keys 3 3"]
    centre: Float[np.ndarray, "keys 3"]
    log_scale: Float[np.ndarray, " chunks"]
    shift: Float[np.ndarray, "rows 3"]
    """Of the pelvis, camera frame."""
    turn: Float[np.ndarray, "rows 3"]
    """Rotation vector about the pelvis, camera frame."""
    bias: Float[np.ndarray, "knots 6"]
    """Slow part of shift and turn."""
    landmark: Float[np.ndarray, "episodes 3"]


@dataclass(frozen=True)
class Layout:
    """How many there are of each, and the first number of each kind in the vector of all."""

    chunk: Int[np.ndarray, " keys"]
    """Of each key frame."""
    num_rows: int
    num_knots: int
    num_episodes: int

    @property
    def num_chunks(self) -> int:
        """Each has a scale."""
        return int(self.chunk.max()) + 1

    @property
    def scale_at(self) -> int:
        """The first scale's; cameras begin at 0."""
        return 6 * len(self.chunk)

    @property
    def row_at(self) -> int:
        """The first row's."""
        return self.scale_at + self.num_chunks

    @property
    def bias_at(self) -> int:
        """The first knot's."""
        return self.row_at + 6 * self.num_rows

    @property
    def landmark_at(self) -> int:
        """The first episode's."""
        return self.bias_at + 6 * self.num_knots

    @property
    def num_unknowns(self) -> int:
        """Of all kinds."""
        return self.landmark_at + 3 * self.num_episodes

    def moved(self, state: State, step: Float[np.ndarray, " unknowns"]) -> State:
        """The state after a step."""
        cameras = step[: self.scale_at].reshape(-1, 6)
        bodies = step[self.row_at : self.bias_at].reshape(-1, 6)
        return State(
            state.rotation @ Rotation.from_rotvec(cameras[:, :3]).as_matrix(),
            state.centre + cameras[:, 3:],
            state.log_scale + step[self.scale_at : self.row_at],
            state.shift + bodies[:, :3],
            state.turn + bodies[:, 3:],
            state.bias + step[self.bias_at : self.landmark_at].reshape(-1, 6),
            state.landmark + step[self.landmark_at :].reshape(-1, 3),
        )
