"""``human3r demo``: node, player and recorder as processes of their own; in the ROS part."""

import argparse
from typing import Any


def add_parser(commands: Any) -> None:
    """List the subcommand; its own parser reads its arguments."""
    parser = commands.add_parser(
        "demo", help="node, player and recorder together: bag, video and picture", add_help=False
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Hand everything behind the command's name to ``human3r_ros.demo``.

    Raises:
        MissingExtraError: the ROS part is not installed.
    """
    from human3r.cli.ros_part import ros_command

    return ros_command("demo")(args.rest)
