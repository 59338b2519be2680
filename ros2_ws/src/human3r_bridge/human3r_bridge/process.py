"""The bridge in a process of its own: command line, signals, executor, exit code."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from human3r.errors import Human3RError
from human3r_bridge import parameters
from human3r_bridge.node import NODE_NAME, BridgeNode

FAILED = 1
_LOOK_S = 0.1
_END_S = 1.0


def run(args: Sequence[str], overrides: list[Parameter] | None = None) -> int:
    """Translate until a signal comes.

    Args:
        args: command line for the client library (``--ros-args ...``).
        overrides: parameter values that win over the command line's.

    Returns:
        0 after a signal, 1 when the bridge cannot start or has failed.
    """
    # Our own signal handling: the library's would close the context before the last messages.
    rclpy.init(args=list(args), signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        node = BridgeNode(overrides=overrides)
    except Human3RError as error:
        sys.stderr.write(f"human3r_bridge: {error}\n")
        rclpy.try_shutdown()
        return FAILED
    return _spin(node, stop)


def _spin(node: BridgeNode, stop: threading.Event) -> int:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin, name="executor", daemon=True)
    spinning.start()
    sys.stdout.write(f"{node.describe()}\n")
    sys.stdout.flush()
    while not stop.wait(_LOOK_S) and spinning.is_alive():
        pass
    # When a callback raised, the executor's thread has printed it and ended.
    has_failed = not spinning.is_alive()
    executor.shutdown(timeout_sec=_END_S)
    spinning.join(_END_S)
    if not spinning.is_alive():
        node.clear()
        node.destroy_node()
    rclpy.try_shutdown()
    return FAILED if has_failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """The executable ``human3r_bridge``.

    Args:
        argv: command line with the program's name; that of the process by default.

    Raises:
        SystemExit: 0 after ``--help``, 2 after an argument that nobody knows.
    """
    args = list(sys.argv if argv is None else argv)
    _check_arguments(args)
    return run(args)


def _check_arguments(args: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog=NODE_NAME,
        usage=f"{NODE_NAME} [-h] [--ros-args -p NAME:=VALUE ...]",
        description="Publish the people of a Human3R node in formats that other packages read, "
        "until Ctrl-C.",
        epilog=f"Parameters:\n{parameters.describe()}\n\nExample:\n"
        f'  {NODE_NAME} --ros-args -p outputs:="[markers, people]" -r __ns:=/robot1',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    try:
        own = remove_ros_args(args)
    # What rclpy and rclpy_lite raise for arguments after --ros-args that they do not know.
    except RuntimeError as error:
        parser.error(str(error))
    parser.parse_args(own[1:])
