"""``human3r play``: publish a video, folder or bag as an image topic; lives in the ROS part."""

import argparse
from typing import Any


def add_parser(commands: Any) -> None:
    """List the subcommand; its own parser reads its arguments."""
    parser = commands.add_parser(
        "play", help="publish a video, folder or bag as an image topic", add_help=False
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Hand everything behind the command's name to ``human3r_ros.play``.

    Raises:
        MissingExtraError: the ROS part is not installed.
    """
    from human3r.cli.ros_part import ros_command

    return ros_command("play")(args.rest)
