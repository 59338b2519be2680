"""``human3r calibrate``: where cameras are, from the people who walk before them."""

import argparse
import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r.config import RUN, Settings
from human3r.errors import ConfigError, NonFiniteError
from human3r.setting import add_setting_flag, add_settings_options, settings_from

if TYPE_CHECKING:
    from human3r.multiview.extrinsics import Extrinsics, ViewTracks
    from human3r.pipeline import Pipeline

log = logging.getLogger(__name__)

_FLAGS = {"--weights": ("model.weights", "FILE"), "--device": ("model.device", "D")}


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "calibrate",
        help="poses and clocks of several cameras from people who walk before them",
        description="Finds where cameras that stand still are, and how far their clocks are apart, "
        "from joints of people seen by two of them at once. Writes a calibration file for "
        "`human3r multi` and human3r_multi, and shows the static transforms.",
    )
    add = parser.add_argument
    add(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="a bag with --topics, or NAME=VIDEO or NAME=BAG:/TOPIC for each",
    )
    add("--topics", metavar="LIST", help="image topics of the bag, separated by commas")
    add("--out", metavar="FILE", default="cameras.yaml", help="file to write (%(default)s)")
    add(
        "--intrinsics",
        metavar="FILE",
        help="calibration file with the cameras' intrinsics; their poses are not used",
    )
    add(
        "--max-offset",
        type=float,
        default=0.3,
        metavar="S",
        help="most that clocks differ (0: they agree)",
    )
    add("--max-frames", type=int, default=300, metavar="N", help="of each camera; 0: all")
    add("--every", type=int, default=1, metavar="N", help="take the first of every N frames")
    add("--world", default="world", metavar="FRAME", help="parent of the transforms (%(default)s)")
    for flag, (name, metavar) in _FLAGS.items():
        add_setting_flag(parser, flag, Settings.spec(name), metavar)
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand.

    Raises:
        Human3RError: unusable sources, names or images, or too few people seen by two at once.
    """
    from human3r.cli.run import check_files
    from human3r.multiview.rig_file import RigCamera, read_rig, write_rig

    specs = _specs(args)
    flags = {name: getattr(args, name) for name, _ in _FLAGS.values()}
    settings = settings_from(args, Settings(), flags=flags, places=(RUN,))
    lenses = read_rig(args.intrinsics) if args.intrinsics else {}
    if lenses and not lenses.keys() & specs.keys():
        raise ConfigError(
            f"{args.intrinsics} knows the cameras {', '.join(lenses)}; expected one of "
            f"{', '.join(specs)}. Give cameras the names there."
        )
    check_files(settings)
    for path, topic in specs.values():
        _check_source(path, topic, settings)
    # They load PyTorch, which takes seconds.
    from human3r.multiview.extrinsics import ViewTracks, find_extrinsics
    from human3r.pipeline import Pipeline

    first = Pipeline.from_settings(settings)
    views, frames = [], {}
    for name, (path, topic) in specs.items():
        pipeline = first if not views else Pipeline(first.network, first.body_model, first.settings)
        view = ViewTracks(name)
        lens = lenses[name].intrinsics if name in lenses else None
        frames[name] = _watch(view, path, topic, lens, pipeline, args)
        views.append(view)
    found = find_extrinsics(views, max_offset_s=args.max_offset)
    cameras = {
        name: RigCamera(
            name,
            pose.world_from_camera,
            view.intrinsics,
            pose.time_offset_s,
            _kept(*specs[name]),
            (pose.position_stddev_m, pose.rotation_stddev_rad),
        )
        for (name, pose), view in zip(found.cameras.items(), views, strict=True)
    }
    write_rig(args.out, cameras)
    _show(found, frames, args)
    return 0


def _kept(path: str, topic: str | None) -> str:
    """The source of a camera in the file; empty for what cannot be played again."""
    from human3r.io.sources import is_camera, is_url

    if is_camera(path) or is_url(path):
        return ""
    return f"{Path(path).absolute()}{f':{topic}' if topic else ''}"


def _specs(args: argparse.Namespace) -> dict[str, tuple[str, str | None]]:
    """Path and topic by name.

    Raises:
        ConfigError: neither a bag with topics nor several named sources.
    """
    from human3r.multiview.rig_file import split_source

    if args.topics:
        topics = [topic.strip() for topic in args.topics.split(",") if topic.strip()]
        if len(args.sources) != 1 or len(topics) < 2:
            raise ConfigError(
                f"--topics names {len(topics)} topics, and {len(args.sources)} sources are given; "
                "expected one bag and at least two topics, separated by commas."
            )
        return {_name_of(topic, topics): (args.sources[0], topic) for topic in topics}
    found = {}
    for text in args.sources:
        name, is_pair, path = text.partition("=")
        if not is_pair or not name or not path or name in found:
            raise ConfigError(
                f"{text}: expected NAME=SOURCE with a name of its own, for at least two cameras; "
                "or one bag and --topics."
            )
        found[name] = split_source(path)
    if len(found) < 2:
        raise ConfigError(
            "one source is given; expected at least two, as NAME=SOURCE, or one bag and --topics."
        )
    return found


def _check_source(path: str, topic: str | None, settings: Settings) -> None:
    """Nothing, when a source can be opened; cameras and addresses are not asked yet.

    Raises:
        InputError: nothing usable there.
    """
    from human3r.io.sources import check_is_there, is_camera, is_url, open_source

    check_is_there(path)
    if not is_camera(path) and not is_url(path):
        open_source(path, topic=topic, settings=settings).close()


def _name_of(topic: str, topics: list[str]) -> str:
    """The part of a topic that tells it from the others."""
    parts = [other.strip("/").split("/") for other in topics]
    mine = topic.strip("/").split("/")
    for i, part in enumerate(mine):
        if sum(len(other) > i and other[i] == part for other in parts) == 1:
            return part
    return "-".join(mine)


def _watch(
    view: "ViewTracks",
    path: str,
    topic: str | None,
    lens: Any,
    pipeline: "Pipeline",
    args: argparse.Namespace,
) -> int:
    """All people of one source; the number of its frames."""
    from dataclasses import replace

    from human3r.io.sources import open_source

    count, is_calibrated = 0, False
    with open_source(
        path, topic=topic, every=args.every, max_frames=args.max_frames, settings=pipeline.settings
    ) as source:
        frames = (replace(f, intrinsics=f.intrinsics or lens) for f in source)
        with closing(pipeline.looking_ahead(frames)) as ahead:  # pyright: ignore[reportArgumentType]
            for frame, prepared in ahead:
                try:
                    view.add(pipeline.step(frame, prepared), pipeline.level.up_world)
                except NonFiniteError as error:
                    log.warning("camera %s: a frame is left out: %s", view.name, error)
                is_calibrated |= frame.intrinsics is not None
                count += 1
    if not is_calibrated:
        log.warning(
            "camera %s: brings no intrinsics, so its focal length is an estimate, which turns and "
            "moves the cameras. Give --intrinsics FILE, or a bag with camera_info.",
            view.name,
        )
    return count


def _show(found: "Extrinsics", frames: dict[str, int], args: argparse.Namespace) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from scipy.spatial.transform import Rotation

    if found.no_clocks:
        log.warning(
            "clocks cannot be told apart and count as equal: %s, if clocks may differ.",
            found.no_clocks,
        )
    table = Table("camera", "frames", "position, m", "+- m", "+- deg", "clock, ms", "+- ms")
    commands = []
    for name, pose in found.cameras.items():
        place = pose.world_from_camera[:3, 3]
        quaternion = Rotation.from_matrix(pose.world_from_camera[:3, :3]).as_quat()
        table.add_row(
            name,
            str(frames[name]),
            " ".join(f"{x:+.3f}" for x in place),
            f"{pose.position_stddev_m:.3f}",
            f"{np.rad2deg(pose.rotation_stddev_rad):.2f}",
            f"{1e3 * pose.time_offset_s:+.0f}",
            f"{1e3 * pose.offset_stddev_s:.0f}",
        )
        axes = zip(("x", "y", "z", "qx", "qy", "qz", "qw"), (*place, *quaternion), strict=True)
        numbers = " ".join(f"--{axis} {value:.5f}" for axis, value in axes)
        commands.append(
            f"ros2 run tf2_ros static_transform_publisher {numbers} "
            f"--frame-id {args.world} --child-frame-id {name}_optical"
        )
    Console().print(table)
    print(
        f"{found.moments} sightings by two cameras, joints {found.residual_px:.1f} px from their "
        f"epipolar lines (median): {args.out}"
    )
    print("\nAs static transforms; the child is the images' frame_id:")
    print("\n".join(commands))
