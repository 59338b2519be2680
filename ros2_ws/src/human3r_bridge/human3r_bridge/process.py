"""The bridge in a process of its own: command line, signals, executor, exit code."""

import argparse
import sys
from collections.abc import Sequence

import rclpy
from human3r_ros.parameters import own_overrides
from human3r_ros.parent import end_with_launch
from human3r_ros.spinning import FAILED, ignore, spin_until, stop_on
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from human3r.errors import Human3RError
from human3r.setting import CommandParser
from human3r.stopping import ending_signals
from human3r_bridge import parameters
from human3r_bridge.node import NODE_NAME, BridgeNode


def run(args: Sequence[str], overrides: list[Parameter] | None = None) -> int:
    """Translate until a signal comes.

    Args:
        args: command line for the client library (``--ros-args ...``).
        overrides: parameter values that win over the command line's.

    Returns:
        0 after a signal, 1 when the bridge cannot start or has failed.
    """
    end_with_launch()
    # Our own signal handling: the library's would close the context before the last messages.
    rclpy.init(args=list(args), signal_handler_options=SignalHandlerOptions.NO)
    stop = stop_on(ending_signals())
    try:
        node = BridgeNode(overrides=overrides)
    except Human3RError as error:
        sys.stderr.write(f"human3r_bridge: {error}\n")
        rclpy.try_shutdown()
        return FAILED
    sys.stdout.write(f"{node.describe()}\n")
    sys.stdout.flush()
    return spin_until(stop, node, node.clear)


def main(argv: Sequence[str] | None = None) -> int:
    """The executable ``human3r_bridge``.

    Args:
        argv: command line with the program's name; that of the process by default.

    Raises:
        SystemExit: 0 after ``--help``, 2 after an unknown argument.
    """
    args = list(sys.argv if argv is None else argv)
    parser = CommandParser(
        prog=NODE_NAME,
        usage=f"{NODE_NAME} [-h] [--settings FILE] [--set NAME=VALUE] "
        "[--ros-args -p NAME:=VALUE ...]",
        description="Publish the people of a Human3R node in formats that other packages read, "
        "until Ctrl-C.",
        epilog=f"Parameters:\n{parameters.describe()}\n\nExamples:\n"
        f"  {NODE_NAME} --set outputs=markers,people --ros-args -r __ns:=/robot1\n"
        f'  {NODE_NAME} --ros-args -p outputs:="[markers, people]" -r __ns:=/robot1',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    try:
        overrides = own_overrides(parser, args, parameters.BridgeSettings())
    except Human3RError as error:
        sys.stderr.write(f"{NODE_NAME}: {error}\n")
        return FAILED
    code = run(args, overrides)
    if argv is None:
        ignore(ending_signals())
    return code
