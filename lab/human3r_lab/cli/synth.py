"""``human3r synth``: make sequences of dressed, moving people with the whole truth about them."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r_lab.cli import parse_size, run_command

if TYPE_CHECKING:
    from human3r_lab.synth.orders import Order

log = logging.getLogger(__name__)

_PREVIEW_ROWS = 12
_TELL_EVERY_S = 10.0


def add_parser(commands: Any) -> None:
    """Adds ``synth`` to the command line."""
    parser = commands.add_parser(
        "synth",
        help="make a synthetic data set: people, scenes and cameras with their truth",
        description="Draws sequences of dressed, moving people in rooms and outdoors: colour, "
        "exact depth, person masks, camera poses, body parameters, floor contacts. One file per "
        "sequence; the same arguments give the same data; complete files are kept.",
    )
    parser.add_argument("folder", metavar="OUT", type=Path, help="folder for the sequences")
    parser.add_argument("--sequences", type=_count, default=16, metavar="N", help="default: 16")
    parser.add_argument("--frames", type=_count, default=24, metavar="N", help="default: 24")
    parser.add_argument("--rate", type=float, default=6.0, metavar="HZ", help="default: 6")
    parser.add_argument(
        "--size", type=parse_size, default=(224, 160), metavar="WxH", help="224x160"
    )
    parser.add_argument(
        "--cameras",
        type=_count,
        default=1,
        metavar="V",
        help="2 to 4: so many fixed cameras look at each scene, one file each; default: 1",
    )
    parser.add_argument("--split", choices=("train", "val", "test"), default="train")
    parser.add_argument("--difficulty", choices=("easy", "hard", "mixed"), default="mixed")
    parser.add_argument("--seed", type=int, default=0, help="of the first sequence; default: 0")
    parser.add_argument(
        "--workers", type=_count, metavar="K", help="processes; default: one per core"
    )
    parser.add_argument("--overwrite", action="store_true", help="make complete files again")
    parser.add_argument("--preview", type=Path, metavar="FILE.jpg", help="a picture of the first")
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="the first as a video")
    parser.add_argument(
        "--rig",
        type=Path,
        metavar="DIR",
        help="the first scene as one video per camera, with cameras.yaml for `human3r multi`",
    )
    parser.set_defaults(run=_run)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected at least 1")
    return value


def _run(args: argparse.Namespace) -> int:
    from human3r.errors import OutputError
    from human3r_lab.synth.orders import list_orders

    for output in (args.preview, args.video):
        if output is not None and not output.absolute().parent.is_dir():
            raise OutputError(
                f"{output}: no such folder to write into; expected one. Make it, or choose another."
            )
    orders = list_orders(
        args.sequences,
        args.seed,
        split=args.split,
        difficulty=args.difficulty,
        frames=args.frames,
        rate_hz=args.rate,
        width_px=args.size[0],
        height_px=args.size[1],
        cameras=args.cameras,
    )
    _make(args, orders)
    if args.preview is not None:
        _write_preview(args.folder, orders, args.preview)
    if args.video is not None:
        _write_video(args.folder, orders[0], args.video)
    if args.rig is not None:
        _write_rig(
            args.folder, [order for order in orders if order.scene == orders[0].scene], args.rig
        )
    return 0


def _make(args: argparse.Namespace, orders: "list[Order]") -> None:
    import os
    import time
    from importlib import import_module

    from rich.console import Console
    from rich.progress import track

    from human3r_lab.synth.production import produce

    import_module("human3r_lab.synth.compiler")  # Says at once when numba is not installed.
    workers = args.workers or len(os.sched_getaffinity(0))
    started, frames, kept = time.monotonic(), 0, 0
    console = Console(stderr=True)
    events = produce(args.folder, orders, workers, overwrite=args.overwrite)
    if not console.is_terminal:
        events = _said_now_and_then(events, len(orders))
    for event in track(
        _tell_losses(events),
        "sequences",
        total=len(orders),
        console=console,
        disable=not console.is_terminal,
    ):
        if event.kind == "kept":
            kept += 1
        else:
            frames += event.frames
    seconds = time.monotonic() - started
    print(f"{len(orders)} sequences in {args.folder}, {kept} of them from before")
    if frames:
        print(f"{frames} frames in {seconds:.1f} s: {frames / seconds:.1f} frames/s")


def _said_now_and_then(events: Any, total: int) -> Any:
    """A line about every ten seconds, where no bar can be drawn."""
    import time

    done, due_s = 0, time.monotonic() + _TELL_EVERY_S
    for event in events:
        yield event
        done += event.kind != "lost"
        if time.monotonic() >= due_s:
            due_s = time.monotonic() + _TELL_EVERY_S
            log.info("%d of %d sequences", done, total)


def _tell_losses(events: Any) -> Any:
    for event in events:
        if event.kind == "lost":
            log.warning("the worker drawing %s was lost (%s); again", event.name, event.detail)
        else:
            yield event


def _write_preview(folder: Path, orders: "list[Order]", path: Path) -> None:
    import cv2

    from human3r.atomic import whole_file
    from human3r_lab.datasets.sequence_file import SequenceFile
    from human3r_lab.synth.contact_sheet import contact_sheet
    from human3r_lab.synth.production import order_path

    first = [SequenceFile(order_path(folder, order)) for order in orders[:_PREVIEW_ROWS]]
    sheet = contact_sheet(first)
    _, data = cv2.imencode(".jpg", sheet[..., ::-1].copy(), [cv2.IMWRITE_JPEG_QUALITY, 90])
    with whole_file(path) as file:
        file.write(data.tobytes())
    print(f"preview      {path}")


def _write_video(folder: Path, order: "Order", path: Path) -> None:
    from human3r.viewer.video_file import VideoFile
    from human3r_lab.datasets.sequence_file import SequenceFile
    from human3r_lab.synth.production import order_path

    sequence, video = SequenceFile(order_path(folder, order)), VideoFile(path)
    try:
        for index in range(len(sequence)):
            view = sequence.view(index)
            video.add(view.image, view.stamp_ns)
        video.finish()
    except BaseException:
        video.abort()
        raise
    print(f"video        {path}")


def _write_rig(folder: Path, orders: "list[Order]", target: Path) -> None:
    from human3r.atomic import output_errors
    from human3r.multiview.rig_file import RigCamera, write_rig
    from human3r_lab.datasets.sequence_file import SequenceFile
    from human3r_lab.synth.production import order_path

    with output_errors(target):
        target.mkdir(parents=True, exist_ok=True)
    cameras = {}
    for order in orders:
        name = f"camera{order.camera}"
        _write_video(folder, order, target / f"{name}.mp4")
        view = SequenceFile(order_path(folder, order)).view(0)
        cameras[name] = RigCamera(
            name, view.world_from_camera, view.intrinsics, source=f"{name}.mp4"
        )
    write_rig(target / "cameras.yaml", cameras)
    print(f"rig          {target / 'cameras.yaml'}")


def main(argv: list[str]) -> int:
    """``human3r synth`` with what stands behind it on the command line."""
    return run_command("synth", add_parser, argv)
