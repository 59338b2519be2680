"""Errors of people's published poses, measured and predicted ones, with their circumstances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.body.base import BodyModel
from human3r.config import Settings
from human3r.evaluation.matched_frame import MatchedFrame
from human3r.streaming.sights import Sights
from human3r.tracking.tracks import TrackedPerson, Tracker, TrackState, body_origin
from human3r.tracking.uncertainty import Circumstances, CovarianceModel, PoseUncertainty

_LEFT_HIP, _RIGHT_HIP = 1, 2
_NUM_JOINTS = 22
_MEASURED = (TrackState.NEW, TrackState.OK)


@dataclass(frozen=True)
class PoseError:
    """How wrong one person's pose was in one frame; camera frame."""

    circumstances: Circumstances
    origin_camera: np.ndarray
    """(3,) metres, estimated."""
    up_camera: np.ndarray
    """(3,) estimated unit vector from the body's origin to its head."""
    place_m: np.ndarray
    """(3,) true minus estimated."""
    turn_rad: np.ndarray
    """(3,) rotation vector that takes the estimated orientation to the true one."""

    def parts(self) -> dict[str, np.ndarray]:
        """The errors by ``uncertainty.ERRORS``: two numbers each across an axis, one along it."""
        distance_m = np.linalg.norm(self.origin_camera)
        along, across = _split(self.place_m / distance_m, self.origin_camera / distance_m)
        turn, tilt = _split(self.turn_rad, self.up_camera)
        return {"along": along, "across": across, "turn": turn, "tilt": tilt}

    def in_stddev(self, model: CovarianceModel) -> dict[str, np.ndarray]:
        """Errors in the directions of ``parts`` over the standard deviations of the model."""
        stddev = dict(zip(self.parts(), model.stddev(self.circumstances), strict=True))
        return {name: values / stddev[name] for name, values in self.parts().items()}


class PoseErrors:
    """Follows one sequence as the node does, and compares whom it publishes with the truth.

    A person who is not measured is compared under the number that was last matched to them.
    """

    def __init__(self, body_model: BodyModel, settings: Settings) -> None:
        self._settings = settings
        self._tracker = Tracker()
        self._sights = Sights(body_model, np.arange(_NUM_JOINTS))
        self._uncertainty = PoseUncertainty(None)
        self._person_of: dict[int, int] = {}
        """Who each number was matched to."""

    def of(self, frame: MatchedFrame) -> list[PoseError]:
        """The errors of one more frame; none where the truth has no orientations."""
        truth, estimate = frame.view.people, frame.estimate
        if estimate is None or truth is None or truth.root_rotations is None:
            return []
        people = self._tracker.update(estimate, self._settings.people)
        sights = self._sights.see(
            estimate, estimate.intrinsics, self._settings.scene.mask_threshold
        )
        camera = estimate.geometry.source_intrinsics(estimate.intrinsics)
        found = self._uncertainty.circumstances(people, sights, estimate, camera)
        rows = self._true_rows(people, frame)
        return [
            _error(tracked, circumstances, frame, row)
            for tracked, circumstances, row in zip(people, found, rows, strict=True)
            if row is not None and np.isfinite(tracked.person.joints_camera).all()
        ]

    def _true_rows(self, people: Sequence[TrackedPerson], frame: MatchedFrame) -> list[int | None]:
        """Which of the true people each one is; None where that is not known."""
        truth = frame.view.people
        assert truth is not None
        matched = dict(zip(frame.track_ids.tolist(), frame.true_rows.tolist(), strict=True))
        row_of = {person: row for row, person in enumerate(truth.ids.tolist())}
        rows: list[int | None] = []
        for tracked in people:
            row = matched.get(tracked.person.track_id)
            if tracked.state not in _MEASURED:
                row = row_of.get(self._person_of.get(tracked.number, -1))
            elif row is not None:
                self._person_of[tracked.number] = int(truth.ids[row])
            rows.append(row)
        return rows


def _error(
    tracked: TrackedPerson, circumstances: Circumstances, frame: MatchedFrame, row: int
) -> PoseError:
    truth = frame.view.people
    assert truth is not None
    assert truth.root_rotations is not None
    joints = truth.bodies.joints[row].astype(np.float64)
    origin, root = body_origin(tracked.person), tracked.person.body.rotations[0]
    between = truth.root_rotations[row].astype(np.float64) @ root.astype(np.float64).T
    return PoseError(
        circumstances,
        origin,
        root[:, 1].astype(np.float64),
        (joints[_LEFT_HIP] + joints[_RIGHT_HIP]) / 2 - origin,
        Rotation.from_matrix(between).as_rotvec(),
    )


def _split(error: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A vector's part along a unit vector (1,), and its parts along two directions across (2,)."""
    aside = np.eye(3)[np.argmin(np.abs(axis))]
    first = np.cross(axis, aside)
    first /= np.linalg.norm(first)
    second = np.cross(axis, first)
    return np.array([error @ axis]), np.array([error @ first, error @ second])
