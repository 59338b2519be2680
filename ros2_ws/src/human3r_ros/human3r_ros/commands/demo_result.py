"""Draws what was recorded: people on the video, and the whole run seen from outside."""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r.body import load_body_model
from human3r.body.base import BodyModel
from human3r.cli.run_writers import aborting, finish, scene_writers, write
from human3r.errors import Human3RError, InputError
from human3r.io import open_source
from human3r.io.people_file import PeopleFile, about_body
from human3r.io.results import ResultWriter, TrajectoryFile
from human3r.types import Frame, FrameEstimate, PointSet
from human3r.viewer.overlay_files import OverlayFiles
from human3r_ros.commands.demo_folder import PAGE
from human3r_ros.commands.demo_inputs import DemoModel
from human3r_ros.commands.rebuild import estimate_from_messages
from human3r_ros.commands.recorded_frames import Recording, point_set
from human3r_ros.commands.report import environment, summarise

if TYPE_CHECKING:
    from human3r_lab.clip_errors import ClipErrors

log = logging.getLogger(__name__)

_OVERLAY_SIDE_PX = 960
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
    max_pixels: int,
    is_own_clip: bool = False,
) -> dict[str, Any]:
    """Draw ``overlay.mp4`` and ``view.png`` from ``bag/`` in ``folder``.

    Beside them it writes the files of a run, so that ``human3r view`` and ``human3r export`` read
    the folder, and the page ``demo.html`` where viser is installed.

    Args:
        folder: holds the finished bag.
        sent_file: the player's report.
        node: full name of the node that was recorded.
        model: what it ran with.
        video: what was played.
        every: as the player was told.
        max_frames: as the player was told.
        max_pixels: larger images are refused.
        is_own_clip: the video is the clip whose truth is known to ``human3r_lab``; where that is
            installed, results are compared with it.

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
        body_model = load_body_model(model.body)
        errors = _clip_errors(body_model, every) if is_own_clip else None
        with open_source(
            str(video), every=every, max_frames=max_frames, max_pixels=max_pixels
        ) as source:
            replay = _Replay(source, sent["stamps_ns"], recording, body_model)
            writers = _open_writers(folder, replay, body_model, model, found["rate_hz"])
            with aborting(writers):
                for frame, estimate in replay.frames():
                    write(writers, frame, estimate)
                    if errors is not None:
                        errors.add(replay.number_of(frame), frame, estimate)
                if problem := finish(writers):
                    raise problem
    _write_page(folder, model.body)
    played = {"file": video.name, "every": every, "stretched_s": sent["delayed_s"]}
    compared = {"errors": errors.numbers()} if errors is not None else {}
    return {"video": played, **found, **compared, **model.summary(), **environment()}


class _Replay:
    """The frames of the video with what the node said about them."""

    def __init__(
        self,
        source: Iterable[Frame],
        stamps_ns: Sequence[int],
        recording: Recording,
        body_model: BodyModel,
    ) -> None:
        """Nothing is read yet.

        Args:
            source: the video as it was played.
            stamps_ns: of its frames, as they were sent.
            recording: of the node.
            body_model: the one the node ran with.
        """
        self._source, self._recording, self._body_model = source, recording, body_model
        self._numbers = {stamp_ns: number for number, stamp_ns in enumerate(stamps_ns)}
        self._scene: Any = None

    def frames(self) -> Iterator[tuple[Frame, FrameEstimate]]:
        """Every frame that the node answered whole, under the stamp it was sent with."""
        frames = enumerate(self._source)
        for recorded in self._recording.frames():
            wanted = self._numbers.get(recorded.stamp_ns)
            if wanted is None or not recorded.is_complete:
                continue
            frame = next((frame for number, frame in frames if number == wanted), None)
            if frame is None:
                return
            self._scene = recorded.parts["scene"]
            sent = replace(frame, stamp_ns=recorded.stamp_ns)
            yield sent, estimate_from_messages(recorded, frame.image, self._body_model)

    def number_of(self, frame: Frame) -> int:
        """Which of the frames sent this one is."""
        return self._numbers[frame.stamp_ns]

    def scene_points(self, estimate: FrameEstimate) -> PointSet:
        """The recorded cloud without people of the latest frame, in its camera frame."""
        return point_set(self._scene)


def _open_writers(
    folder: Path,
    replay: _Replay,
    body_model: BodyModel,
    model: DemoModel,
    rate_hz: float | None,
) -> list[ResultWriter]:
    """Those of ``human3r run`` for people, camera, scene and the pictures."""
    note, faces = "" if model.is_trained else _NOTE, body_model.faces
    overlay = OverlayFiles(
        folder,
        faces,
        note,
        side_px=_OVERLAY_SIDE_PX,
        rate_hz=rate_hz,
        number_of=replay.number_of,
    )
    return [
        PeopleFile(folder / "people.npz", about_body(body_model, model.body)),
        TrajectoryFile(folder / "trajectory.tum"),
        overlay,
        *scene_writers(folder, ("scene", "view"), faces, replay.scene_points, note),
    ]


def _write_page(folder: Path, body_file: Path) -> None:
    """The page that opens from disk; without viser there is none."""
    if find_spec("viser") is None:
        log.info("no 3D page: viser is not installed (pip install 'human3r[web]')")
        return
    from human3r.export import export

    try:
        export(folder, "html", folder / PAGE, body_model=body_file)
    except Human3RError as error:
        # Everything else is there, and worth keeping.
        log.warning("no 3D page: %s", error)


def _clip_errors(body_model: BodyModel, every: int) -> "ClipErrors | None":
    """What compares with the truth about our own clip; None without the laboratory."""
    if find_spec("human3r_lab") is None:
        log.info("not compared with the truth: human3r_lab is not installed (pip install ./lab)")
        return None
    from human3r_lab.clip_errors import ClipErrors, demo_truth

    return ClipErrors(body_model, demo_truth()[::every])
