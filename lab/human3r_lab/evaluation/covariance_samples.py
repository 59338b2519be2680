"""What the covariance of a network is fitted to: errors of its people, seen and out of sight."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from human3r.errors import NonFiniteError
from human3r.pipeline import Pipeline
from human3r_lab.evaluation.matched_frame import BodyScheme, MatchedFrame, match_frame
from human3r_lab.evaluation.pose_errors import PoseError, PoseErrors
from human3r_lab.evaluation.runner import TrueSequence

_EVERY = 4
"""One made-up occlusion begins at every so many frames."""
_FRAMES_BEFORE = 6
"""Enough to be confirmed and to have a velocity."""


def pose_errors_of(
    sequence: TrueSequence, pipeline: Pipeline, scheme: BodyScheme
) -> tuple[list[PoseError], list[PoseError]]:
    """Errors of the people of one sequence: of the measured, and of those out of sight.

    People are rarely hidden as long as a prediction may last, so all are also taken away on
    purpose, again and again, while the truth goes on.

    Raises:
        InputError: the sequence is damaged.
    """
    frames = list(_frames(sequence, pipeline, scheme))
    seen: list[PoseError] = []
    unseen: list[PoseError] = []
    for error in _errors(frames, pipeline):
        (unseen if error.circumstances.unseen_s > 0 else seen).append(error)
    for start in range(_FRAMES_BEFORE, len(frames), _EVERY):
        before = frames[start - _FRAMES_BEFORE : start]
        hidden = [_without_people(frame) for frame in frames[start:]]
        unseen += [e for e in _errors(before + hidden, pipeline) if e.circumstances.unseen_s > 0]
    return seen, unseen


def _frames(
    sequence: TrueSequence, pipeline: Pipeline, scheme: BodyScheme
) -> Iterator[MatchedFrame]:
    pipeline.reset(keep_scale=False)
    with closing(sequence.views()) as views:
        for view in views:
            try:
                estimate = pipeline.step(view.frame)
            except NonFiniteError:
                continue
            frame = match_frame(view, estimate, scheme)
            if frame is not None:
                yield frame


def _errors(frames: Sequence[MatchedFrame], pipeline: Pipeline) -> list[PoseError]:
    errors = PoseErrors(pipeline.body_model, pipeline.settings)
    return [error for frame in frames for error in errors.of(frame)]


def _without_people(frame: MatchedFrame) -> MatchedFrame:
    assert frame.estimate is not None
    nobody = np.zeros(0, int)
    return replace(
        frame,
        estimate=replace(frame.estimate, people=()),
        predicted=frame.predicted[nobody],
        track_ids=nobody,
        true_rows=nobody,
    )
