"""The floor that all people stand on, learnt from those whom several cameras see.

One camera alone knows the direction of a person well and the distance badly. Where the cameras'
poses are known, and with them how high they are, the floor says the distance.
"""

from collections import deque
from statistics import median

import numpy as np
from jaxtyping import Bool, Float

from human3r.body import skeleton

_FEET = tuple(
    skeleton.JOINT_NAMES.index(f"{side}_{part}")
    for side in ("left", "right")
    for part in ("ankle", "foot")
)
_WINDOW, _ENOUGH = 300, 8
_EVERY = 10
"""Moments between two looks at a floor that is known."""
_FLAT_M = 0.1
"""People whose feet differ more in height do not stand on one floor."""
_MAX_DEVIATION = 3.0
"""Whoever is further off, in standard deviations, stands on something else."""


class Floor:
    """A height, or none while too little was seen of it.

    Attributes:
        height_m: of the lower foot's joints of people who stand on it; None while it is unknown.
    """

    def __init__(self, stddev_m: float) -> None:
        """Nothing is known yet.

        Args:
            stddev_m: of feet about the floor; 0: it is never used.
        """
        self._stddev_m = stddev_m
        self.height_m: float | None = None
        self._since_found = 0
        self._heights_m: deque[float] = deque(maxlen=_WINDOW)

    def observe(self, joints_world: Float[np.ndarray, "people joints 3"]) -> None:
        """People whose places are known well.

        Args:
            joints_world: z up.
        """
        if self._stddev_m > 0 and len(joints_world):
            self._heights_m.extend(lowest_feet_m(joints_world).tolist())
            self._since_found += 1
            if self.height_m is None or self._since_found >= _EVERY:
                self._since_found, self.height_m = 0, self._find()

    def _find(self) -> float | None:
        if self._stddev_m <= 0 or len(self._heights_m) < _ENOUGH:
            return None
        middle = median(self._heights_m)
        apart_m = median([abs(height - middle) for height in self._heights_m])
        return middle if apart_m < _FLAT_M else None

    def place(
        self,
        pelvis: Float[np.ndarray, "people 3"],
        covariance: Float[np.ndarray, "people 3 3"],
        joints: Float[np.ndarray, "people joints 3"],
        is_unsure: Bool[np.ndarray, " people"],
    ) -> tuple[
        Float[np.ndarray, "people 3"], Float[np.ndarray, "people 3 3"], Bool[np.ndarray, " people"]
    ]:
        """Places with what the floor says of them, their covariances, and for whom it did.

        Args:
            pelvis: places in the world.
            covariance: of them.
            joints: relative to the pelvis, along the world's axes.
            is_unsure: who needs it: feet leave the floor at every step, and several cameras know
                better.

        Source: Kalman's update by one measured coordinate, the height of the lower foot.
        """
        height_m = self.height_m
        if height_m is None:
            return pelvis, covariance, np.zeros(len(pelvis), bool)
        apart_m = height_m - (pelvis[:, 2] + lowest_feet_m(joints))
        variance = covariance[:, 2, 2] + self._stddev_m**2
        is_on_it = is_unsure & (apart_m**2 < _MAX_DEVIATION**2 * variance)
        gain = np.where(is_on_it[:, None], covariance[:, :, 2] / variance[:, None], 0.0)
        placed = pelvis + gain * apart_m[:, None]
        return placed, covariance - gain[:, :, None] * covariance[:, None, 2], is_on_it


def lowest_feet_m(joints: Float[np.ndarray, "people joints 3"]) -> Float[np.ndarray, " people"]:
    """Height of the lowest joint of the feet."""
    return joints[:, _FEET, 2].min(axis=-1)
