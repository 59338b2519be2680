"""Who was there, and not just a number given away once: seen in enough frames."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any

MIN_SHARE = 0.1
ENOUGH_FRAMES = 30

RULE = f"seen in {MIN_SHARE:.0%} of the frames, or in {ENOUGH_FRAMES} frames"
"""Who counts as a person, in words."""


def frames_needed(num_frames: int, min_share: float = MIN_SHARE) -> int:
    """In how many of ``num_frames`` a person must have been seen.

    A tenth of them, so that occasional false positives of the detector do not count; 30
    are enough, so that who walks through a long recording does.

    Args:
        num_frames: of the recording.
        min_share: another share, 0 to 1; for one of more than a tenth, 30 are not enough.
    """
    most = ENOUGH_FRAMES if min_share <= MIN_SHARE else num_frames
    return max(1, min(most, math.ceil(min_share * num_frames)))


class Presence:
    """Counts frames per identity.

    Attributes:
        num_frames: seen so far, also those without anybody.
    """

    def __init__(self) -> None:
        self.num_frames = 0
        self._frames: Counter[Any] = Counter()

    def add(self, track_ids: Iterable[Hashable]) -> None:
        """One more frame with all people measured in it."""
        self.num_frames += 1
        self._frames.update(track_ids)

    @property
    def ids(self) -> list[Any]:
        """Every identity seen, in order."""
        return sorted(self._frames)

    @property
    def confirmed_ids(self) -> list[Any]:
        """Those seen often enough to be people, in order."""
        needed = frames_needed(self.num_frames)
        return sorted(track for track, count in self._frames.items() if count >= needed)

    def words(self) -> str:
        """How many there were, for a line of text: ``5 ids, 2 people confirmed (0, 3)``."""
        ids, people = self.ids, self.confirmed_ids
        shown = ", ".join(map(str, people[:8])) + (", ..." if len(people) > 8 else "")
        named = f"{len(people)} {'person' if len(people) == 1 else 'people'} confirmed"
        named += f" ({shown})" if people else ""
        return f"{len(ids)} {'id' if len(ids) == 1 else 'ids'}, {named}"
