"""One sequence: frames go in with what the network said, numbers come out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from human3r.config import Settings
from human3r.types import FrameEstimate
from human3r_lab.evaluation.camera_part import CameraPart
from human3r_lab.evaluation.coverage_part import CoveragePart
from human3r_lab.evaluation.floor_part import FloorPart
from human3r_lab.evaluation.identity_part import IdentityPart
from human3r_lab.evaluation.matched_frame import BodyScheme, MatchedFrame, match_frame
from human3r_lab.evaluation.measures import SequenceResult
from human3r_lab.evaluation.motion_part import MotionPart
from human3r_lab.evaluation.people_part import PeoplePart
from human3r_lab.evaluation.scene_part import DepthPart, MaskPart
from human3r_lab.evaluation.truth import TrueView

_DEFAULT_RATE_HZ = 30.0


@dataclass(frozen=True)
class DepthProtocol:
    """How a benchmark takes depth."""

    alignments: Sequence[str] = ("metric", "scale", "median")
    """Of ``depth_metrics.ALIGNMENTS``."""
    max_depth_m: float = math.inf
    """Truth from here on is left out."""
    clip_m: float = math.inf
    """Aligned depth is clipped here."""


class SequenceEvaluator:
    """Feed it every frame in order, then ask for the result. Close it in any case."""

    def __init__(
        self,
        scheme: BodyScheme,
        settings: Settings,
        depth: DepthProtocol,
        coverage: CoveragePart | None = None,
    ) -> None:
        self._scheme = scheme
        self._coverage = coverage
        self._people = PeoplePart(scheme)
        self._identity = IdentityPart()
        self._motion = MotionPart()
        self._floor = FloorPart()
        self._camera = CameraPart(settings.odometry)
        self._depth = DepthPart(
            depth.alignments, max_depth_m=depth.max_depth_m, clip_m=depth.clip_m
        )
        self._mask = MaskPart(settings.scene.mask_threshold)
        self._stamps_ns: list[int] = []
        self._has_people = False
        self._frames_failed = 0

    def add(self, view: TrueView, estimate: FrameEstimate | None) -> MatchedFrame | None:
        """One more frame; no estimate means that the network failed on it.

        Returns:
            Who was found; None where the truth says nothing about people.

        Raises:
            OutputError: the disk of temporary files is full.
        """
        self._stamps_ns.append(view.frame.stamp_ns)
        self._frames_failed += estimate is None
        frame = match_frame(view, estimate, self._scheme)
        if frame is not None:
            self._has_people = True
            for part in (self._people, self._identity, self._motion, self._floor):
                part.add(frame)
            if self._coverage is not None:
                self._coverage.add(frame)
        if estimate is not None:
            for part in (self._camera, self._depth, self._mask):
                part.add(view, estimate)
        return frame

    def result(self, name: str, group: str, error: str = "") -> SequenceResult:
        """Everything measured so far; a mean that is not finite becomes an error."""
        counts, means, curves = {}, {}, {}
        if self._has_people:
            counts |= self._people.counts() | self._identity.counts()
            means |= self._people.means() | self._floor.means()
            means |= self._motion.means(self._rate_hz())
            if self._coverage is not None:
                means |= self._coverage.means()
            curves = self._people.curves()
        means |= self._camera.means() | self._depth.means()
        absurd = sorted(name for name, mean in means.items() if not math.isfinite(mean.value))
        if absurd:
            error = f"{error} Not finite: {', '.join(absurd)}.".strip()
        return SequenceResult(
            name=name,
            group=group,
            frames=len(self._stamps_ns),
            frames_failed=self._frames_failed,
            counts=counts | self._mask.counts(),
            means={name: mean for name, mean in means.items() if name not in absurd},
            curves=curves,
            error=error,
        )

    def close(self) -> None:
        """Forget what waits on disk."""
        self._depth.close()

    def _rate_hz(self) -> float:
        if len(self._stamps_ns) < 2:
            return _DEFAULT_RATE_HZ
        return 1e9 / float(np.median(np.diff(self._stamps_ns)))
