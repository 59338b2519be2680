"""``human3r body``: convert a distributed body model, or say what is in one."""

import argparse
from typing import Any

from human3r.cli.weights import add_force


def add_parser(commands: Any) -> None:
    """Adds ``body`` and its two actions to the command line."""
    parser = commands.add_parser("body", help="convert or inspect a body model file")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    convert = actions.add_parser(
        "convert",
        help="turn a distributed SMPL-X file into one that is safe to load",
        description="Reads a body model in the SMPL-X layout, pickle or npz, as data; nothing in "
        "it is run. Writes the arrays that are needed as npz.",
    )
    convert.add_argument("source", metavar="SMPLX_NEUTRAL.pkl|npz")
    convert.add_argument("target", metavar="OUT.npz")
    add_force(convert)
    convert.set_defaults(run=_convert)

    inspect = actions.add_parser("inspect", help="say what a body model file holds")
    inspect.add_argument("file", metavar="FILE")
    inspect.set_defaults(run=_inspect)


def _convert(args: argparse.Namespace) -> int:
    from human3r.atomic import check_output_path
    from human3r.body.convert import convert_body

    target = check_output_path(args.target, args.source, may_replace=args.force)
    _show(convert_body(args.source, target))
    return 0


def _inspect(args: argparse.Namespace) -> int:
    from human3r.body.convert import describe_body

    _show(describe_body(args.file))
    return 0


def _show(summary: Any) -> None:
    print(f"file         {summary.path}")
    print(f"vertices     {summary.num_vertices}")
    print(f"faces        {summary.num_faces}")
    print(f"landmarks    {len(summary.landmark_names)}")
    print(f"correctives  {'yes' if summary.has_pose_directions else 'no'}")
    print(f"mean height  {summary.height_m:.2f} m")
