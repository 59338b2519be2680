"""A short-lived ROS node for a command: set up, told when to stop, always taken down."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from human3r.stopping import ending_signals


@dataclass(frozen=True)
class ClientSession:
    """What a command needs of ROS."""

    node: Node
    stop: threading.Event
    """Set by Ctrl-C, by SIGTERM, and when the terminal is closed."""


@contextmanager
def client_session(node_name: str, *, spin: bool) -> Iterator[ClientSession]:
    """A node, and an event that says when the user wants to stop.

    Args:
        node_name: base name of the node.
        spin: run its callbacks in a thread of their own.
    """
    stop = threading.Event()

    def request_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    before = {number: signal.signal(number, request_stop) for number in ending_signals()}
    node = rclpy.create_node(node_name)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=_spin, args=(executor,), name="ros", daemon=True)
    if spin:
        thread.start()
    try:
        yield ClientSession(node, stop)
    finally:
        executor.shutdown()
        if spin:
            thread.join(5.0)
        node.destroy_node()
        rclpy.try_shutdown()
        for number, handler in before.items():
            signal.signal(number, handler)


def _spin(executor: SingleThreadedExecutor) -> None:
    with suppress(ExternalShutdownException):
        executor.spin()
