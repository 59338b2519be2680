"""Detection and body errors of a sequence, and how they depend on the circumstances."""

from collections.abc import Mapping

import numpy as np

from human3r.people.fit.fitter import turn_between
from human3r_lab.evaluation.body_metrics import BodyErrors, body_errors, pelvis_of
from human3r_lab.evaluation.conditions import CONDITIONS, steps_of
from human3r_lab.evaluation.matched_frame import BodyScheme, MatchedFrame
from human3r_lab.evaluation.measures import Curve, Measure, Median, RunningMean, RunningMedian
from human3r_lab.evaluation.truth import project_px

_BY_CONDITION = {
    "recall": RunningMean,
    "mpjpe_mm": RunningMean,
    "root_error_percent": RunningMean,
    "facing_median_deg": lambda: RunningMedian(limit=180, bin_width=0.25),
}
"""What is told apart by circumstance."""
_REVERSED_DEG = 90.0


class PeoplePart:
    """Feed it every frame; memory stays flat."""

    def __init__(self, scheme: BodyScheme) -> None:
        self._scheme = scheme
        self._means: dict[str, RunningMean] = {}
        self._facing = _BY_CONDITION["facing_median_deg"]()
        self._curves = {
            name: {
                measure: [empty() for _ in condition.step_names()]
                for measure, empty in _BY_CONDITION.items()
            }
            for name, condition in CONDITIONS.items()
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
        steps = steps_of(frame.view, self._scheme.pelvis_joints)
        wanted = np.flatnonzero(people.is_counted)
        self._add_by_condition("recall", steps, wanted, np.isin(wanted, frame.true_rows))
        if len(frame.true_rows):
            self._add_errors(frame, steps)
            self._add_facing(frame, steps)

    def counts(self) -> dict[str, int]:
        """Detections, by the names of ``COUNTS``."""
        return dict(self._counts)

    def means(self) -> dict[str, Measure | Median]:
        """Mean and median errors over matched people."""
        found = {name: mean.measure() for name, mean in self._means.items()}
        found |= {"facing_median_deg": self._facing.measure()}
        return {name: measure for name, measure in found.items() if measure is not None}

    def curves(self) -> dict[str, dict[str, Curve]]:
        """Recall and errors per step of each condition."""
        return {
            condition: {name: tuple(m.measure() for m in means) for name, means in by.items()}
            for condition, by in self._curves.items()
        }

    def _add_errors(self, frame: MatchedFrame, steps: Mapping[str, np.ndarray]) -> None:
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
        percent = self._root_percent(frame, errors)
        self._mean("root_error_percent").add(percent)
        self._add_by_condition("mpjpe_mm", steps, frame.true_rows, errors.mpjpe_mm)
        self._add_by_condition("root_error_percent", steps, frame.true_rows, percent)

    def _add_facing(self, frame: MatchedFrame, steps: Mapping[str, np.ndarray]) -> None:
        people = frame.view.people
        assert people is not None
        if people.root_rotations is None:
            return
        true_roots = people.root_rotations[frame.true_rows]
        pairs = zip(true_roots, frame.root_rotations, strict=True)
        turns_deg = np.degrees([turn_between(true, own) for true, own in pairs])
        self._facing.add(turns_deg)
        self._mean("facing_over_90_percent").add(100.0 * (turns_deg > _REVERSED_DEG))
        self._add_by_condition("facing_median_deg", steps, frame.true_rows, turns_deg)

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
        self, name: str, steps: Mapping[str, np.ndarray], rows: np.ndarray, values: np.ndarray
    ) -> None:
        """Values of the true people ``rows``, each to its step of every condition."""
        for condition, step_of in steps.items():
            for step, value in zip(step_of[rows], values, strict=True):
                self._curves[condition][name][step].add(value)

    def _mean(self, name: str) -> RunningMean:
        return self._means.setdefault(name, RunningMean())
