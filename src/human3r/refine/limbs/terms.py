"""What is known of a person's motion: what images showed, how slowly errors change, and physics.

An image says well where joints are across the line of sight and badly how far away: errors of
the distance, and of the turns that go with it, are large and change over half a second. Errors like
that follow Ornstein and Uhlenbeck 1930; the prior of motion is white acceleration, as in every
Kalman smoother (Rauch, Tung and Striebel 1965).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from human3r.refine.limbs.banded import Tied
from human3r.refine.limbs.kinematics import NUM_UNKNOWNS, SEEN, TURNING, Chain, Posed
from human3r.refine.limbs.stances import OVER_S, across, averaged, rays_of

_KNEES = tuple(TURNING.index(joint) for joint in (4, 5))
_HINGE = 0.3
"""Turns of knees about other axes than their own, against those about it."""
_BACKWARD_RAD = 0.02
"""Standard deviation of knees that bend backward."""
_LASTS_S = 0.4
"""Time over which errors of distances and turns are alike."""
_RAD_PER_M, _MOST_RAD = 1.5, 0.15
"""Errors of turns go with those of feet's distances."""
_ACCELERATION, _LEAST_ACCELERATION = 1.5, 1.5
"""Standard deviation of a joint's accelerations over those across the ray, and at least, m/s^2."""
_STILL_M = 0.003
"""Between frames, of the skin of feet that stand."""
_IMAGE = 1.5
"""Standard deviation of joints across the ray over that of standing feet, chosen on ``val``."""
_ALIKE_S = 0.1
"""Errors in the image of frames that are nearer in time are alike."""
_IMAGE_ROBUST, _MOTION_ROBUST, _STILL_ROBUST = 3.0, 2.0, 10.0
_LEAST_M = 1e-5


@dataclass(frozen=True)
class Known:
    """A stretch of a person's frames and what is known about them."""

    chain: Chain
    centres: Float[np.ndarray, "rows 3"]
    """Of the cameras."""
    times_s: Float[np.ndarray, " rows"]
    stands: Float[np.ndarray, "rows skin"]
    """How much each skin point is believed to stand, 0 to 1."""
    trembling_m: Float[np.ndarray, "2"]
    """Standard deviations of feet's places along and across the ray."""

    def rows(self, which: slice) -> "Known":
        """Some of the frames, in a row."""
        chain = Chain(
            self.chain.rotations[which],
            self.chain.pelvis[which],
            self.chain.bones[which],
            self.chain.skin[which],
            self.chain.rides_on,
        )
        some = (self.centres[which], self.times_s[which], self.stands[which])
        return Known(chain, *some, self.trembling_m)


