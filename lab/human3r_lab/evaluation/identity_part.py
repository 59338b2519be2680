"""How well people keep their numbers over a sequence.

Source of the definitions: Bernardin and Stiefelhagen 2008 (identity switches), Ristani et al. 2016
(IDF1).
"""

from collections import Counter

import numpy as np
from scipy.optimize import linear_sum_assignment

from human3r_lab.evaluation.matched_frame import MatchedFrame


class IdentityPart:
    """Feed it every frame; memory grows with the number of people, not of frames."""

    def __init__(self) -> None:
        self._last_track: dict[int, int] = {}
        self._together: Counter[tuple[int, int]] = Counter()
        self._switches = 0
        self._predictions = 0
        self._truths = 0

    def add(self, frame: MatchedFrame) -> None:
        """One more frame."""
        people = frame.view.people
        assert people is not None
        for row, track in zip(frame.true_rows, frame.track_ids, strict=True):
            person, track = int(people.ids[row]), int(track)
            self._switches += self._last_track.get(person, track) != track
            self._last_track[person] = track
            self._together[person, track] += 1
        self._predictions += len(frame.true_rows) + frame.num_false
        self._truths += len(frame.true_rows) + frame.num_missed

    def counts(self) -> dict[str, int]:
        """Switches, and what IDF1 is made of; a switch is a person found under a new number."""
        return {
            "id_switches": self._switches,
            "id_true_positives": self._true_positives(),
            "id_predictions": self._predictions,
            "id_truths": self._truths,
        }

    def _true_positives(self) -> int:
        """Frames explained when every person is given one track, the best way round."""
        people = sorted({person for person, _ in self._together})
        tracks = sorted({track for _, track in self._together})
        frames = np.array([[self._together[p, t] for t in tracks] for p in people], int)
        frames = frames.reshape(len(people), len(tracks))
        rows, columns = linear_sum_assignment(frames, maximize=True)
        return int(frames[rows, columns].sum())
