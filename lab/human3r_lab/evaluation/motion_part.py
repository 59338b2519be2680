"""Errors of each person's motion in the world frame."""

from dataclasses import dataclass, field

import numpy as np

from human3r.geometry import transform_points
from human3r_lab.evaluation.matched_frame import MatchedFrame
from human3r_lab.evaluation.measures import Measure, RunningMean
from human3r_lab.evaluation.world_metrics import (
    foot_sliding_mm,
    jitter,
    path_length_m,
    root_translation_error_percent,
    world_aligned_mpjpe_mm,
    world_mpjpe_mm,
)

_LEAST_FRAMES = 4
_LEAST_WALK_M = 0.5
"""Below this length of a path an error in percent of it says nothing."""


@dataclass
class _Motion:
    """One person over the frames in which they were matched; (frames, points, 3) in world."""

    predicted: list[np.ndarray] = field(default_factory=list)
    true: list[np.ndarray] = field(default_factory=list)
    predicted_feet: list[np.ndarray] = field(default_factory=list)
    true_feet: list[np.ndarray] = field(default_factory=list)


class MotionPart:
    """Feed it every frame; keeps some kilobytes per person and frame.

    As the protocol has it, frames in which a person was not matched are left out, and the motion
    goes on over the gap.
    """

    def __init__(self) -> None:
        self._motions: dict[int, _Motion] = {}

    def add(self, frame: MatchedFrame) -> None:
        """One more frame."""
        view, estimate = frame.view, frame.estimate
        if estimate is None or view.world_from_camera is None:
            return
        assert view.people is not None
        for row, predicted, true in zip(
            frame.true_rows,
            _bodies_in_world(frame.predicted, estimate.world_from_camera),
            _bodies_in_world(frame.true, view.world_from_camera),
            strict=True,
        ):
            motion = self._motions.setdefault(int(view.people.ids[row]), _Motion())
            for store, points in zip(
                (motion.predicted, motion.predicted_feet, motion.true, motion.true_feet),
                (*predicted, *true),
                strict=True,
            ):
                store.append(points)

    def means(self, rate_hz: float) -> dict[str, Measure]:
        """Mean errors over frames, people and joints.

        Args:
            rate_hz: of the frames; ``jitter`` needs it.
        """
        means: dict[str, RunningMean] = {}
        for motion in self._motions.values():
            if len(motion.true) >= _LEAST_FRAMES:
                for name, values in self._errors(motion, rate_hz).items():
                    means.setdefault(name, RunningMean()).add(values)
        found = {name: mean.measure() for name, mean in means.items()}
        return {name: measure for name, measure in found.items() if measure is not None}

    def _errors(self, motion: _Motion, rate_hz: float) -> dict[str, np.ndarray]:
        predicted, true = np.stack(motion.predicted), np.stack(motion.true)
        errors = {
            "w_mpjpe_mm": world_mpjpe_mm(predicted, true),
            "wa_mpjpe_mm": world_aligned_mpjpe_mm(predicted, true),
            "jitter": jitter(predicted, rate_hz),
            "true_jitter": jitter(true, rate_hz),
            "foot_sliding_mm": foot_sliding_mm(
                np.stack(motion.predicted_feet), np.stack(motion.true_feet)
            ),
        }
        roots = predicted[:, 0], true[:, 0]
        if path_length_m(roots[1]) >= _LEAST_WALK_M:
            errors["rte_percent"] = root_translation_error_percent(*roots)
            errors["rte_scaled_percent"] = root_translation_error_percent(*roots, with_scale=True)
        return errors


def _bodies_in_world(bodies, world_from_camera):
    """Joints and feet of each body, in the world."""
    joints = transform_points(world_from_camera, bodies.joints.astype(np.float64))
    feet = transform_points(world_from_camera, bodies.feet.astype(np.float64))
    return list(zip(joints.astype(np.float32), feet.astype(np.float32), strict=True))
