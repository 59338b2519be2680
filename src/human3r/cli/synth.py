"""``human3r synth``: make sequences of dressed, moving people with the whole truth about them."""

import argparse
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from human3r.synth.orders import Order

log = logging.getLogger(__name__)

_PREVIEW_ROWS = 12


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
    parser.add_argument("--size", type=_size, default=(224, 160), metavar="WxH", help="224x160")
    parser.add_argument("--split", choices=("train", "val", "test"), default="train")
    parser.add_argument("--difficulty", choices=("easy", "hard", "mixed"), default="mixed")
    parser.add_argument("--seed", type=int, default=0, help="of the first sequence; default: 0")
    parser.add_argument(
        "--workers", type=_count, metavar="K", help="processes; default: one per core"
    )
    parser.add_argument("--overwrite", action="store_true", help="make complete files again")
    parser.add_argument("--preview", type=Path, metavar="FILE.jpg", help="a picture of the first")
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="the first as a video")
    parser.set_defaults(run=_run)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected at least 1")
    return value


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text}: expected WIDTHxHEIGHT, for example 224x160")
    return int(match[1]), int(match[2])


def _run(args: argparse.Namespace) -> int:
    from human3r.errors import OutputError
    from human3r.synth.orders import list_orders

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
    )
    _make(args, orders)
    if args.preview is not None:
        _write_preview(args.folder, orders, args.preview)
    if args.video is not None:
        _write_video(args.folder, orders[0], args.video)
    return 0


def _make(args: argparse.Namespace, orders: "list[Order]") -> None:
    import os
    import time
    from importlib import import_module

    from rich.console import Console
    from rich.progress import track

    from human3r.synth.production import produce

    import_module("human3r.synth.compiler")  # Says at once when numba is not installed.
    workers = args.workers or len(os.sched_getaffinity(0))
    started, frames, kept = time.monotonic(), 0, 0
    console = Console(stderr=True)
    events = produce(args.folder, orders, workers, overwrite=args.overwrite)
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


def _tell_losses(events: Any) -> Any:
    for event in events:
        if event.kind == "lost":
            log.warning("the worker drawing %s was lost (%s); again", event.name, event.detail)
        else:
            yield event


def _write_preview(folder: Path, orders: "list[Order]", path: Path) -> None:
    import cv2

    from human3r.atomic import whole_file
    from human3r.datasets.sequence_file import SequenceFile
    from human3r.synth.contact_sheet import contact_sheet
    from human3r.synth.production import order_path

    first = [SequenceFile(order_path(folder, order)) for order in orders[:_PREVIEW_ROWS]]
    sheet = contact_sheet(first)
    _, data = cv2.imencode(".jpg", sheet[..., ::-1].copy(), [cv2.IMWRITE_JPEG_QUALITY, 90])
    with whole_file(path) as file:
        file.write(data.tobytes())
    print(f"preview      {path}")


def _write_video(folder: Path, order: "Order", path: Path) -> None:
    from human3r.datasets.sequence_file import SequenceFile
    from human3r.synth.production import order_path
    from human3r.viewer.video_file import VideoFile

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
