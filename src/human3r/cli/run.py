"""``human3r run``: a video, folder, camera or bag through the network, results into a folder."""

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r.cli.run_progress import progress, stop_request
from human3r.cli.run_report import Found, write_about
from human3r.cli.settings import add_settings_options, settings_from
from human3r.config import Settings, SettingSpec, describe_range, iterate
from human3r.errors import ConfigError, NonFiniteError

if TYPE_CHECKING:
    from human3r.io.frame_source import FrameSource
    from human3r.io.results import ResultWriter
    from human3r.model.weights_file import WeightsHeader
    from human3r.pipeline import Pipeline
    from human3r.streaming.session import Prepared
    from human3r.types import Frame, FrameEstimate

log = logging.getLogger(__name__)

_FLAGS = {
    "--weights": ("model.weights", "FILE"),
    "--body-model": ("model.body_model", "FILE"),
    "--size": ("model.input_size", "N"),
    "--reset-interval": ("session.reset_interval", "K"),
    "--ttt3r": ("model.ttt3r", None),
    "--device": ("model.device", "D"),
}
"""Flags that are settings: help, default and bounds come from human3r.config."""

RESULTS = {
    "frames": "an npz file per frame",
    "people": "people.npz",
    "trajectory": "trajectory.tum",
    "scene": "scene.ply",
    "overlay": "overlay.mp4 or overlay.png",
    "view": "view.png",
    "bag": "a rosbag2",
}
"""What ``--save`` can name."""
_NOT_BY_DEFAULT = ("bag",)
UNTRAINED = "untrained weights: a proof that everything runs, nothing more"


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "run",
        help="people, scene and camera from a video, folder, camera or bag",
        description="Runs every frame of a source through the network and writes what was found "
        "into a new folder.",
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", help="video, folder of images, image, bag or camera number")
    add("--out", metavar="DIR", help="folder to write (default: out/NAME); a taken one gets -2")
    specs = {spec.name: spec for spec in iterate()}
    for flag, (name, metavar) in _FLAGS.items():
        _add_flag(parser, flag, specs[name], metavar)
    add("--max-frames", type=int, default=0, metavar="N", help="stop after N frames; 0: all")
    add("--every", type=int, default=1, metavar="N", help="take the first of every N frames")
    add("--topic", metavar="T", help="image topic of a bag that has several")
    usual = ",".join(name for name in RESULTS if name not in _NOT_BY_DEFAULT)
    kinds = "; ".join(f"{name}: {what}" for name, what in RESULTS.items())
    add("--save", default=usual, metavar="LIST", help=f"what to write, of {kinds} (%(default)s)")
    add_settings_options(parser)
    parser.set_defaults(run=run)


def _add_flag(
    parser: argparse.ArgumentParser, flag: str, spec: SettingSpec, metavar: str | None
) -> None:
    default = f" (default: {spec.default})" if spec.default != "" else ""
    text = f"{spec.help} {describe_range(spec)}".strip().replace("%", "%%") + default
    if spec.type is bool:
        parser.add_argument(
            flag, dest=spec.name, action=argparse.BooleanOptionalAction, default=None, help=text
        )
    else:
        parser.add_argument(
            flag, dest=spec.name, type=spec.type, default=None, metavar=metavar, help=text
        )


def run(args: argparse.Namespace) -> int:
    """Run the subcommand.

    Raises:
        Human3RError: whatever the source, the weights, the body model or the disk make impossible;
            no result folder is left then.
    """
    wanted = _wanted_results(args.save)
    flags = {name: getattr(args, name) for name, _ in _FLAGS.values()}
    settings = settings_from(args, flags)
    header = weights_header(settings)

    from human3r.io.results import ResultFolder
    from human3r.io.sources import open_source
    from human3r.pipeline import Pipeline
    from human3r.scale import check_without_node

    check_without_node(settings)
    with open_source(
        args.source,
        topic=args.topic,
        every=args.every,
        max_frames=args.max_frames,
        max_pixels=settings.input.max_pixels,
    ) as source:
        out = Path(args.out) if args.out else Path("out") / _folder_name(source.name)
        with ResultFolder(out) as folder, _half_of_the_threads(settings):
            pipeline = Pipeline.from_settings(settings)
            note = UNTRAINED if header is not None and header.seed is not None else ""
            writers = _open_writers(folder.part, wanted, pipeline, note)
            found = _process(source, pipeline, writers)
            write_about(folder.part, found, pipeline, source, header)
        print(found.line(folder.path), flush=True)
    return 130 if found.was_interrupted else 0


