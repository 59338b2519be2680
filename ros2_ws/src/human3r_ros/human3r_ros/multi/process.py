"""``human3r_multi`` in a process of its own: command line, signals, executor, exit code."""

import argparse
import os
import sys
from collections.abc import Sequence

import rclpy
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from human3r.errors import Human3RError
from human3r.setting import CommandParser
from human3r.stopping import ending_signals
from human3r.viewer.web_options import add_web_options, web_flags
from human3r_ros.multi import settings
from human3r_ros.multi.node import NODE_NAME, MultiNode
from human3r_ros.parameters import own_overrides
from human3r_ros.parent import end_with_launch
from human3r_ros.spinning import FAILED, ignore, spin_until, stop_on


def run(args: Sequence[str], *, autostart: bool, overrides: list[Parameter] | None = None) -> int:
    """Fuse until a signal comes.

    Args:
        args: command line for the client library (``--ros-args ...``).
        autostart: configure and activate the node, and end when that fails.
        overrides: parameter values that win over the command line's.

    Returns:
        0 after a signal, 1 when the node cannot start or has failed, 3 after a fault with
        fault.policy exit.
    """
    end_with_launch()
    # Our own signal handling: the library's would close the context before the last message.
    rclpy.init(args=list(args), signal_handler_options=SignalHandlerOptions.NO)
    stop = stop_on(ending_signals())
    try:
        node = MultiNode(overrides=overrides, is_interrupted=stop.is_set)
        if autostart:
            for step in (node.trigger_configure, node.trigger_activate):
                step()
                if stop.is_set():
                    # Ctrl-C broke it off: that is no failure.
                    break
                if node.last_failure:
                    sys.stderr.write(f"{NODE_NAME}: {node.last_failure}\n")
                    rclpy.try_shutdown()
                    return FAILED
            else:
                sys.stdout.write(f"{node.describe()}\n")
                sys.stdout.flush()
    except Human3RError as error:
        sys.stderr.write(f"{NODE_NAME}: {error}\n")
        rclpy.try_shutdown()
        return FAILED
    return spin_until(stop, node, node.trigger_shutdown, lambda: node.exit_code)


def main(argv: Sequence[str] | None = None) -> int:
    """The executable ``human3r_multi``.

    Args:
        argv: command line with the program's name; that of the process by default.
    """
    args = list(sys.argv if argv is None else argv)
    parser = CommandParser(
        prog=NODE_NAME,
        usage=f"{NODE_NAME} [-h] [--managed] [--web [PORT]] [--settings FILE] [--set NAME=VALUE] "
        "[--ros-args -p NAME:=VALUE ...]",
        description="People of several cameras in one world with one id per person, until Ctrl-C. "
        "With views it reads HumanArrays of other nodes and TF, no images; with cameras it reads "
        "images, through one set of networks.",
        epilog=f"Parameters:\n{settings.describe()}\n\nExample:\n"
        f"  {NODE_NAME} --set views=left,right --set calibration=cameras.yaml\n"
        f"  {NODE_NAME} --set cameras=left,right --set calibration=cameras.yaml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    is_managed = "--managed" in args
    args = [word for word in args if word != "--managed"]
    add_web_options(parser)
    try:
        overrides = own_overrides(parser, args, settings.MultiSettings(), web_flags)
    except Human3RError as error:
        sys.stderr.write(f"{NODE_NAME}: {error}\n")
        return FAILED
    code = run(args, autostart=not is_managed, overrides=overrides)
    if argv is None:
        ignore(ending_signals())
        sys.stdout.flush()
        sys.stderr.flush()
        # All is taken down. The interpreter would wait for a network call that does not return.
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
