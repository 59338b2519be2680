"""How wide a body is at some height: what skirts, coats, hair and shoes are lofted around."""

from dataclasses import dataclass

import numpy as np

from human3r_lab.synth.people.physique import Physique
from human3r_lab.synth.people.template import JOINT, body_template

_HEIGHT_JOINTS = ("left_ankle", "left_knee", "left_hip", "spine1", "spine2", "neck", "head")


@dataclass(frozen=True)
class Extent:
    """Smallest and largest coordinates of the vertices around each height."""

    low_m: np.ndarray
    """(H, 3)."""
    high_m: np.ndarray
    """(H, 3)."""


def extent_at(places_m: np.ndarray, axis: int, steps_m: np.ndarray) -> Extent:
    """Of points (n, 3), in slices around each step along an axis; empty slices are bridged."""
    half = abs(steps_m[1] - steps_m[0]) / 2
    along = places_m[:, axis]
    places_m = places_m[(along > steps_m.min() - half) & (along < steps_m.max() + half)]
    rising = steps_m if steps_m[0] < steps_m[-1] else steps_m[::-1]
    slot = np.searchsorted((rising[1:] + rising[:-1]) / 2, places_m[:, axis])
    slot = slot if rising is steps_m else len(steps_m) - 1 - slot
    low, high = (np.full((len(steps_m), 3), v) for v in (np.inf, -np.inf))
    np.minimum.at(low, slot, places_m)
    np.maximum.at(high, slot, places_m)
    known = np.flatnonzero(np.isfinite(low[:, 0]))
    for column in range(3):
        index = np.arange(len(steps_m))
        low[:, column] = np.interp(index, known, low[known, column])
        high[:, column] = np.interp(index, known, high[known, column])
    return Extent(low, high)


def shaped_height(physique: Physique, template_m: np.ndarray | float) -> np.ndarray:
    """Heights of the template as heights of a person's body."""
    numbers = [JOINT[name] for name in _HEIGHT_JOINTS]
    template = body_template().joints_m[numbers, 1]
    own = physique.joints_m[numbers, 1]
    template_m = np.asarray(template_m, float)
    inside = np.interp(template_m, template, own)
    below = own[0] + (template_m - template[0])
    above = own[-1] + (template_m - template[-1])
    return np.where(
        template_m < template[0], below, np.where(template_m > template[-1], above, inside)
    )


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 at and beyond ``low``, 1 at and beyond ``high``, smooth between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def joint_weights(shares: dict[str, np.ndarray]) -> np.ndarray:
    """(..., 55) from arrays of equal shape by joint; scaled to sum to one."""
    shape = next(iter(shares.values())).shape
    weights = np.zeros((*shape, len(JOINT)))
    for name, share in shares.items():
        weights[..., JOINT[name]] += share
    return weights / weights.sum(-1, keepdims=True)
