"""``human3r multi``: several cameras of one place, one number per person, results into a folder."""

import argparse
import logging
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from human3r.cli.run_progress import stop_request
from human3r.config import RUN, Settings
from human3r.errors import ConfigError, InputError, NonFiniteError
from human3r.setting import add_setting_flag, add_settings_options, settings_from

if TYPE_CHECKING:
    from human3r.io.results import ResultWriter
    from human3r.multiview.rig_file import RigCamera
    from human3r.rig import RigEstimate, RigPipeline

log = logging.getLogger(__name__)

_LONELY_SHARE = 0.3
"""Of the moments may have one camera's image only while another's follows; more are told."""
_FLAGS = {
    "--weights": ("model.weights", "FILE"),
    "--body-model": ("model.body_model", "FILE"),
    "--device": ("model.device", "D"),
}


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "multi",
        help="several calibrated cameras of one place: one number per person",
        description="Runs the cameras' videos, folders or bags through one network and fuses "
        "people in the world of the calibration. Writes per camera what `run` writes, people.npz "
        "with everybody, together.mp4 with all images and the room from above, and cameras.json "
        "about how well the cameras agree.",
    )
    add = parser.add_argument
    add("calibration", metavar="CAMERAS.yaml", help="poses, as in docs/several-cameras.md")
    add(
        "sources",
        metavar="NAME=SOURCE",
        nargs="*",
        help="video, folder or bag of a camera; NAME=BAG:TOPIC for one of several topics; default: "
        "as the file says",
    )
    add("--out", metavar="DIR", help="folder to write (default: out/NAME); a taken one gets -2")
    add("--position", default="weighted", help="weighted, triangulation or mean (%(default)s)")
    add("--max-gap", type=float, default=0.05, metavar="S", help="most time within a set of images")
    add("--max-frames", type=int, default=0, metavar="N", help="stop after N sets; 0: all")
    add("--every", type=int, default=1, metavar="N", help="take the first of every N frames")
    for flag, (name, metavar) in _FLAGS.items():
        add_setting_flag(parser, flag, Settings.spec(name), metavar)
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand.

    Raises:
        Human3RError: whatever calibration, sources, weights or disk make impossible.
    """
    from human3r.cli.run import check_files
    from human3r.io.results import ResultFolder
    from human3r.io.sources import open_source
    from human3r.multiview.rig_file import read_rig
    from human3r.multiview.settings import FusionSettings
    from human3r.multiview.synchronise import synchronised
    from human3r.scale import check_without_node

    flags = {name: getattr(args, name) for name, _ in _FLAGS.values()}
    settings = settings_from(args, Settings(), flags=flags, places=(RUN,))
    check_without_node(settings)
    fusion = FusionSettings(position=args.position)
    calibration = Path(args.calibration)
    cameras = read_rig(calibration)
    check_files(settings)
    specs = _sources(args.sources, cameras, calibration)
    out = Path(args.out) if args.out else Path("out") / calibration.stem
    with ExitStack() as stack:
        opened = {}
        for name, (path, topic) in specs.items():
            opened[name] = stack.enter_context(
                open_source(path, topic=topic, every=args.every, settings=settings)
            )
        used = {name: cameras[name] for name in specs}
        folder = stack.enter_context(ResultFolder(out))
        # Last: it loads PyTorch, which takes seconds.
        from human3r.rig import RigPipeline

        rig = RigPipeline.from_settings(settings, used, fusion)
        offsets_ns = {name: rig.offset_ns(name) for name in used}
        sets = synchronised(opened, offsets_ns, round(args.max_gap * 1e9))
        found = _process(sets, rig, folder.part, args.max_frames)
    print(found.line(folder.path), flush=True)
    for trouble in found.troubles(args.max_gap):
        log.warning("%s", trouble)
    return 130 if found.was_interrupted else 0


def _sources(
    given: list[str], cameras: "dict[str, RigCamera]", calibration: Path
) -> dict[str, tuple[str, str | None]]:
    """Path and topic of every camera that has a source.

    Raises:
        ConfigError: an unknown name, or no source at all.
    """
    from human3r.multiview.rig_file import source_in, split_source

    specs = {name: camera.source for name, camera in cameras.items() if camera.source}
    named = {}
    for text in given:
        name, is_pair, source = text.partition("=")
        if not is_pair or name not in cameras or not source:
            raise ConfigError(
                f"{text}: expected NAME=SOURCE with a name of {calibration}: "
                f"{', '.join(cameras)}. Sources are videos, folders and bags."
            )
        named[name] = source
    # What stands in the file is relative to it.
    found = {n: source_in(source, calibration.parent) for n, source in specs.items()}
    found.update(named)
    if not found:
        raise ConfigError(
            f"{calibration}: names no source, nor does the command; expected at least one. Add "
            f"NAME=SOURCE for {', '.join(cameras)}."
        )
    return {n: split_source(source) for n, source in found.items() if n in cameras}


class _Found:
    """What was found, counted along the way."""

    def __init__(self) -> None:
        from human3r.tracking.presence import Presence

        self.sets = self.images = self.num_failed = 0
        self.presence = Presence()
        self.seen: Counter[str] = Counter()
        """Images with people, by camera."""
        self.lonely = 0
        """Moments with the image of one camera, ..."""
        self.apart_s: list[float] = []
        """... and how long after that of another."""
        self._before: tuple[str, int] | None = None
        self.seconds = 0.0
        self.was_interrupted = False
        self.health: dict[str, Any] = {}

    def count(self, estimate: "RigEstimate") -> None:
        from human3r.types import TrackState

        self.sets += 1
        self.images += len(estimate.frames)
        people = estimate.fused.people
        self.presence.add({p.number for p in people if p.state != TrackState.COASTING})
        self.seen.update(
            name
            for name, one in estimate.single.items()
            if any(person.is_measured for person in one.tracked)
        )
        self.health = estimate.fused.health
        alone = next(iter(estimate.frames)) if len(estimate.frames) == 1 else ""
        if alone:
            self.lonely += 1
            if self._before is not None and self._before[0] != alone:
                self.apart_s.append((estimate.fused.stamp_ns - self._before[1]) * 1e-9)
        self._before = (alone, estimate.fused.stamp_ns) if alone else None

    def troubles(self, max_gap_s: float) -> list[str]:
        found = [health.trouble for health in self.health.values() if health.trouble]
        found += [
            f"camera {name}: saw nobody, and others did; expected people. Is it covered or very "
            "dark, does it hang upside down without its pose saying so, or look elsewhere?"
            for name, health in self.health.items()
            if not self.seen[name] and self.seen and not health.trouble
        ]
        if len(self.apart_s) > _LONELY_SHARE * self.sets:
            found.append(
                f"{self.lonely} of {self.sets} moments have the image of one camera, those of "
                f"others come {median(self.apart_s):.3f} s later; expected up to {max_gap_s:g} "
                "s. Raise --max-gap, or set time_offset_s, which `human3r calibrate` finds."
            )
        return found

    def line(self, folder: Path) -> str:
        rate = self.sets / self.seconds if self.seconds else 0.0
        return (
            f"{self.sets} moments, {self.images} images of {len(self.health)} cameras, "
            f"{self.presence.words()}, {rate:.1f} moments/s: {folder}"
        )


def _process(sets: Any, rig: "RigPipeline", folder: Path, max_sets: int) -> _Found:
    import json
    from dataclasses import asdict

    from human3r.io.results import whole_file

    found, writers = _Found(), _Writers(folder, rig)
    began_s = time.perf_counter()
    try:
        with stop_request() as is_asked_to_stop:
            for frames in sets:
                if is_asked_to_stop():
                    found.was_interrupted = True
                    break
                try:
                    estimate = rig.step(frames)
                except NonFiniteError as error:
                    found.num_failed += 1
                    log.warning("a moment is left out: %s", error)
                    continue
                writers.add(estimate)
                found.count(estimate)
                found.seconds = time.perf_counter() - began_s
                if max_sets and found.sets >= max_sets:
                    break
        if not found.sets:
            raise InputError(
                "not one moment could be processed; expected images. Check the sources."
            )
        writers.finish()
    except BaseException:
        writers.abort()
        raise
    about = {
        name: asdict(health) | {"time_offset_s": rig.cameras[name].time_offset_s}
        for name, health in found.health.items()
    }
    with whole_file(folder / "cameras.json") as file:
        file.write(json.dumps(about, indent=1).encode("utf-8"))
    return found


class _Writers:
    """Everything that is written of a run with several cameras."""

    def __init__(self, folder: Path, rig: "RigPipeline") -> None:
        import numpy as np

        from human3r.body import find_body_file
        from human3r.io.people_file import about_body
        from human3r.io.results import PeopleFile, SceneFile, TrajectoryFile
        from human3r.io.scene_cloud import SceneCloud
        from human3r.io.scene_file import DEFAULT_VOXEL_M
        from human3r.viewer.overlay_files import OverlayFiles
        from human3r.viewer.video_file import VideoFile

        first = next(iter(rig.pipelines.values()))
        body_file = find_body_file(Path(first.settings.model.body_model))
        about = about_body(rig.body_model, body_file)
        about["up_world"] = np.array([0.0, 0.0, 1.0])
        self._rig, self._folder = rig, folder
        self._everybody = PeopleFile(folder / "people.npz", about)
        self._video = VideoFile(folder / "together.mp4")
        cloud = SceneCloud(first.settings.scene.voxel_m or DEFAULT_VOXEL_M)
        self._scene = SceneFile(folder / "scene.ply", first.scene_points, cloud)
        self._best: tuple[int, Any] = (-1, None)
        self._of: dict[str, list[ResultWriter]] = {}
        for name in rig.cameras:
            own = folder / name
            own.mkdir()
            self._of[name] = [
                PeopleFile(own / "people.npz", about),
                TrajectoryFile(own / "trajectory.tum"),
                OverlayFiles(own, rig.body_model.faces),
            ]

    def add(self, estimate: "RigEstimate") -> None:
        from human3r.viewer.together import draw_together

        # People are in the frame of the first camera that has an image, on the clock of all.
        first = min(estimate.frames, key=list(self._rig.cameras).index)
        stamp_ns = estimate.frames[first].stamp_ns + self._rig.offset_ns(first)
        self._everybody.add(
            replace(estimate.frames[first], stamp_ns=stamp_ns),
            replace(estimate.cameras[first], stamp_ns=stamp_ns),
        )
        for name, frame in estimate.frames.items():
            for writer in self._of[name]:
                writer.add(frame, estimate.cameras[name])
            self._scene.add(frame, estimate.cameras[name])
        poses = {name: self._rig.pose(name) for name in self._rig.cameras}
        picture = draw_together(
            estimate.frames,
            estimate.cameras,
            estimate.fused.people,
            poses,
            self._rig.body_model.faces,
        )
        self._video.add(picture, estimate.fused.stamp_ns)
        shared = sum(len(person.members) for person in estimate.fused.people)
        if shared > self._best[0]:
            self._best = shared, picture

    def finish(self) -> None:
        from human3r.viewer.overlay_files import write_png

        for writer in self._all():
            writer.finish()
        write_png(self._folder / "together.png", self._best[1])

    def abort(self) -> None:
        for writer in self._all():
            writer.abort()

    def _all(self) -> "list[Any]":
        of_cameras = [writer for writers in self._of.values() for writer in writers]
        return [self._everybody, self._video, self._scene, *of_cameras]
