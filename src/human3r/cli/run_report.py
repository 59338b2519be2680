"""What a run found: one line for people, summary.json for programs."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r.config import dump_yaml

if TYPE_CHECKING:
    from human3r.io.frame_source import FrameSource
    from human3r.model.weights_file import WeightsHeader
    from human3r.pipeline import Pipeline
    from human3r.types import FrameEstimate


@dataclass
class Found:
    """What a run found, counted along the way."""

    num_frames: int = 0
    num_failed: int = 0
    max_people: int = 0
    ids: set[int] = field(default_factory=set)
    path_length_m: float = 0.0
    num_motion_unknown: int = 0
    seconds: float = 0.0
    stages_s: dict[str, float] = field(default_factory=dict)
    was_interrupted: bool = False
    _place: Any = None

    @property
    def rate_hz(self) -> float:
        """Frames per second of wall time, results written."""
        return self.num_frames / self.seconds if self.seconds > 0 else 0.0

    def count(self, estimate: "FrameEstimate") -> None:
        """Take in one more frame."""
        import numpy as np

        self.num_frames += 1
        self.max_people = max(self.max_people, len(estimate.people))
        self.ids.update(person.track_id for person in estimate.people)
        self.num_motion_unknown += not estimate.is_motion_known
        place = estimate.world_from_camera[:3, 3]
        if self._place is not None:
            self.path_length_m += float(np.linalg.norm(place - self._place))
        self._place = place
        for stage, seconds in estimate.timings_s.items():
            self.stages_s[stage] = self.stages_s.get(stage, 0.0) + seconds

    def line(self, folder: Path) -> str:
        """All of it in one line."""
        ids = sorted(self.ids)
        shown = ", ".join(map(str, ids[:8])) + (", ..." if len(ids) > 8 else "")
        people = f"{len(ids)} {'person' if len(ids) == 1 else 'people'}"
        people += f" (ids {shown})" if ids else ""
        failed = f", {self.num_failed} failed" if self.num_failed else ""
        lost = f" (unknown in {self.num_motion_unknown})" if self.num_motion_unknown else ""
        stopped = ", interrupted" if self.was_interrupted else ""
        return (
            f"{self.num_frames} frames{failed}{stopped}, {people}, camera path "
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
        "interrupted": found.was_interrupted,
        "people": len(found.ids),
        "people_at_once": found.max_people,
        "ids": sorted(found.ids),
        "camera_path_m": round(found.path_length_m, 6),
        "frames_motion_unknown": found.num_motion_unknown,
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
