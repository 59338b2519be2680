"""A refinement as one least-squares problem: the kinds of residuals put together.

People are metric, the scene is not; contacts carry their metres over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from human3r.refine.contacts import Motion
from human3r.refine.recording import Recording
from human3r.refine.residuals.bodies import Bias, Noise, Smoothness
from human3r.refine.residuals.cameras import FirstCamera, Loops, Odometry, PosePairs
from human3r.refine.residuals.features import FeaturePairs, Features
from human3r.refine.residuals.scales import Scales
from human3r.refine.residuals.scene import Depth, DepthPairs
from human3r.refine.residuals.touches import Contact, Touch, plane_stddev_m
from human3r.refine.rows import Rows, following, knots_of, triples
from human3r.refine.solver import Residuals
from human3r.refine.unknowns import Layout, State

_LEAST_NOISE_M = 2e-4
_FEWEST_FOR_SCALE = 10
"""With fewer key frames in contact, scales stay as they are."""


class Kind(Protocol):
    """One kind of residuals."""

    def residuals(self, state: State) -> list[Residuals]:
        """In standard deviations."""
        ...


@dataclass(frozen=True)
class Seen:
    """What a round of refinement goes by."""

    touch: Touch
    noise_m: Float[np.ndarray, "people 2"]
    """By which places tremble, along and across the ray."""
    limb_m: Float[np.ndarray, " people"]
    """By which feet in contact tremble, whatever the body does."""
    pairs: DepthPairs
    features: FeaturePairs
    loops: PosePairs
    border_step: Float[np.ndarray, " borders"]
    """See ``start.border_steps``."""


class Problem:
    """Residuals of a state, and states after a step."""

    def __init__(
        self,
        recording: Recording,
        keys: Int[np.ndarray, " keys"],
        chunk: Int[np.ndarray, " keys"],
        rows: Rows,
        seen: Seen,
        start: State,
        smooth: bool = True,
    ) -> None:
        """Put together what ties the unknowns.

        Args:
            recording: what a stream wrote.
            keys: frames that are solved for.
            chunk: of each key frame.
            rows: of all people.
            seen: what speaks for a change.
            start: the state before the first step.
            smooth: bodies hardly accelerate; only where contacts say that they are people.
        """
        times_s, pose = recording.times_s[keys], recording.world_from_camera[keys]
        next_rows = following(rows, times_s, pose)
        self.knots = knots_of(rows, times_s, next_rows)
        touch = seen.touch
        layout = Layout(chunk, len(rows.key), len(self.knots.row), touch.num_episodes)
        self.layout, self.moved, self.num_unknowns = layout, layout.moved, layout.num_unknowns
        noise_m = np.maximum(seen.noise_m, _LEAST_NOISE_M)
        plane_m = plane_stddev_m(touch, start.rotation, recording.depth_stddev)
        self.contact = Contact(layout, rows, touch, noise_m, seen.limb_m, plane_m)
        scale_stddev = 0.0 if recording.is_metric else recording.scale_stddev
        is_seen = len(np.unique(touch.row)) >= _FEWEST_FOR_SCALE
        self.kinds: Sequence[Kind] = [
            FirstCamera(pose[0]),
            Odometry(layout, pose, seen.loops, seen.features.steps_seen(len(keys))),
            Loops(layout, seen.loops),
            Scales(layout, scale_stddev, is_seen, seen.border_step),
            Bias(layout, rows, self.knots),
            Noise(layout, rows, self.knots, noise_m),
            self.contact,
            Depth(layout, seen.pairs),
            Features(layout, seen.features),
        ]
        if smooth and len(touch.row):
            at = triples(next_rows, len(rows.key))
            self.kinds = [*self.kinds, Smoothness(layout, rows, times_s, at, start)]

    def residuals(self, state: State) -> list[Residuals]:
        """All of them, in standard deviations."""
        groups = [group for kind in self.kinds for group in kind.residuals(state)]
        return [group for group in groups if len(group.values)]

    def begun(self, state: State) -> State:
        """The same state with room for the biases and episodes of this problem."""
        bias = state.bias
        if len(bias) != len(self.knots.row):
            bias = np.concatenate([state.shift, state.turn], axis=1)[self.knots.row]
        return replace(state, bias=bias, landmark=self.contact.landmarks(state))


def first_state(
    recording: Recording,
    keys: Int[np.ndarray, " keys"],
    chunk: Int[np.ndarray, " keys"],
    log_scale: Float[np.ndarray, " chunks"],
    num_rows: int,
) -> State:
    """Everything as it came, but for the scales of the ways."""
    pose = recording.world_from_camera[keys]
    step = np.diff(pose[:, :3, 3], axis=0) * np.exp(log_scale[chunk[1:]])[:, None]
    centre = np.concatenate([pose[:1, :3, 3], pose[0, :3, 3] + np.cumsum(step, axis=0)])
    nothing = np.zeros((num_rows, 3))
    return State(
        pose[:, :3, :3].copy(),
        centre,
        log_scale.copy(),
        nothing,
        nothing.copy(),
        np.zeros((0, 6)),
        np.zeros((0, 3)),
    )


def motion_of(
    recording: Recording, keys: np.ndarray, rows: Rows, state: State, person: int
) -> tuple[Motion, np.ndarray]:
    """A person's skin points in the world at key frames; and in the camera frames."""
    mine = np.flatnonzero(rows.person == person)
    track = recording.tracks[person]
    key = rows.key[mine]
    offset = track.points[rows.track_row[mine]] - rows.place[mine][:, None]
    turned = Rotation.from_rotvec(state.turn[mine]).as_matrix() if len(mine) else np.eye(3)[None]
    camera = np.einsum("nij,npj->npi", turned, offset)
    camera += (rows.place[mine] + state.shift[mine])[:, None]
    world = np.einsum("nij,npj->npi", state.rotation[key], camera) + state.centre[key][:, None]
    return Motion(key, recording.times_s[keys[key]], world, track.parts), camera
