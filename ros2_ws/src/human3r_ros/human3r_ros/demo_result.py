"""Draws what was recorded: people on the video, and the whole run seen from outside."""

import json
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from human3r.body import load_body_model
from human3r.body.base import BodyModel
from human3r.config import Settings
from human3r.datasets import ViewTruth
from human3r.errors import InputError, OutputError
from human3r.evaluation.measures import numbers
from human3r.evaluation.sequence_evaluator import DepthProtocol, SequenceEvaluator
from human3r.evaluation.truth import FreeBodyScheme
from human3r.io import open_source
from human3r.io.scene_cloud import SceneCloud
from human3r.types import Frame, FrameEstimate
from human3r.viewer.overlay import Caption, draw_overlay, scaled_camera
from human3r.viewer.render import Body, View, render_view
from human3r.viewer.video_file import VideoFile
from human3r_ros.demo_inputs import DemoModel
from human3r_ros.rebuild import estimate_from_messages, scene_points_world
from human3r_ros.recorded_frames import Recording
from human3r_ros.report import environment, summarise

log = logging.getLogger(__name__)

_MAX_PIXELS = Settings().input.max_pixels
_OVERLAY_WIDTH_PX = 960
_VOXEL_M = 0.02
_MAX_SCENE_POINTS = 150_000
_NUM_GHOSTS = 8
_NOTE = "UNTRAINED weights: proof that everything runs"


def write_result(
    folder: Path,
    *,
    sent_file: Path,
    node: str,
    model: DemoModel,
    video: Path,
    every: int,
    max_frames: int,
    truth: Sequence[ViewTruth] | None = None,
) -> dict[str, Any]:
    """Draw ``overlay.mp4`` and ``view.png`` from ``bag/`` in ``folder``.

    Args:
        folder: holds the finished bag.
        sent_file: the player's report.
        node: full name of the node that was recorded.
        model: what it ran with.
        video: what was played.
        every: as the player was told.
        max_frames: as the player was told.
        truth: about each frame that was played, where it is known.

    Returns:
        The summary.

    Raises:
        InputError: the node published nothing about any frame.
        OutputError: the disk refuses.
    """
    sent = json.loads(sent_file.read_text(encoding="utf-8"))
    with Recording(folder / "bag", node) as recording:
        found = summarise(recording, sent["sent"])
        if not found["complete_frames"]:
            raise InputError(
                f"none of {sent['sent']} frames came out of the node whole; expected people, "
                f"depth, mask, clouds and pose of at least one. Counted: {found['frames']}."
            )
        note = "" if model.is_trained else _NOTE
        body_model = load_body_model(model.body)
        shown = _Shown(body_model.faces)
        with open_source(
            str(video), every=every, max_frames=max_frames, max_pixels=_MAX_PIXELS
        ) as source:
            matched = _matched(source, sent["stamps_ns"], recording, body_model)
            errors = _Errors(body_model, truth) if truth is not None else None
            if errors is not None:
                matched = errors.watch(matched)
            _write_overlay(folder / "overlay.mp4", matched, shown, note, found["rate_hz"])
    _write_png(folder / "view.png", shown.picture(note))
    played = {"file": video.name, "every": every, "stretched_s": sent["delayed_s"]}
    compared = {"errors": errors.numbers()} if errors is not None else {}
    return {"video": played, **found, **compared, **model.summary(), **environment()}


@dataclass(frozen=True)
class _Matched:
    """A frame of the video with what the node said about it."""

    frame: Frame
    number: int
    """Which of the frames sent."""
    estimate: FrameEstimate
    parts: dict[str, Any]


def _matched(
    source: Any, stamps_ns: list[int], recording: Recording, body_model: BodyModel
) -> Iterator[_Matched]:
    """Walks through the video and the recording side by side; their stamps are the same."""
    number_of = {stamp_ns: number for number, stamp_ns in enumerate(stamps_ns)}
    frames = enumerate(source)
    for recorded in recording.frames():
        wanted = number_of.get(recorded.stamp_ns)
        if wanted is None or not recorded.is_complete:
            continue
        for number, frame in frames:
            if number == wanted:
                estimate = estimate_from_messages(recorded, frame.image, body_model)
                yield _Matched(frame, number, estimate, recorded.parts)
                break


