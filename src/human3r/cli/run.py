"""``human3r run``: a video, folder, camera or bag through the network, results into a folder."""

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r.cli.run_progress import progress, stop_request
from human3r.cli.run_report import Found, write_about
from human3r.cli.run_writers import (
    RESULTS,
    USUAL,
    aborting,
    finish,
    open_writers,
    wanted_results,
    write,
)
from human3r.config import BAG, MAX_SIDE_PX, RUN, Settings
from human3r.errors import Human3RError, NonFiniteError, OutputError
from human3r.setting import add_setting_flag, add_settings_options, settings_from
from human3r.viewer.web_options import add_web_options, web_flags

if TYPE_CHECKING:
    from human3r.camera.given_camera import GivenCamera
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

UNTRAINED = "untrained weights: a proof that everything runs, nothing more"


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "run",
        help="people, scene and camera from a video, images, a camera, a stream or a bag",
        description="Runs every frame of a source through the network and writes what was found "
        "into a new folder.",
    )
    add = parser.add_argument
    add(
        "source",
        metavar="SOURCE",
        nargs="+",
        help="video, folder of images, images, pattern such as 'shots/*.jpg', bag, camera number, "
        "or address (rtsp, http, ...); images are one stream, of several videos, folders or bags "
        "each gets a folder of its own",
    )
    add("--out", metavar="DIR", help="folder to write (default: out/NAME); a taken one gets -2")
    for flag, (name, metavar) in _FLAGS.items():
        add_setting_flag(parser, flag, Settings.spec(name), metavar)
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        "--fov-deg", type=float, metavar="D", help="horizontal field of view of the camera"
    )
    camera.add_argument(
        "--camera", metavar="FILE", help="calibration as ROS's camera_calibration writes it, YAML"
    )
    add("--fps", type=float, metavar="R", help="images per second, of images (default: as "
        "stamps.txt or their names say, else 10)")  # fmt: skip
    add("--max-side", type=int, default=MAX_SIDE_PX, metavar="PX", help="reduce images "
        "with a longer side to this; 0: never (%(default)s)")  # fmt: skip
    add("--max-frames", type=int, default=0, metavar="N", help="stop after N frames; 0: all")
    add("--every", type=int, default=1, metavar="N", help="take the first of every N frames")
    add("--topic", metavar="T", help="image topic of a bag that has several")
    add("--strict", action="store_true", help="end at an image that cannot be read or is of "
        "another size, and at the first source that fails; otherwise they are left out and "
        "counted")  # fmt: skip
    kinds = "; ".join(f"{name}: {what}" for name, what in RESULTS.items())
    add_web_options(parser)
    add("--save", default=",".join(USUAL), metavar="LIST", help=f"what to write, of {kinds}; "
        "+NAME adds to the usual (%(default)s)")  # fmt: skip
    add("--world", choices=("camera", "level"), default="camera", help="axes of trajectory.tum "
        "and scene.ply. camera: the first camera's, y down; level: z up, x ahead, y left, where "
        "up is as level.source says, for example floor (%(default)s)")  # fmt: skip
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand.

    Raises:
        Human3RError: whatever the source, the weights, the body model or the disk make impossible.
            What was found before is kept; without a single frame no result folder is left.
    """
    wanted = wanted_results(args.save)
    flags = {name: getattr(args, name) for name, _ in _FLAGS.values()} | web_flags(args)
    places = (RUN, BAG) if "bag" in wanted else (RUN,)
    settings = settings_from(args, Settings(), flags=flags, places=places)
    from human3r.io.sources import check_is_there, expanded, is_image

    specs = expanded(args.source)
    for spec in specs:
        check_is_there(spec)
    from human3r.scale import check_without_node

    header = check_files(settings)
    check_without_node(settings)
    if len(specs) == 1 or all(is_image(spec) for spec in specs):
        out = Path(args.out) if args.out else None
        return _run_one(args, specs, out, settings, wanted, header)
    codes = []
    for spec in specs:
        out = Path(args.out) / _folder_name(spec) if args.out else None
        try:
            codes.append(_run_one(args, [spec], out, settings, wanted, header))
        except Human3RError as error:
            if args.strict:
                raise
            log.error("%s", error)
            codes.append(1)
        if codes[-1] == 130:
            break
    return max(codes)


def _run_one(
    args: argparse.Namespace,
    specs: list[str],
    out: Path | None,
    settings: Settings,
    wanted: list[str],
    header: "WeightsHeader | None",
) -> int:
    """One source into one folder; returns the exit code."""
    from human3r.io.results import ResultFolder
    from human3r.io.sources import open_source

    with open_source(
        specs,
        topic=args.topic,
        every=args.every,
        max_frames=args.max_frames,
        settings=settings,
        camera=_camera(args),
        rate_hz=args.fps,
        max_side_px=args.max_side,
        strict=args.strict,
    ) as source:
        out = out or Path("out") / _folder_name(source.name)
        if source.num_frames is not None:
            source.begin()
        with ResultFolder(out) as folder, _half_of_the_threads(settings):
            # Last: it loads PyTorch, which takes seconds.
            from human3r.pipeline import Pipeline

            pipeline = Pipeline.from_settings(settings)
            note = UNTRAINED if header is not None and header.seed is not None else ""
            with _live_page(pipeline) as watch:
                writers = open_writers(
                    folder.part, wanted, pipeline, note, args.world, source.num_frames
                )
                found = _process(source, pipeline, writers, watch)
            try:
                write_about(folder.part, found, pipeline, source, header)
            except OutputError as error:
                # Of hours of work the rest is kept.
                if not any(folder.part.iterdir()):
                    raise
                found.problem = found.problem or error
        print(found.line(folder.path), flush=True)
    if found.problem is not None:
        raise found.problem
    return 130 if found.was_interrupted else 0


def _camera(args: argparse.Namespace) -> "GivenCamera | None":
    from human3r.camera.given_camera import CalibrationFile, LensAngle

    if args.camera:
        return CalibrationFile(args.camera)
    return None if args.fov_deg is None else LensAngle(args.fov_deg)


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


@contextmanager
def _live_page(pipeline: "Pipeline") -> "Iterator[Callable[[Frame, FrameEstimate], None]]":
    """What shows estimates in a browser while the block runs, where that is asked for."""
    if pipeline.settings.web.port < 0:
        yield lambda frame, estimate: None
        return
    from human3r.viewer.web_live import open_live_page

    with open_live_page(pipeline.settings, pipeline.body_model) as page:
        print(f"live page: {page.address}", flush=True)
        yield lambda frame, estimate: page.show(estimate, frame.image)


def check_files(settings: Settings) -> "WeightsHeader | None":
    """Say what is wrong with the files that settings name, before PyTorch is loaded for seconds.

    Returns:
        What the weights file says about itself; None for files that human3r did not write.

    Raises:
        WeightsError: missing, damaged or something else.
        BodyModelError: missing or something else.
    """
    header = weights_header(settings)
    if settings.model.body_model:
        from human3r.body import find_body_file

        find_body_file(Path(settings.model.body_model))
    return header


def weights_header(settings: Settings) -> "WeightsHeader | None":
    """What the weights file says about itself; None for files that human3r did not write.

    Raises:
        WeightsError: missing or damaged.
    """
    from human3r.model.default import default_weights_path
    from human3r.model.weights_file import read_index

    return read_index(settings.model.weights or default_weights_path()).header


def _folder_name(source_name: str) -> str:
    stem = Path(source_name.split(" /", 1)[0].partition("?")[0]).stem
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in stem).strip(".-") or "run"


def _process(
    source: "FrameSource",
    pipeline: "Pipeline",
    writers: "list[ResultWriter]",
    watch: "Callable[[Frame, FrameEstimate], None]",
) -> Found:
    """Every frame through the pipeline and into the writers, as far as it goes."""
    found = Found()
    began_s = time.perf_counter()
    with aborting(writers), stop_request() as is_asked_to_stop:
        try:
            with closing(pipeline.looking_ahead(source)) as frames, progress(source) as show:  # pyright: ignore[reportArgumentType]
                for frame, prepared in frames:
                    if is_asked_to_stop():
                        found.was_interrupted = True
                        break
                    estimate = _step(pipeline, frame, prepared, found)
                    if estimate is None:
                        continue
                    write(writers, frame, estimate)
                    watch(frame, estimate)
                    found.count(frame, estimate)
                    found.seconds = time.perf_counter() - began_s
                    show(found)
        # Also of a fault of ours, after hours: what was found until then is kept.
        except Exception as error:
            if found.num_frames == 0:
                raise
            found.problem = error
        if found.num_frames == 0:
            raise KeyboardInterrupt if found.was_interrupted else _nothing(source, found)
        problem = finish(writers)
        found.problem = found.problem or problem
    found.num_left_out, found.left_out = source.left_out.total, str(source.left_out)
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
