"""How far two pipelines part over a stream: the same frames through both, a state in each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from human3r import Frame
from human3r.pipeline import Pipeline
from human3r.types import FrameEstimate, PersonEstimate

NEAR_PX = 40.0
"""Heads of one person in two answers lie no farther apart, in pixels of the source image."""


@dataclass
class Drift:
    """Differences of one pipeline's answers to another's; one number per frame or person."""

    depth: list[float] = field(default_factory=list)
    """Median over the image of the relative difference of depth."""
    camera_m: list[float] = field(default_factory=list)
    """Between the camera's places."""
    camera_deg: list[float] = field(default_factory=list)
    """Between the camera's directions."""
    focal: list[float] = field(default_factory=list)
    """Relative difference of the focal length."""
    joints_m: list[float] = field(default_factory=list)
    """Mean over a person's joints, in the camera frame."""
    root_relative_m: list[float] = field(default_factory=list)
    """The same with both pelvises in one place."""
    farthest_m: float = 0.0
    """How far the first pipeline's camera got from where it began."""
    people: int = 0
    """Whom the first pipeline found."""
    unmatched: int = 0
    """Whom only one of both found."""

    def add(self, want: FrameEstimate, got: FrameEstimate) -> None:
        """Compare the answers to one frame."""
        z_want, z_got = want.points_camera[..., 2], got.points_camera[..., 2]
        self.depth.append(float(np.median(np.abs(z_got - z_want) / np.abs(z_want))))
        ours, theirs = got.world_from_camera, want.world_from_camera
        self.camera_m.append(float(np.linalg.norm(ours[:3, 3] - theirs[:3, 3])))
        self.farthest_m = max(self.farthest_m, float(np.linalg.norm(theirs[:3, 3])))
        self.camera_deg.append(_angle_deg(ours[:3, :3], theirs[:3, :3]))
        # A network without training may give none at all.
        focal = max(want.intrinsics.fx, 1.0)
        self.focal.append(abs(got.intrinsics.fx - want.intrinsics.fx) / focal)
        pairs = _same_people(want.people, got.people)
        self.people += len(want.people)
        self.unmatched += len(want.people) + len(got.people) - 2 * len(pairs)
        for one, other in pairs:
            gap = other.joints_camera - one.joints_camera
            self.joints_m.append(float(np.linalg.norm(gap, axis=-1).mean()))
            self.root_relative_m.append(float(np.linalg.norm(gap - gap[0], axis=-1).mean()))

    def summary(self) -> dict[str, dict[str, float] | float]:
        """Each difference's median, in both halves of the stream too, 95th percentile and worst."""
        rows: dict[str, dict[str, float] | float] = {}
        for name, values, factor in (
            ("depth_percent", self.depth, 100),
            ("focal_percent", self.focal, 100),
            ("camera_mm", self.camera_m, 1e3),
            ("camera_degrees", self.camera_deg, 1),
            ("joints_mm", self.joints_m, 1e3),
            ("joints_pelvis_in_place_mm", self.root_relative_m, 1e3),
        ):
            if len(values) < 2:
                continue
            scaled = factor * np.asarray(values)
            early, late = np.array_split(scaled, 2)
            rows[name] = {
                "median": float(np.median(scaled)),
                "first_half": float(np.median(early)),
                "second_half": float(np.median(late)),
                "p95": float(np.percentile(scaled, 95)),
                "worst": float(scaled.max()),
            }
        rows["camera_farthest_mm"] = 1e3 * self.farthest_m
        rows["people"] = self.people
        rows["people_found_by_one_only"] = self.unmatched
        return rows


def compare(exact: Pipeline, short: Pipeline, frames: Iterable[Frame]) -> Drift:
    """The frames through both pipelines, each with its own recurrent state."""
    drift = Drift()
    for frame in frames:
        drift.add(exact.step(frame), short.step(frame))
    return drift


def _same_people(
    want: Sequence[PersonEstimate], got: Sequence[PersonEstimate]
) -> list[tuple[PersonEstimate, PersonEstimate]]:
    """Nearest heads first, each person once."""
    gaps = sorted(
        (float(np.linalg.norm(one.head_px - other.head_px)), i, j)
        for i, one in enumerate(want)
        for j, other in enumerate(got)
    )
    pairs: dict[int, int] = {}
    for gap, i, j in gaps:
        if gap <= NEAR_PX and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return [(want[i], got[j]) for i, j in pairs.items()]


def _angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    # Of the rotation between both; the chord, because the cosine is flat where angles are small.
    chord = float(np.linalg.norm(one - other)) / np.sqrt(8)
    return float(np.degrees(2 * np.arcsin(min(1.0, chord))))
