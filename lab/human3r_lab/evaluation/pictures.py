"""The worst and the best frames of an evaluation, as pictures of estimate and truth."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from human3r.types import BodyParameters, FrameEstimate, PersonEstimate
from human3r.viewer.labels import draw_label
from human3r.viewer.overlay import draw_overlay
from human3r_lab.evaluation.matched_frame import MatchedFrame
from human3r_lab.evaluation.truth import TruePeople, TrueView, project_px

KINDS = ("worst", "best")
"""The pictures that are kept."""
_KEPT = 6
_WIDTH_PX = 480
_JPEG_QUALITY = 82
_MISSED_M = 1.0
"""A missed or an invented person counts as much as a head one metre off."""


@dataclass(frozen=True)
class KeptPicture:
    """One frame worth a look."""

    sequence: str
    frame: int
    badness_m: float
    """Mean head error of the frame's people in metres; one metre for each missed or invented."""
    jpeg: bytes


@dataclass(frozen=True)
class _Candidate:
    badness_m: float
    index: int
    view: TrueView
    estimate: FrameEstimate


class PictureKeeper:
    """Watches an evaluation and keeps its worst and best frames, at most one per sequence each.

    Args:
        faces: triangles of the predicted body mesh.
        true_faces: triangles of the true people's.
        head_joint: which of a body's joints is the head.
    """

    def __init__(self, faces: np.ndarray, true_faces: np.ndarray, head_joint: int) -> None:
        self._faces = faces
        self._true_faces = true_faces
        self._head_joint = head_joint
        self._sequence: str | None = None
        self._index = 0
        self._now: dict[str, _Candidate] = {}
        self._kept: dict[str, list[KeptPicture]] = {kind: [] for kind in KINDS}

    def __call__(
        self, name: str, view: TrueView, estimate: FrameEstimate, frame: MatchedFrame | None
    ) -> None:
        """One more frame."""
        if name != self._sequence:
            self._close_sequence()
            self._sequence, self._index = name, 0
        index, self._index = self._index, self._index + 1
        badness_m = None if frame is None else self._badness_m(frame)
        if badness_m is None:
            return
        for kind in KINDS:
            now = self._now.get(kind)
            if now is None or _sign(kind) * badness_m < _sign(kind) * now.badness_m:
                self._now[kind] = _Candidate(badness_m, index, view, estimate)

    def pictures(self, kind: str) -> list[KeptPicture]:
        """The pictures so far, the most extreme first.

        Args:
            kind: of ``KINDS``.
        """
        self._close_sequence()
        return list(self._kept[kind])

    def keep(self, kind: str, picture: KeptPicture) -> None:
        """One more picture of another sequence, where it is among the most extreme."""
        if self._is_kept(kind, picture.badness_m):
            kept = self._kept[kind]
            kept.append(picture)
            kept.sort(key=lambda one: _sign(kind) * one.badness_m)
            del kept[_KEPT:]

    def _is_kept(self, kind: str, badness_m: float) -> bool:
        kept = self._kept[kind]
        return len(kept) < _KEPT or _sign(kind) * badness_m < _sign(kind) * kept[-1].badness_m

    def _badness_m(self, frame: MatchedFrame) -> float | None:
        people = len(frame.true_rows) + frame.num_missed + frame.num_false
        if not people:
            return None
        head = self._head_joint
        errors = np.linalg.norm(
            frame.predicted.joints[:, head] - frame.true.joints[:, head], axis=-1
        )
        lost = frame.num_missed + frame.num_false
        return float((np.minimum(errors, _MISSED_M).sum() + _MISSED_M * lost) / people)

    def _close_sequence(self) -> None:
        for kind, candidate in self._now.items():
            if self._is_kept(kind, candidate.badness_m):
                name, jpeg = self._sequence or "", self._draw(candidate)
                self.keep(kind, KeptPicture(name, candidate.index, candidate.badness_m, jpeg))
        self._now = {}

    def _draw(self, candidate: _Candidate) -> bytes:
        """Estimate on the left, truth on the right."""
        view, estimate = candidate.view, candidate.estimate
        image = view.frame.image
        height_px = round(_WIDTH_PX * image.shape[0] / image.shape[1])
        image = cv2.resize(image, (_WIDTH_PX, height_px), interpolation=cv2.INTER_CUBIC)
        left = draw_overlay(image, estimate, self._faces)
        right = draw_overlay(
            image,
            self._true_estimate(view, estimate),
            self._true_faces,
            camera=view.intrinsics,
            depth_inset=view.depth_m is not None,
        )
        for side, words in ((left, "estimate"), (right, "truth")):
            draw_label(side, words, 6, height_px - 24, size_px=14)
        both = cv2.cvtColor(np.concatenate([left, right], axis=1), cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", both, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()

    def _true_estimate(self, view: TrueView, estimate: FrameEstimate) -> FrameEstimate:
        """The truth in the form of an estimate, for drawing."""
        truth = view.people
        people: list[PersonEstimate] = []
        for row in _rows_in_image(truth):
            assert truth is not None
            joints = truth.bodies.joints[row]
            head = joints[self._head_joint]
            camera = view.intrinsics or estimate.geometry.source_intrinsics(estimate.intrinsics)
            unused = np.zeros(0, np.float32)
            people.append(
                PersonEstimate(
                    track_id=int(truth.ids[row]),
                    score=1.0,
                    head_px=project_px(head, camera).astype(np.float32),
                    body=BodyParameters(unused, unused, unused, head),
                    joints_camera=joints,
                    vertices_camera=truth.bodies.vertices[row],
                )
            )
        points = estimate.points_camera
        if view.depth_m is not None:
            points = np.repeat(view.depth_m[..., None], 3, axis=-1)
        return replace(estimate, people=tuple(people), points_camera=points)


def _sign(kind: str) -> int:
    """What puts the most extreme first."""
    return -1 if kind == "worst" else 1


def _rows_in_image(people: TruePeople | None) -> list[int]:
    """Which of the people are at least partly within the image."""
    if people is None:
        return []
    if people.inside_share is None:
        return list(range(len(people)))
    return np.flatnonzero(people.inside_share > 0).tolist()
