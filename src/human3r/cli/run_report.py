"""What a run found: one line for people, summary.json for programs."""

import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r.setting import dump_yaml
from human3r.tracking.presence import RULE, Presence

if TYPE_CHECKING:
    from human3r.io.frame_source import FrameSource
    from human3r.model.weights_file import WeightsHeader
    from human3r.pipeline import Pipeline
    from human3r.types import Frame, FrameEstimate

log = logging.getLogger(__name__)


@dataclass
class Found:
    """What a run found, counted along the way."""

    num_frames: int = 0
    num_failed: int = 0
    num_left_out: int = 0
    left_out: str = ""
    """The same by cause, in words."""
    max_people: int = 0
    presence: Presence = field(default_factory=Presence)
    path_length_m: float = 0.0
    num_motion_unknown: int = 0
    unseen: Counter[str] = field(default_factory=Counter)
    """Frames from which nothing is known, by ``FrameEstimate.unseen``."""
    seconds: float = 0.0
    stages_s: dict[str, float] = field(default_factory=dict)
    was_interrupted: bool = False
    problem: Exception | None = None
    """What ended the run before its source did."""
    _place: Any = None

    @property
    def rate_hz(self) -> float:
        """Frames per second of wall time, results written."""
        return self.num_frames / self.seconds if self.seconds > 0 else 0.0

    def count(self, frame: "Frame", estimate: "FrameEstimate") -> None:
        """Take in one more frame."""
        import numpy as np

        if frame.begins_session:
            self._place = None
        self.num_frames += 1
        self.max_people = max(self.max_people, len(estimate.people))
        self.presence.add(person.track_id for person in estimate.people)
        self.num_motion_unknown += not estimate.is_motion_known
        if estimate.unseen:
            self._remark(frame, estimate.unseen)
        place = estimate.world_from_camera[:3, 3]
        if self._place is not None:
            self.path_length_m += float(np.linalg.norm(place - self._place))
        self._place = place
        for stage, seconds in estimate.timings_s.items():
            self.stages_s[stage] = self.stages_s.get(stage, 0.0) + seconds

    def _remark(self, frame: "Frame", reason: str) -> None:
        self.unseen[reason] += 1
        if self.unseen[reason] == 1:
            from human3r.io.stream_rules import UNSEEN

            log.warning("frame at %d ns: %s", frame.stamp_ns, UNSEEN[reason])

    def line(self, folder: Path) -> str:
        """All of it in one line."""
        failed = f", {self.num_failed} failed" if self.num_failed else ""
        failed += f", {self.num_left_out} left out ({self.left_out})" if self.num_left_out else ""
        lost = f" (unknown in {self.num_motion_unknown})" if self.num_motion_unknown else ""
        failed += "".join(f", {number} {reason}" for reason, number in sorted(self.unseen.items()))
        stopped = ", interrupted" if self.was_interrupted else ""
        stopped += ", ended by an error" if self.problem else ""
        frames = f"{self.num_frames} frame{'' if self.num_frames == 1 else 's'}"
        return (
            f"{frames}{failed}{stopped}, {self.presence.words()}, camera path "
            f"{self.path_length_m:.2f} m{lost}, {self.rate_hz:.2f} frames/s: {folder}"
        )


def write_about(
    folder: Path,
    found: Found,
    pipeline: "Pipeline",
    source: "FrameSource",
    header: "WeightsHeader | None",
) -> None:
    """settings.yaml and summary.json, the last files of a run."""
    settings = pipeline.settings
    from human3r import __version__
    from human3r.io.results import whole_file

    frames = max(1, found.num_frames)
    summary = {
        "made_by": "human3r run",
        "version": __version__,
        "source": source.name,
        "frames": found.num_frames,
        "frames_failed": found.num_failed,
        "frames_left_out": found.num_left_out,
        "left_out_why": found.left_out,
        "interrupted": found.was_interrupted,
        "error": str(found.problem) if found.problem else "",
        "people": len(found.presence.confirmed_ids),
        "people_ids": found.presence.confirmed_ids,
        "people_are": RULE,
        "people_at_once": found.max_people,
        "ids": found.presence.ids,
        "camera_path_m": round(found.path_length_m, 6),
        "frames_motion_unknown": found.num_motion_unknown,
        "frames_blank": found.unseen["blank"],
        "frames_frozen": found.unseen["frozen"],
        "scale": round(pipeline.scale.value, 6),
        "seconds": round(found.seconds, 3),
        "rate_hz": round(found.rate_hz, 4),
        "stages_ms": {
            name: round(1e3 * seconds / frames, 3) for name, seconds in found.stages_s.items()
        },
        "device": str(pipeline.network.device),
        "weights": {
            "file": Path(settings.model.weights).name,
            "variant": header.variant if header else "unknown",
            "trained": header is None or header.seed is None,
        },
        "body_model": Path(settings.model.body_model).name,
        "files": sorted(
            str(path.relative_to(folder)) for path in folder.iterdir() if path.suffix != ".part"
        ),
    }
    with whole_file(folder / "settings.yaml") as file:
        file.write(dump_yaml(settings).encode("utf-8"))
    with whole_file(folder / "summary.json") as file:
        file.write((json.dumps(summary, indent=2) + "\n").encode("utf-8"))
