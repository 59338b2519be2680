"""One frame's estimate beside its truth, person by person."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from human3r.types import FrameEstimate, Intrinsics
from human3r_lab.evaluation.matching import match_people
from human3r_lab.evaluation.truth import PosedBodies, TruePeople, TrueView, project_px


class BodyScheme(Protocol):
    """Which joints and vertices a benchmark compares."""

    pelvis_joints: tuple[int, ...]
    """Joints whose mean is the pelvis."""
    head_joint: int

    def posed(self, joints: np.ndarray, vertices: np.ndarray) -> PosedBodies:
        """The body model's (people, joints, 3) and (people, vertices, 3) in this scheme."""
        ...


@dataclass(frozen=True)
class MatchedFrame:
    """Who was found in one frame."""

    view: TrueView
    estimate: FrameEstimate | None
    """None when the network failed."""
    camera: Intrinsics | None
    """The predicted camera of the source image."""
    predicted: PosedBodies
    """The matched predictions, in the order of ``true_rows``."""
    root_rotations: np.ndarray
    """(matched, 3, 3) of the same: camera_from_body by SMPL-X axes."""
    track_ids: np.ndarray
    """(matched,) of the same, as published."""
    true_rows: np.ndarray
    """(matched,) which of ``view.people`` each is."""
    num_false: int
    num_missed: int
    num_ignored: int
    """Predictions matched to people who do not count."""
    num_not_finite: int
    """Predictions whose body has NaN or infinity in it; they count as false too."""

    @property
    def true(self) -> PosedBodies:
        """The matched people as they are."""
        assert self.view.people is not None
        return self.view.people.bodies[self.true_rows]


def match_frame(
    view: TrueView, estimate: FrameEstimate | None, scheme: BodyScheme
) -> MatchedFrame | None:
    """The frame with its people matched; None where the truth says nothing about people."""
    truth = view.people
    if truth is None:
        return None
    bodies, roots, track_ids = _predicted(estimate, scheme, truth)
    finite = np.ones(len(bodies), bool)
    for numbers in (bodies.joints, bodies.vertices, roots):
        finite &= np.isfinite(numbers).all(axis=(1, 2))
    bodies, roots, track_ids = bodies[finite], roots[finite], track_ids[finite]
    camera = None
    pairs: list[tuple[int, int]] = []
    num_false = int((~finite).sum())
    if estimate is not None:
        camera = estimate.source_camera
        true_camera = view.intrinsics or camera
        matches = match_people(
            project_px(bodies.joints, camera), project_px(truth.bodies.joints, true_camera)
        )
        pairs = list(matches.pairs)
        num_false += len(matches.false_positives)
    counted = [(i, j) for i, j in pairs if truth.is_counted[j]]
    rows = np.array([i for i, _ in counted], int)
    return MatchedFrame(
        view=view,
        estimate=estimate,
        camera=camera,
        predicted=bodies[rows],
        root_rotations=roots[rows],
        track_ids=track_ids[rows],
        true_rows=np.array([j for _, j in counted], int),
        num_false=num_false,
        num_missed=int(truth.is_counted.sum()) - len(counted),
        num_ignored=len(pairs) - len(counted),
        num_not_finite=int((~finite).sum()),
    )


def _predicted(
    estimate: FrameEstimate | None, scheme: BodyScheme, truth: TruePeople
) -> tuple[PosedBodies, np.ndarray, np.ndarray]:
    """Bodies, root rotations and published ids of all people measured."""
    if estimate is None or not estimate.people:
        return truth.bodies[[]], np.zeros((0, 3, 3)), np.zeros(0, int)
    bodies = scheme.posed(
        np.stack([person.joints_camera for person in estimate.people]),
        np.stack([person.vertices_camera for person in estimate.people]),
    )
    roots = np.stack([person.body.rotations[0] for person in estimate.people])
    return bodies, roots, np.array([person.track_id for person in estimate.people], int)
