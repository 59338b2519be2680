"""The static scene: points of one key frame on planes that another one saw.

Point to plane, Chen and Medioni 1992, "Object modelling by registration of multiple range images".
"""

from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from human3r.refine.recording import Recording
from human3r.refine.residuals.derivatives import (
    cross,
    mean_scale,
    of_mean_scale,
    of_scene_point,
    scaled,
    turned_back,
    world,
)
from human3r.refine.solver import Block, Residuals
from human3r.refine.surface import Samples
from human3r.refine.unknowns import Layout, State

_ROBUST = 3.0
_APART = (1, 3)
_SAMPLES = 60
_COUNTS = 10
_FEWEST = 10
"""Of two key frames, that lie on planes."""
_AT_ONCE = 256
"""Pairs of key frames whose planes are found together: some ten megabytes."""
_LEAST_SHARE = 0.01
_LEAST_OFF_SHARE = 1e-4
_FLATTEST = 0.1
"""Of samples around one that are to be a plane: thickness over width."""


@dataclass(frozen=True)
class DepthPairs:
    """Scene points of one key frame on planes seen by another."""

    key: Int[np.ndarray, " n"]
    place: Float[np.ndarray, "n 3"]
    other: Int[np.ndarray, " n"]
    other_place: Float[np.ndarray, "n 3"]
    normal_other: Float[np.ndarray, "n 3"]
    """In the other camera's frame."""
    stddev: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Depth:
    """Depth of neighbouring key frames agrees."""

    layout: Layout
    pairs: DepthPairs

    def residuals(self, state: State) -> list[Residuals]:
        """Distances from planes."""
        layout, pairs = self.layout, self.pairs
        normal = np.einsum("nij,nj->ni", state.rotation[pairs.other], pairs.normal_other)
        one = world(state, pairs.key, scaled(layout, state, pairs.key, pairs.place))
        two = world(state, pairs.other, scaled(layout, state, pairs.other, pairs.other_place))
        factor = (1 / (mean_scale(state) * pairs.stddev))[:, None]
        values = np.einsum("ni,ni->n", normal, one - two)[:, None] * factor
        # The normal turns with the other camera.
        turned = cross(pairs.normal_other)
        lever = turned_back(state.rotation[pairs.other], one - two)
        by_turn = np.einsum("ni,nij->nj", lever, -turned)[:, None, :]
        by_camera = np.concatenate([by_turn, np.zeros_like(by_turn)], axis=2)
        blocks = [
            *of_scene_point(layout, state, pairs.key, pairs.place, factor, normal),
            *of_scene_point(layout, state, pairs.other, pairs.other_place, -factor, normal),
            Block(6 * pairs.other, by_camera * factor[:, :, None]),
            of_mean_scale(layout, values),
        ]
        return [Residuals(values, blocks, _ROBUST)]


def depth_pairs(
    recording: Recording, samples: Samples, state: State, chunk: Int[np.ndarray, " keys"]
) -> DepthPairs:
    """Samples of neighbouring key frames that show the same plane.

    The spread of their distances, as they come, is how far depth can be trusted.
    """
    near = (
        found
        for apart in _APART
        for key in range(len(state.rotation) - apart)
        if (found := _near(samples, state, chunk, key, key + apart)) is not None
    )
    parts = []
    while some := list(islice(near, _AT_ONCE)):
        parts.append(_on_planes(some, state, chunk))
    if not sum(len(part[0]) for part in parts):
        none, empty = np.zeros(0, int), np.zeros((0, 3))
        return DepthPairs(none, empty, none, empty, empty, np.zeros(0))
    key, place, other, other_place, normal, off = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    depth = np.linalg.norm(other_place, axis=1)
    share = 1.4826 * float(np.median(np.abs(off) / depth))
    # At edges planes are none; of a loop or a border only what agrees after the first guess counts.
    keep = np.abs(off) < (3 * share + _LEAST_OFF_SHARE) * depth
    columns = (key, place, other, other_place, normal)
    key, place, other, other_place, normal = (column[keep] for column in columns)
    depth = depth[keep]
    # Depth of one image errs together: all samples of a pair count as few.
    alike = np.sqrt(_SAMPLES / _COUNTS)
    stddev = np.maximum(share, _LEAST_SHARE) * depth * alike
    return DepthPairs(key, place, other, other_place, normal, stddev)


class _Near(NamedTuple):
    """Samples of one key frame with those that another saw in nearly the same direction."""

    key: np.ndarray
    place: np.ndarray
    other: np.ndarray
    there: np.ndarray
    """(n, 3) the place in the other camera's frame."""
    off: np.ndarray
    """(n,) distance of the nearest at depth 1."""
    around: np.ndarray
    """(n, neighbours, 3) of the other camera, not scaled."""


def _near(samples: Samples, state: State, chunk: np.ndarray, key: int, other: int) -> _Near | None:
    mine, theirs = samples.of(key), samples.of(other)
    if min(len(mine), len(theirs)) < 30:
        return None
    mine = mine[:: max(1, len(mine) // _SAMPLES)]
    scale = np.exp(state.log_scale[chunk[key]])
    world = scale * mine @ state.rotation[key].T + state.centre[key]
    there = (world - state.centre[other]) @ state.rotation[other]
    ahead = there[:, 2] > 0.05
    mine, there = mine[ahead], there[ahead]
    off, index = samples.directions(other).query(there[:, :2] / there[:, 2:], 9)
    count = len(mine)
    return _Near(np.full(count, key), mine, np.full(count, other), there, off[:, 0], theirs[index])


def _on_planes(near: list[_Near], state: State, chunk: np.ndarray) -> tuple[np.ndarray, ...]:
    """Key, place, other key, its plane's place and normal, and distance of those on planes."""
    key, mine, other, there, off, around = (np.concatenate(c) for c in zip(*near, strict=True))
    centre = around.mean(axis=1)
    spread = around - centre[:, None]
    variances, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", spread, spread))
    normal = axes[:, :, 0]
    scale = np.exp(state.log_scale[chunk[other]])[:, None]
    distance = np.einsum("ni,ni->n", normal, there - scale * centre)
    depth = np.linalg.norm(centre, axis=1)
    good = (off < 0.05) & (np.abs(distance) < 0.2 * depth)
    good &= np.sqrt(np.maximum(variances[:, 0], 0)) < _FLATTEST * np.sqrt(variances[:, 1])
    # Seen edge-on, depth says little about a plane.
    good &= np.abs(np.einsum("ni,ni->n", normal, centre)) > 0.15 * depth
    pair = np.repeat(np.arange(len(near)), [len(one.key) for one in near])
    good &= (np.bincount(pair[good], minlength=len(near)) >= _FEWEST)[pair]
    return tuple(column[good] for column in (key, mine, other, centre, normal, distance))
