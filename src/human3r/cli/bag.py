"""``human3r bag``: what can be done with a recording."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("bag", help="make a rosbag2 whole that was cut off")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    repair = actions.add_parser(
        "repair",
        help="keep everything that was written completely",
        description="Makes a rosbag2 readable whose recorder was killed or whose disk was full, in "
        "place: everything that was written completely is kept.",
    )
    repair.add_argument(
        "bag",
        type=Path,
        metavar="BAG",
        help="folder of the bag, its .part folder, or an .mcap or .db3 file",
    )
    repair.set_defaults(run=run_repair)


def run_repair(args: argparse.Namespace) -> int:
    """Run the subcommand.

    Raises:
        InputError: no bag there, or nothing in it can be read.
        OutputError: the disk refuses.
    """
    from human3r.io.bag_repair import repair

    done = repair(args.bag)
    cut = f"; {done.num_bytes_cut} bytes behind them cut off" if done.num_bytes_cut else ""
    print(f"{done.path}: {done.num_messages} messages on {done.num_topics} topics kept{cut}")
    return 0
