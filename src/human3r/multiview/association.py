"""Who is who across views.

Source: CHROMM (arXiv 2603.12789): cost 0.8 * place + 0.2 * canonical pose, one to one; here the
norms are means over joints in metres, pairs of several views are merged so that every two members
of a person would be accepted, and each view gives a person one member at most.
"""

from itertools import combinations, pairwise

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from human3r.multiview.fusion import inverse
from human3r.multiview.settings import FusionSettings

PLACE_WEIGHT, POSE_WEIGHT = 0.8, 0.2
BODY_JOINTS = slice(0, 22)
"""Joints that cost: hands and face are too small to tell people apart."""
_ALONE = 1.001
"""Leaving two people alone costs this many times what is just acceptable."""


def pair_costs(
    joints_world: Float[np.ndarray, "people joints 3"],
    joints_canonical: Float[np.ndarray, "people joints 3"],
) -> Float[np.ndarray, "people people"]:
    """Cost of every two people being one, metres.

    Args:
        joints_world: of all people in all views.
        joints_canonical: relative to the pelvis, in the frame of the root's rotation.
    """
    place = _mean_distances(joints_world[:, BODY_JOINTS])
    pose = _mean_distances(joints_canonical[:, BODY_JOINTS])
    return PLACE_WEIGHT * place + POSE_WEIGHT * pose


def deviations(
    places: Float[np.ndarray, "people 3"], covariances: Float[np.ndarray, "people 3 3"]
) -> Float[np.ndarray, "people people"]:
    """How many standard deviations every two places are apart."""
    first, second = np.triu_indices(len(places), 1)
    apart = places[first] - places[second]
    information = inverse(covariances[first] + covariances[second])
    squared = (apart * (information @ apart[..., None])[..., 0]).sum(-1)
    found = np.zeros((len(places), len(places)))
    found[first, second] = found[second, first] = np.sqrt(np.maximum(squared, 0.0))
    return found


def group(
    costs: Float[np.ndarray, "people people"],
    views: Int[np.ndarray, " people"],
    max_cost: float,
) -> list[list[int]]:
    """Rows that are one person, each with one row per view at most; the unmatched stay alone.

    Two views are matched by the Hungarian method. Of several views, matches are merged cheapest
    first, where the mean cost between the two groups is acceptable; what the views' order is does
    not matter.

    Args:
        costs: symmetric.
        views: number of each row's view.
        max_cost: pairs above it are not one person.
    """
    edges = _matched_pairs(costs, views, max_cost)
    table, view_of = costs.tolist(), views.tolist()
    groups = {row: [row] for row in range(len(views))}
    of_row = {row: row for row in groups}
    is_open = (costs <= max_cost) & (views[:, None] < views)
    for _, a, b in edges:
        is_open[a, b] = is_open[b, a] = False
    rest = [(table[a][b], min(a, b), max(a, b)) for a, b in np.argwhere(is_open).tolist()]
    for _, a, b in [*sorted(edges), *sorted(rest)]:
        first, second = of_row[a], of_row[b]
        if first == second:
            continue
        one, other = groups[first], groups[second]
        if {view_of[i] for i in one} & {view_of[i] for i in other}:
            continue
        if sum(table[i][j] for i in one for j in other) > max_cost * len(one) * len(other):
            continue
        groups[first] = sorted(one + other)
        for row in groups.pop(second):
            of_row[row] = first
    return sorted(groups.values())


def _matched_pairs(
    costs: np.ndarray, views: np.ndarray, max_cost: float
) -> list[tuple[float, int, int]]:
    """Acceptable pairs of the best assignment between every two views."""
    # Rows of a view side by side, so that what is between two views is a part of the table.
    order = np.argsort(views, kind="stable")
    ends = np.flatnonzero(np.diff(views[order], append=views.max(initial=0) + 1)) + 1
    parts = [slice(*span) for span in pairwise([0, *ends.tolist()])]
    table = costs[order[:, None], order]
    # What is not acceptable costs as much as leaving both alone, not what it would.
    capped = np.minimum(table, max_cost * _ALONE)
    found: list[tuple[float, int, int]] = []
    for first, second in combinations(parts, 2):
        i, j = linear_sum_assignment(capped[first, second])
        values = table[first, second][i, j]
        is_good = values <= max_cost
        pairs = zip(
            order[first][i[is_good]].tolist(), order[second][j[is_good]].tolist(), strict=True
        )
        found += [
            (value, min(pair), max(pair))
            for value, pair in zip(values[is_good].tolist(), pairs, strict=True)
        ]
    return found


def _mean_distances(joints: np.ndarray) -> np.ndarray:
    """Over joints, of every two people: |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, about their middle.

    Single precision is exact to millimetres here, and half as much work.
    """
    joints = joints.transpose(1, 0, 2)
    joints = (joints - joints.mean(axis=1, keepdims=True)).astype(np.float32)
    products = joints @ joints.transpose(0, 2, 1)
    squares = np.einsum("jpp->jp", products)
    squared = squares[:, :, None] + squares[:, None] - 2 * products
    distances = np.sqrt(np.maximum(squared, 0.0, out=squared), out=squared)
    return distances.sum(0).astype(np.float64) / len(joints)


class PairMemory:
    """What is said of pairs, averaged over time: one bad frame does not change who is who."""

    def __init__(self) -> None:
        self._keys: list[tuple[str, int]] = []
        self._values = np.zeros((0, 0, 0))
        self._ages_s = np.zeros((0, 0))
        self._stamp_ns = 0

    def forget_view(self, view: str) -> None:
        """A view's numbers mean other people from now on."""
        rows = np.array([i for i, key in enumerate(self._keys) if key[0] != view], int)
        self._values = self._values[:, rows[:, None], rows]
        self._ages_s = self._ages_s[rows[:, None], rows]
        self._keys = [self._keys[row] for row in rows]

    def update(
        self,
        keys: list[tuple[str, int]],
        values: Float[np.ndarray, "kinds people people"],
        stamp_ns: int,
        settings: FusionSettings,
    ) -> Float[np.ndarray, "kinds people people"]:
        """The values, averaged with those of before.

        Args:
            keys: view and number of each person.
            values: of now, of one kind or several.
            stamp_ns: of now.
            settings: how long to remember.
        """
        step_s = max((stamp_ns - self._stamp_ns) * 1e-9, 0.0) if self._keys else 0.0
        averaged, ages_s = values, np.zeros(values.shape[1:])
        if self._keys and step_s < settings.memory_s:
            before, ages_s, is_known = self._of(keys)
            ages_s = np.where(is_known, ages_s + step_s, 0.0)
            span_s = np.minimum(ages_s, max(settings.memory_s, 1e-9))
            share = np.where(ages_s > 0, step_s / np.maximum(span_s + step_s, 1e-9), 1.0)
            averaged = before + share * (values - before)
        self._keys, self._values = list(keys), averaged
        self._ages_s, self._stamp_ns = ages_s, stamp_ns
        return averaged

    def _of(self, keys: list[tuple[str, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray | bool]:
        """Values and ages of before in the order of ``keys``, and which pairs were known."""
        if keys == self._keys:
            return self._values, self._ages_s, True
        row_of = {key: i for i, key in enumerate(self._keys)}
        old = np.array([row_of.get(key, -1) for key in keys], int)
        is_known = (old[:, None] >= 0) & (old >= 0)
        return self._values[:, old[:, None], old], self._ages_s[old[:, None], old], is_known