@contextmanager
def _half_of_the_threads(settings: Settings) -> Iterator[None]:
    """Two frames are at work at once: unless settings say otherwise, each has half."""
    import torch

    before = torch.get_num_threads()
    if not settings.model.threads:
        torch.set_num_threads(max(1, before // 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def weights_header(settings: Settings) -> "WeightsHeader | None":
    """What the weights file says about itself; None for files that human3r did not write.

    Raises:
        WeightsError: missing or damaged.
    """
    from human3r.model.default import default_weights_path
    from human3r.model.weights_file import read_index

    return read_index(settings.model.weights or default_weights_path()).header


def _wanted_results(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return list(RESULTS)
    unknown = [name for name in names if name not in RESULTS]
    if unknown:
        raise ConfigError(
            f"--save names {', '.join(unknown)}; expected a list of {', '.join(RESULTS)}, or all. "
            "Separate them by commas."
        )
    return names


def _folder_name(source_name: str) -> str:
    stem = Path(source_name.split(" /", 1)[0]).stem
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in stem).strip(".-") or "run"


@contextmanager
def _aborting(writers: "list[ResultWriter]") -> Iterator[None]:
    """Let no writer keep half a file open when something fails."""
    try:
        yield
    except BaseException:
        for writer in writers:
            writer.abort()
        raise


def _open_writers(
    folder: Path, wanted: list[str], pipeline: "Pipeline", note: str
) -> "list[ResultWriter]":
    from human3r.io.results import FrameFiles, PeopleFile, SceneFile, TrajectoryFile
    from human3r.io.scene_cloud import SceneCloud
    from human3r.io.scene_file import DEFAULT_VOXEL_M
    from human3r.viewer.overlay_files import OverlayFiles
    from human3r.viewer.view_file import ViewCollector, ViewFile

    settings, faces = pipeline.settings, pipeline.body_model.faces
    writers: list[ResultWriter] = []
    with _aborting(writers):
        if "frames" in wanted:
            writers.append(FrameFiles(folder / "frames"))
        if "people" in wanted:
            writers.append(PeopleFile(folder / "people.npz"))
        if "trajectory" in wanted:
            writers.append(TrajectoryFile(folder / "trajectory.tum"))
        if "overlay" in wanted:
            writers.append(OverlayFiles(folder, faces, note))
        if "bag" in wanted:
            from human3r.cli.ros_part import ros_module

            writers.append(ros_module("bag_results").BagResults(folder / "bag", pipeline))
        if "scene" in wanted or "view" in wanted:
            cloud = SceneCloud(settings.scene.voxel_m or DEFAULT_VOXEL_M)
            target = folder / "scene.ply" if "scene" in wanted else None
            writers.append(SceneFile(target, pipeline.scene_points, cloud))
            if "view" in wanted:
                collector = ViewCollector(faces, cloud, settings.level.pitch_rad)
                writers.append(ViewFile(folder / "view.png", collector, note))
    return writers


def _process(source: "FrameSource", pipeline: "Pipeline", writers: "list[ResultWriter]") -> Found:
    """Every frame through the pipeline and into the writers."""
    found = Found()
    began_s = time.perf_counter()
    with _aborting(writers), stop_request() as is_asked_to_stop:
        with closing(pipeline.looking_ahead(source)) as frames, progress(source) as show:
            for frame, prepared in frames:
                if is_asked_to_stop():
                    found.was_interrupted = True
                    break
                estimate = _step(pipeline, frame, prepared, found)
                if estimate is None:
                    continue
                for writer in writers:
                    writer.add(frame, estimate)
                found.count(estimate)
                found.seconds = time.perf_counter() - began_s
                show(found)
        if found.num_frames == 0:
            raise KeyboardInterrupt if found.was_interrupted else _nothing(source, found)
        for writer in writers:
            writer.finish()
    found.seconds = time.perf_counter() - began_s
    return found


def _nothing(source: "FrameSource", found: Found) -> NonFiniteError:
    return NonFiniteError(
        f"{source.name}: the network failed on all {found.num_failed} frames; expected finite "
        "numbers. Check the weights with `human3r weights inspect`."
    )


def _step(
    pipeline: "Pipeline", frame: "Frame", prepared: "Prepared", found: Found
) -> "FrameEstimate | None":
    """The estimate; None when the network failed on this frame, which others may survive."""
    try:
        return pipeline.step(frame, prepared)
    except NonFiniteError as error:
        found.num_failed += 1
        log.warning("frame at %d ns: %s", frame.stamp_ns, error)
        # Once is an accident; as often as the node gives up, it will not get better.
        if found.num_failed >= pipeline.settings.fault.max_consecutive and found.num_frames == 0:
            raise
        return None
