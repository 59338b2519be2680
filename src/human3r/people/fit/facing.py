"""Which way a body faces, over time: people do not turn round between two images.

Seen from afar a body from the front and one from behind look alike, and a landmark network takes
one for the other occasionally. Its answer is then another body's: left and right exchanged, and
near and far. Undoing both gives back landmarks to fit.
"""

import math
from dataclasses import dataclass

import numpy as np

from human3r.people.fit.landmark_body import SWAPPED

_FREE_RAD, _MAX_RATE_RAD_S = math.radians(75), 6.0
"""A turn that is always believed, and how fast one may turn on top of it."""
_MAX_TURN_RAD = math.radians(150)
_PERSIST_FRAMES, _PERSIST_NS = 4, 600_000_000
"""A claim that lasts for both is believed; sooner where the old facing was seen for less."""
_MAX_GAP_NS = 1_000_000_000


def other_way_round(
    pixels: np.ndarray, world: np.ndarray, *per_landmark: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Landmarks with left and right, and in the world near and far, exchanged.

    Args:
        pixels: (..., 33, 2).
        world: (..., 33, 3) metres about the hips; the depth axis is the last one.
        per_landmark: further arrays (..., 33), such as visibility.
    """
    order = list(SWAPPED)
    mirrored = world[..., order, :] * np.array([1.0, 1.0, -1.0])
    return pixels[..., order, :], mirrored, *(values[..., order] for values in per_landmark)


def turn_between(a: np.ndarray, b: np.ndarray) -> float:
    """Angle in rad between the fronts of two root rotations (3, 3), about the body's long axis."""
    relative = a.T @ b
    return abs(math.atan2(relative[0, 2], relative[2, 2]))


@dataclass
class FacingGuard:
    """Of one track: remembers the last facing, and since when another one is claimed."""

    root: np.ndarray | None = None
    """(3, 3) as last believed, in a frame that does not turn with the camera."""
    _seen_ns: int = 0
    _sightings: int = 0
    """In a row, of the facing believed."""
    _since_ns: int = 0
    _until_ns: int = 0
    """First and last of these."""
    _claims: int = 0
    _claimed_since_ns: int = 0

    def is_flip(self, root: np.ndarray, stamp_ns: int) -> bool:
        """Whether a root rotation (3, 3) faces where a person cannot turn to in this time."""
        gap_ns = stamp_ns - self._seen_ns
        if self.root is None or not 0 <= gap_ns <= _MAX_GAP_NS:
            return False
        limit = min(_FREE_RAD + _MAX_RATE_RAD_S * gap_ns * 1e-9, _MAX_TURN_RAD)
        return turn_between(self.root, root) > limit

    def persists(self, stamp_ns: int) -> bool:
        """Count one more image that claims another facing; True once it is to be believed."""
        if not self._claims:
            self._claimed_since_ns = stamp_ns
        self._claims += 1
        lasted_ns = stamp_ns - self._claimed_since_ns
        held_ns = self._until_ns - self._since_ns
        is_often = self._claims >= min(_PERSIST_FRAMES, self._sightings)
        return is_often and lasted_ns >= min(_PERSIST_NS, held_ns)

    def believe(
        self,
        root: np.ndarray,
        stamp_ns: int,
        *,
        was_refused: bool = False,
        is_new: bool = False,
    ) -> None:
        """Remember a facing.

        Args:
            root: (3, 3) of the body as fitted.
            stamp_ns: of the image.
            was_refused: the image claimed another facing.
            is_new: the facing is another than before, or the first.
        """
        self.root, self._seen_ns = root, stamp_ns
        if was_refused:
            return
        self._claims, self._until_ns = 0, stamp_ns
        if is_new:
            self._sightings, self._since_ns = 0, stamp_ns
        self._sightings += 1
