"""A node whose callbacks run one after another, until its process is told to end."""

import signal
import threading
from collections.abc import Callable, Iterable

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

FAILED = 1
_LOOK_S = 0.1
_END_S = 1.0


def stop_on(signals: Iterable[signal.Signals]) -> threading.Event:
    """An event that is set when one of these signals comes."""
    stop = threading.Event()
    for number in signals:
        signal.signal(number, lambda *_: stop.set())
    return stop


def spin_until(
    stop: threading.Event,
    node: Node,
    farewell: Callable[[], object],
    exit_code: Callable[[], int | None] = lambda: None,
) -> int:
    """Spin the node in a thread until the event is set; the client library is shut down then.

    Args:
        stop: ends it.
        node: is destroyed at the end.
        farewell: what the node still does before that; left out when a callback does not return.
        exit_code: asked now and then; another answer than None ends it too.

    Returns:
        0 or ``exit_code``, or 1 when a callback has raised.
    """
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin, name="executor", daemon=True)
    spinning.start()
    while not stop.wait(_LOOK_S) and spinning.is_alive() and exit_code() is None:
        pass
    # When a callback raised, the executor's thread has printed it and ended.
    has_failed = not spinning.is_alive()
    executor.shutdown(timeout_sec=_END_S)
    spinning.join(_END_S)
    if not spinning.is_alive():
        farewell()
        node.destroy_node()
    rclpy.try_shutdown()
    return FAILED if has_failed else exit_code() or 0


def ignore(signals: Iterable[signal.Signals]) -> None:
    """Take no notice of these signals: for a process at its end.

    The interpreter takes handlers away while it ends, and one more Ctrl-C would be a crash.
    """
    for number in signals:
        signal.signal(number, signal.SIG_IGN)
