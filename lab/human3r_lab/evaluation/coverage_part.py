"""Whether the published covariances are honest: how many errors lie inside one and two sigma."""

import numpy as np

from human3r_lab.evaluation.matched_frame import MatchedFrame
from human3r_lab.evaluation.measures import Measure, RunningMean
from human3r_lab.evaluation.pose_errors import PoseErrors

_SUFFIXES = {1: "within_sigma", 2: "within_2_sigma"}
_MEASURE_OF = {"along": "along", "across": "across", "turn": "rotation", "tilt": "rotation"}


class CoveragePart:
    """Feed it every frame of a sequence."""

    def __init__(self, errors: PoseErrors) -> None:
        """Nothing is measured yet.

        Args:
            errors: of this sequence, with the covariances as they are published.
        """
        self._errors = errors
        self._shares: dict[str, RunningMean] = {}

    def add(self, frame: MatchedFrame) -> None:
        """One more frame; whose covariance is unknown is left out."""
        for error in self._errors.of(frame):
            if error.covariance is None:
                continue
            for name, values in error.in_stddev(error.covariance).items():
                is_unseen = error.circumstances.unseen_s > 0
                self._add("unseen" if is_unseen else _MEASURE_OF[name], np.abs(values))

    def _add(self, name: str, sizes: np.ndarray) -> None:
        for sigmas, suffix in _SUFFIXES.items():
            share = self._shares.setdefault(f"{name}_{suffix}", RunningMean())
            share.add(sizes <= sigmas)

    def means(self) -> dict[str, Measure]:
        """Shares of errors, of all people and directions."""
        found = {name: share.measure() for name, share in self._shares.items()}
        return {name: measure for name, measure in found.items() if measure is not None}