class _Errors:
    """How far the node was from the truth, frame by frame."""

    def __init__(self, body_model: BodyModel, truth: Sequence[ViewTruth]) -> None:
        self._scheme = FreeBodyScheme(body_model)
        self._truth = truth
        self._evaluator = SequenceEvaluator(self._scheme, Settings(), DepthProtocol())

    def watch(self, items: Iterator[_Matched]) -> Iterator[_Matched]:
        """Passes everything on, and compares it."""
        for item in items:
            truth = self._truth[item.number]
            height, width = item.frame.image.shape[:2]
            view = replace(
                self._scheme.true_view(truth),
                frame=item.frame,
                intrinsics=scaled_camera(truth.intrinsics, width, height),
            )
            self._evaluator.add(view, item.estimate)
            yield item

    def numbers(self) -> dict[str, float]:
        """What could be measured, by the names of ``evaluation.measures.MEASURES``."""
        result = self._evaluator.result("demo", "")
        self._evaluator.close()
        return {name: value for name, value in numbers([result]).items() if value is not None}


@dataclass
class _Shown:
    """Scene, people and camera path, gathered frame by frame; memory stays bounded."""

    faces: np.ndarray
    scene: SceneCloud = field(
        default_factory=lambda: SceneCloud(_VOXEL_M, max_points=_MAX_SCENE_POINTS)
    )
    poses: list[np.ndarray] = field(default_factory=list)
    moments: list[tuple[Body, ...]] = field(default_factory=list)
    latest: dict[int, Body] = field(default_factory=dict)
    stride: int = 1
    count: int = 0

    def add(self, item: _Matched) -> None:
        pose = item.estimate.world_from_camera
        points, colors = scene_points_world(item.parts["scene"], pose)
        self.scene.add(points, colors)
        self.poses.append(pose)
        bodies = tuple(
            Body(person.track_id, person.vertices_camera @ pose[:3, :3].T + pose[:3, 3])
            for person in item.estimate.people
        )
        self.latest.update({body.track_id: body for body in bodies})
        self._keep_some(bodies)

    def _keep_some(self, bodies: tuple[Body, ...]) -> None:
        """Every so many frames, twice as many apart whenever there are twice too many."""
        if self.count % self.stride == 0:
            self.moments.append(bodies)
        self.count += 1
        if len(self.moments) >= 2 * _NUM_GHOSTS:
            self.moments = self.moments[::2]
            self.stride *= 2

    def picture(self, note: str) -> np.ndarray:
        points, colors, _ = self.scene.result()
        last_seen = deque(self.latest.values(), maxlen=_NUM_GHOSTS)
        ghosts = [
            Body(body.track_id, body.vertices_world, is_latest=False)
            for bodies in self.moments[:-1]
            for body in bodies
        ]
        view = View(
            points_world=points,
            colors=colors,
            point_size_m=self.scene.voxel_m,
            bodies=[*ghosts, *last_seen],
            faces=self.faces,
            world_from_camera=self.poses,
        )
        return render_view(view, note=note)


def _write_overlay(
    path: Path, items: Iterator[_Matched], shown: _Shown, note: str, rate_hz: float | None
) -> None:
    """Every processed frame for as long as it was the newest one."""
    video = VideoFile(path)
    try:
        for item in items:
            shown.add(item)
            image = _sized(item.frame.image)
            caption = Caption(frame=item.number, rate_hz=rate_hz, note=note)
            drawn = draw_overlay(image, item.estimate, shown.faces, caption=caption)
            video.add(drawn, item.estimate.stamp_ns)
        video.finish()
    finally:
        video.abort()


def _sized(image: np.ndarray) -> np.ndarray:
    """Wide enough to read the drawing, no wider than a screen, even sides as H.264 wants."""
    height, width = image.shape[:2]
    scale = _OVERLAY_WIDTH_PX / max(width, height)
    size = tuple(max(2, round(side * scale / 2) * 2) for side in (width, height))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _write_png(path: Path, image: np.ndarray) -> None:
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    try:
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error}); expected a writable disk with space. Free some "
            "space or choose another place."
        ) from error
