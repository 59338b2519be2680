"""Errors of people's published poses, measured and predicted ones, with their circumstances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.body.base import BodyModel
from human3r.config import Settings
from human3r.streaming.people import StreamPeople
from human3r.tracking.tracks import Tracker, body_origin
from human3r.tracking.uncertainty import Circumstances, CovarianceModel, PoseUncertainty
from human3r.types import TrackedPerson
from human3r_lab.evaluation.matched_frame import MatchedFrame

_LEFT_HIP, _RIGHT_HIP = 1, 2


@dataclass(frozen=True)
class PoseError:
    """Pose errors of one person in one frame; camera frame."""

    circumstances: Circumstances
    origin_camera: np.ndarray
    """(3,) metres, estimated."""
    up_camera: np.ndarray
    """(3,) estimated unit vector from the body's origin to its head."""
    place_m: np.ndarray
    """(3,) true minus estimated."""
    turn_rad: np.ndarray
    """(3,) rotation vector that takes the estimated orientation to the true one."""
    covariance: np.ndarray | None = None
    """(6, 6) of place and orientation in the camera frame as published; None where unknown."""

    def parts(self) -> dict[str, np.ndarray]:
        """The errors by ``uncertainty.ERRORS``: two numbers each across an axis, one along it."""
        distance_m = np.linalg.norm(self.origin_camera)
        along, across = _split(self.place_m / distance_m, self.origin_camera / distance_m)
        turn, tilt = _split(self.turn_rad, self.up_camera)
        return {"along": along, "across": across, "turn": turn, "tilt": tilt}

    def modelled(self, model: CovarianceModel) -> np.ndarray:
        """(6, 6) what a model says of this person, whatever was published."""
        return model.covariance(self.circumstances, self.origin_camera, self.up_camera)

    def in_stddev(self, covariance: np.ndarray) -> dict[str, np.ndarray]:
        """Errors in the directions of ``parts`` over the standard deviations of a covariance."""
        ray = self.origin_camera / np.linalg.norm(self.origin_camera)
        place, turn = covariance[:3, :3], covariance[3:, 3:]
        along, across = _in_stddev(self.place_m, place, ray)
        about, tilt = _in_stddev(self.turn_rad, turn, self.up_camera)
        return {"along": along, "across": across, "turn": about, "tilt": tilt}


class PoseErrors:
    """Follows one sequence as the node does, and compares whom it publishes with the truth.

    A person who is not measured is compared under the number that was last matched to them.
    """

    def __init__(
        self, body_model: BodyModel, settings: Settings, covariance: CovarianceModel | None = None
    ) -> None:
        """Start without people.

        Args:
            body_model: of the estimates.
            settings: of the run.
            covariance: of the network in use, for people who bring no covariance of their own.
        """
        # Shapes are constant already.
        self._settings = settings.replace(
            {"people.visibility": True, "people.constant_shape": False}
        )
        self._people = StreamPeople(body_model, Tracker(), covariance)
        self._uncertainty = PoseUncertainty(None)
        self._person_of: dict[int, int] = {}
        """Who each number was matched to."""

    def of(self, frame: MatchedFrame) -> list[PoseError]:
        """The errors of one more frame; none where the truth has no orientations."""
        truth, estimate = frame.view.people, frame.estimate
        if estimate is None or truth is None or truth.root_rotations is None:
            return []
        people = self._people.update(estimate, self._settings).tracked
        found = self._uncertainty.circumstances(people, estimate)
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
        # The measured stand first, in the order of the estimate's people.
        assert frame.estimate is not None
        given = [person.track_id for person in frame.estimate.people]
        for index, tracked in enumerate(people):
            row = matched.get(given[index]) if tracked.is_measured else None
            if not tracked.is_measured:
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
        None if tracked.covariance is None else tracked.covariance.reshape(6, 6).astype(float),
    )


def _split(error: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A vector's part along a unit vector (1,), and its parts along two directions across (2,)."""
    parts = _directions(axis) @ error
    return parts[:1], parts[1:]


def _in_stddev(
    error: np.ndarray, covariance: np.ndarray, axis: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As ``_split``, over the standard deviation that a covariance (3, 3) has in each direction."""
    directions = _directions(axis)
    parts = directions @ error / np.sqrt(((directions @ covariance) * directions).sum(1))
    return parts[:1], parts[1:]


def _directions(axis: np.ndarray) -> np.ndarray:
    """(3, 3) rows: a unit vector and two across it."""
    aside = np.eye(3)[np.argmin(np.abs(axis))]
    first = np.cross(axis, aside)
    first /= np.linalg.norm(first)
    return np.stack([axis, first, np.cross(axis, first)])