class Terms:
    """Residuals of a stretch."""

    def __init__(self, known: Known) -> None:
        """Work out what does not change."""
        self.known = known
        count = len(known.times_s)
        self.came = known.chain.posed(np.zeros((count, len(TURNING), 3)), np.zeros((count, 3)))
        self.rays = rays_of(self.came.points, known.centres)
        self.step_s = np.diff(known.times_s)
        self.along_m, self.across_m = np.maximum(known.trembling_m, _LEAST_M)
        self.acceleration = self._accelerations()
        self.crowded = np.sqrt(max(1.0, _ALIKE_S / float(np.median(self.step_s))))

    def of(
        self, turn: Float[np.ndarray, "rows turning 3"], shift: Float[np.ndarray, "rows 3"]
    ) -> list[Tied]:
        """All residuals."""
        posed = self.known.chain.posed(turn, shift)
        by = self.known.chain.derivatives(posed)
        terms = [self._image(posed, by), *self._drift(turn, shift), self._knees(posed)]
        return [*terms, self._motion(posed, by), self._still(posed, by)]

    def _image(self, posed: Posed, by: np.ndarray) -> Tied:
        """Joints appear where they appeared."""
        rays = self.rays[:, : len(SEEN)]
        off = (posed.points - self.came.points)[:, : len(SEEN)]
        size = _IMAGE * self.across_m * self.crowded
        sideways = (np.eye(3) - rays[..., :, None] * rays[..., None, :]) / size
        values = np.einsum("npij,npj->npi", sideways, off)
        return Tied(values, [sideways @ by[:, : len(SEEN)]], _IMAGE_ROBUST)

    def image_error(self, posed: Posed) -> float:
        """Root mean square of how far joints went from where they appeared, over trembling."""
        off = (posed.points - self.came.points)[:, : len(SEEN)]
        off = across(off, self.rays[:, : len(SEEN)])
        return float(np.sqrt((off**2).sum(axis=-1).mean() / 2) / self.across_m)

    def _accelerations(self) -> Float[np.ndarray, " seen"]:
        """Standard deviations of joints' accelerations, m/s^2, from what images show of them."""
        half = max(1, round(OVER_S / float(np.median(self.step_s))))
        places = averaged(self.came.joints[:, SEEN], half)
        if len(places) <= 2 * half:
            return np.full(len(SEEN), _LEAST_ACCELERATION)
        second = places[2 * half :] - 2 * places[half:-half] + places[: -2 * half]
        span_s = (self.known.times_s[2 * half :] - self.known.times_s[: -2 * half]) / 2
        seen = across(second, self.rays[half:-half, : len(SEEN)]) / span_s[:, None, None] ** 2
        size = np.sqrt((seen**2).sum(axis=-1).mean(axis=0))
        return np.maximum(_LEAST_ACCELERATION, _ACCELERATION * size)

    def _drift(self, turn: np.ndarray, shift: np.ndarray) -> list[Tied]:
        """Errors of the distance and of turns: how large, and how fast they change."""
        count = len(shift)
        values = np.zeros((count, NUM_UNKNOWNS - 2, 1))
        values[:, 0, 0] = np.einsum("ni,ni->n", self.rays[:, 0], shift) / self.along_m
        values[:, 1:, 0] = turn.reshape(count, -1) / self._turn_rad()
        by = np.zeros((count, NUM_UNKNOWNS - 2, 1, NUM_UNKNOWNS))
        by[:, 0, 0, :3] = self.rays[:, 0] / self.along_m
        each = np.arange(NUM_UNKNOWNS - 3)
        by[:, 1 + each, 0, 3 + each] = 1 / self._turn_rad()
        kept = np.exp(-self.step_s / _LASTS_S)[:, None, None]
        new = np.sqrt(1 - kept**2)
        changes = (values[1:] - kept * values[:-1]) / new
        kept, new = kept[..., None], new[..., None]
        return [
            Tied(values[:1], [by[:1]]),
            Tied(changes, [-kept * by[:-1] / new, by[1:] / new]),
        ]

    def _turn_rad(self) -> Float[np.ndarray, " turns"]:
        size = np.full((len(TURNING), 3), min(_RAD_PER_M * self.along_m, _MOST_RAD))
        # A knee's own axis is the first.
        size[_KNEES, 1:] *= _HINGE
        return size.ravel()

    def _knees(self, posed: Posed) -> Tied:
        """Knees do not bend backward, or no farther than they came."""
        count = len(posed.joints)
        values = np.zeros((count, 2, 1))
        by = np.zeros((count, 2, 1, NUM_UNKNOWNS))
        for number, knee in enumerate(_KNEES):
            (bend, by_turn), (came, _) = (
                _bend(bodies.rotations[:, TURNING[knee]]) for bodies in (posed, self.came)
            )
            off = np.minimum(bend - np.minimum(came, 0), 0) / _BACKWARD_RAD
            values[:, number, 0] = off
            at = slice(3 + 3 * knee, 6 + 3 * knee)
            by[:, number, 0, at] = (off < 0)[:, None] * by_turn / _BACKWARD_RAD
        return Tied(values, [by])

    def _motion(self, posed: Posed, by: np.ndarray) -> Tied:
        """Joints hardly accelerate."""
        before, after = self.step_s[:-1, None, None], self.step_s[1:, None, None]
        size = self.acceleration[:, None] * self.crowded * (before + after) / 2
        shares = (1 / before / size, -(1 / before + 1 / after) / size, 1 / after / size)
        count, seen = len(self.step_s) - 1, slice(0, len(SEEN))
        points = posed.points[:, seen]
        values = sum(share * points[at : at + count] for at, share in enumerate(shares))
        parts = [share[..., None] * by[at : at + count, seen] for at, share in enumerate(shares)]
        return Tied(np.asarray(values), parts, _MOTION_ROBUST)

    def _still(self, posed: Posed, by: np.ndarray) -> Tied:
        """Skin of standing feet stays where it is."""
        skin = slice(len(SEEN), None)
        size = _STILL_M / self.crowded
        values = np.diff(posed.points[:, skin], axis=0) / size
        both = np.minimum(self.known.stands[1:], self.known.stands[:-1])
        parts = [-by[:-1, skin] / size, by[1:, skin] / size]
        return Tied(values, parts, _STILL_ROBUST, is_bounded=True, share=both)


def _bend(
    rotations: Float[np.ndarray, "rows 3 3"],
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, "rows 3"]]:
    """Flexion of a knee about its first axis, rad, and its derivative by a turn from the right."""
    second, third = rotations[:, 1], rotations[:, 2]
    size = second[:, 1] ** 2 + third[:, 1] ** 2
    about_first = (second[:, 1] * third[:, 2] - third[:, 1] * second[:, 2]) / size
    about_third = (third[:, 1] * second[:, 0] - second[:, 1] * third[:, 0]) / size
    by_turn = np.stack([about_first, np.zeros_like(size), about_third], axis=1)
    return np.arctan2(third[:, 1], second[:, 1]), by_turn
