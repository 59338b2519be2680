"""``human3r export``: the result of a run in the formats of other tools."""

import argparse
from typing import TYPE_CHECKING, Any

from human3r.errors import InputError

if TYPE_CHECKING:
    from human3r.export.formats import Exported

_SHORTHANDS = ("html", "rrd")
"""Formats of one file that have an option of their own."""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    from human3r.export.formats import FORMATS

    parser = commands.add_parser(
        "export",
        help="write a result for Blender, OpenSim, a browser and others",
        description="Writes the result of `human3r run`, or a bag of people, in the format of "
        "another tool; docs/exports.md says what is in each.",
        epilog="Formats: " + "; ".join(f"{name}: {f.about}" for name, f in FORMATS.items()) + ".",
    )
    add = parser.add_argument
    add_result_options(parser)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--format", choices=list(FORMATS), metavar="FORMAT", help=", ".join(FORMATS)
    )
    for name in _SHORTHANDS:
        words = f"the same as --format {name} --out FILE"
        chosen.add_argument(f"--{name}", metavar="FILE", help=words)
    add(
        "-o",
        "--out",
        metavar="PATH",
        help="file or folder to write (default: in RESULT, or beside a bag)",
    )
    add(
        "--world",
        choices=("level", "yup", "camera"),
        default="",
        help="axes: level: z up, x ahead; yup: y up, x right; camera: y down, z ahead, tilted as "
        "the first camera was (default: what is usual for the format)",
    )
    add(
        "--up",
        choices=("auto", "floor", "camera"),
        default="auto",
        help="what says where up is: the floor under people's feet, or the settings of the run; "
        "auto: the settings if they name a tilt, else the floor if one was seen (%(default)s)",
    )
    add("--people", metavar="IDS", help="whom to write, for example 0,3 (default: see --min-share)")
    parser.set_defaults(run=run)


def add_result_options(parser: argparse.ArgumentParser) -> None:
    """What every command that reads a result takes: which, whom of it, and with which bodies."""
    add = parser.add_argument
    add(
        "result",
        metavar="RESULT",
        help="folder that `human3r run` or the demo wrote, or a recorded bag with people in it",
    )
    add("--topic", metavar="T", help="of the people, where a bag has several: a HumanArray")
    add(
        "--session",
        type=int,
        metavar="N",
        help="show the world of this session, where the world began anew (default: the world with "
        "the most frames)",
    )
    add(
        "--min-share",
        type=float,
        default=0.1,
        metavar="S",
        help="leave out who was seen in fewer than this share of the frames (%(default)s, and 30 "
        "frames are enough)",
    )
    add("--body-model", metavar="FILE", help="of the run, where it is not where the run found it")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand.

    Raises:
        InputError: no result, wrong options, or axes that the format does not allow.
        Human3RError: whatever body model, packages or disk make impossible.
    """
    from human3r.export.formats import export

    name, out = args.format, args.out
    for short in _SHORTHANDS:
        if file := getattr(args, short):
            if out is not None:
                raise InputError(f"--{short} {file} and --out {out}; expected one of them.")
            name, out = short, file
    if name is None:
        options = " or ".join(f"--{short} FILE" for short in _SHORTHANDS)
        raise InputError(f"no format was named; expected --format FORMAT, {options}.")
    exported = export(
        args.result,
        name,
        out,
        world=args.world,
        up=args.up,
        track_ids=identities(args.people) if args.people is not None else None,
        min_share=checked_share(args),
        body_model=args.body_model,
        topic=args.topic,
        session=args.session,
    )
    print(_line(exported), flush=True)
    return 0


def checked_share(args: argparse.Namespace) -> float:
    """The value of ``--min-share``.

    Raises:
        InputError: no share.
    """
    if not 0 <= args.min_share <= 1:
        raise InputError(f"--min-share is {args.min_share}; expected a number from 0 to 1.")
    return args.min_share


def identities(text: str) -> list[int]:
    """The identities of ``--people``.

    Raises:
        InputError: something else than whole numbers.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise InputError(f"--people is {text!r}; expected identities like 0,3.")
    return [int(word) for word in words]


def _line(exported: "Exported") -> str:
    clip = exported.clip
    ids = ", ".join(str(person.track_id) for person in clip.people)
    people = f"{len(clip.people)} {'person' if len(clip.people) == 1 else 'people'}"
    people += f" (ids {ids})" if ids else ""
    if clip.left_out:
        people += f", {len(clip.left_out)} seen too rarely left out"
    moved = ""
    if exported.deviation_m:
        moved = f"; one shape per person moves joints by {1e3 * exported.deviation_m:.0f} mm"
    up = "" if clip.world.up_source == "none" else f", up from the {clip.world.up_source}"
    axes = clip.world.axes.split(";")[1].strip()
    return f"{people} of {len(clip.stamps_ns)} frames; {axes}{up}{moved}: {exported.path}"
