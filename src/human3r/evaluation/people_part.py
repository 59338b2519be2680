"""Detection and body errors of a sequence, and how they depend on the circumstances."""

import numpy as np

from human3r.evaluation.body_metrics import BodyErrors, body_errors, pelvis_of
from human3r.evaluation.matched_frame import BodyScheme, MatchedFrame
from human3r.evaluation.measures import Measure, RunningMean
from human3r.evaluation.truth import project_px

CONDITIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "distance": ("distance of the pelvis, m", (2, 3, 4, 5, 6, 8)),
    "inside": ("share of the body within the image", (0.4, 0.6, 0.8, 0.999)),
    "visible": ("share of that which is not hidden", (0.4, 0.6, 0.8, 0.9)),
}
"""Circumstance: title, and borders between its steps."""
_BY_CONDITION = ("recall", "mpjpe_mm", "root_error_percent")


class PeoplePart:
    """Feed it every frame; memory stays flat."""

    def __init__(self, scheme: BodyScheme) -> None:
        self._scheme = scheme
        self._means: dict[str, RunningMean] = {}
        self._curves = {
            condition: {
                name: [RunningMean() for _ in range(len(borders) + 1)] for name in _BY_CONDITION
            }
            for condition, (_, borders) in CONDITIONS.items()
        }
        self._counts = dict.fromkeys(
            (f"people_{what}" for what in ("matched", "false", "missed", "ignored", "not_finite")),
            0,
        )

    def add(self, frame: MatchedFrame) -> None:
        """One more frame."""
        self._counts["people_matched"] += len(frame.true_rows)
        self._counts["people_false"] += frame.num_false
        self._counts["people_missed"] += frame.num_missed
        self._counts["people_ignored"] += frame.num_ignored
        self._counts["people_not_finite"] += frame.num_not_finite
        people = frame.view.people
        assert people is not None
        found = np.isin(np.arange(len(people)), frame.true_rows)
        self._add_by_condition("recall", frame, people.is_counted, found[people.is_counted])
        if len(frame.true_rows):
            self._add_errors(frame)

    def counts(self) -> dict[str, int]:
        """Detections, by the names of ``COUNTS``."""
        return dict(self._counts)

    def means(self) -> dict[str, Measure]:
        """Mean errors over matched people."""
        found = {name: mean.measure() for name, mean in self._means.items()}
        return {name: measure for name, measure in found.items() if measure is not None}

    def curves(self) -> dict[str, dict[str, tuple[Measure | None, ...]]]:
        """Means per step of each condition."""
        return {
            condition: {name: tuple(m.measure() for m in means) for name, means in by.items()}
            for condition, by in self._curves.items()
        }

    def _add_errors(self, frame: MatchedFrame) -> None:
        predicted, true = frame.predicted, frame.true
        errors = body_errors(
            predicted.joints,
            true.joints,
            predicted.vertices,
            true.vertices,
            self._scheme.pelvis_joints,
        )
        for name, values in vars(errors).items():
            self._mean(name).add(values)
        self._add_places(frame)
        rows = np.isin(np.arange(len(frame.view.people)), frame.true_rows)
        order = np.argsort(frame.true_rows)
        self._add_by_condition("mpjpe_mm", frame, rows, errors.mpjpe_mm[order])
        percent = self._root_percent(frame, errors)
        self._mean("root_error_percent").add(percent)
        self._add_by_condition("root_error_percent", frame, rows, percent[order])

    def _add_places(self, frame: MatchedFrame) -> None:
        predicted, true = frame.predicted, frame.true
        head = self._scheme.head_joint
        self._mean("head_error_m").add(
            np.linalg.norm(predicted.joints[:, head] - true.joints[:, head], axis=-1)
        )
        own = pelvis_of(predicted.joints, self._scheme.pelvis_joints)[:, 0]
        self._mean("person_scale").add(
            self._distance_m(frame) / np.maximum(np.linalg.norm(own, axis=-1), 1e-3)
        )
        if frame.view.intrinsics is not None and frame.camera is not None:
            error_px = project_px(predicted.joints, frame.camera) - project_px(
                true.joints, frame.view.intrinsics
            )
            # Joints at the camera's side or behind it have no place in the image.
            in_front = (true.joints[..., 2] > 0.2) & (predicted.joints[..., 2] > 0.2)
            self._mean("joint_error_px").add(np.linalg.norm(error_px, axis=-1)[in_front])

    def _root_percent(self, frame: MatchedFrame, errors: BodyErrors) -> np.ndarray:
        return errors.root_error_mm / 10 / self._distance_m(frame)

    def _distance_m(self, frame: MatchedFrame) -> np.ndarray:
        pelvis = pelvis_of(frame.true.joints, self._scheme.pelvis_joints)[:, 0]
        return np.maximum(np.linalg.norm(pelvis, axis=-1), 1e-3)

    def _add_by_condition(
        self, name: str, frame: MatchedFrame, rows: np.ndarray, values: np.ndarray
    ) -> None:
        """Values of the true people ``rows`` (bool), each to its step of every condition."""
        people = frame.view.people
        assert people is not None
        pelvis = pelvis_of(people.bodies.joints, self._scheme.pelvis_joints)[:, 0]
        circumstances = {
            "distance": np.linalg.norm(pelvis, axis=-1),
            "inside": people.inside_share,
            "visible": people.visible_share,
        }
        for condition, circumstance in circumstances.items():
            if circumstance is None:
                continue
            steps = np.digitize(circumstance[rows], CONDITIONS[condition][1])
            for step, value in zip(steps, values, strict=True):
                self._curves[condition][name][step].add(value)

    def _mean(self, name: str) -> RunningMean:
        return self._means.setdefault(name, RunningMean())
