"""One node in one process: signals, executor, exit code."""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import MultiThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from human3r.config import Settings
from human3r.errors import Human3RError
from human3r.setting import CommandParser
from human3r.stopping import ending_signals
from human3r_ros import parameters
from human3r_ros.node import Human3RNode
from human3r_ros.parent import end_with_launch

_THREADS = 3
_END_S = 2.5
_LOOK_AGAIN_S = 0.02
FAILED = 1


def run(args: Sequence[str], *, autostart: bool, overrides: list[Parameter] | None = None) -> int:
    """Spin the node until a signal, a fault that ends the process, or a failed start.

    Args:
        args: command line for the client library (``--ros-args ...``).
        autostart: configure and activate the node, and end when that fails.
        overrides: parameter values that win over the command line's.

    Returns:
        The process's exit code when the node could not be made; otherwise the process ends here.
    """
    end_with_launch()
    # Our own signal handling: the library's would close the context before the node can send
    # its closing messages.
    rclpy.init(args=list(args), signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = Human3RNode(overrides=overrides)
    except Human3RError as error:
        sys.stderr.write(f"human3r: {error}\n")
        rclpy.try_shutdown()
        return FAILED
    _NodeProcess(node, autostart).run()


class _NodeProcess:
    def __init__(self, node: Human3RNode, autostart: bool) -> None:
        self._node = node
        self._stop = threading.Event()
        self._executor = MultiThreadedExecutor(num_threads=_THREADS)
        self._executor.add_node(node)
        self._start_timer = None
        if autostart:
            self._start_timer = node.create_timer(
                0.0,
                self._start_once,
                callback_group=node.lifecycle_group,
                clock=Clock(clock_type=ClockType.STEADY_TIME),
            )

    def run(self) -> NoReturn:
        for number in ending_signals():
            signal.signal(number, lambda *_: self._stop.set())
        spinning = threading.Thread(target=self._executor.spin, name="executor", daemon=True)
        spinning.start()
        while not self._stop.wait(0.1):
            if self._node.exit_code is not None:
                break
            if not spinning.is_alive():
                # A callback raised; the executor's thread has printed it.
                self._node.exit_code = FAILED
                break
        self._end(spinning)

    def _end(self, spinning: threading.Thread) -> NoReturn:
        """Deactivate, clean up and leave, whatever is going on."""
        code = self._node.exit_code or 0
        try:
            self._take_down(spinning, time.monotonic() + _END_S)
        except BaseException:
            traceback.print_exc()
            code = FAILED
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # All is taken down. The interpreter would now unload torch for seconds, and would
            # wait for a network call that does not return.
            os._exit(code)

    def _take_down(self, spinning: threading.Thread, deadline_s: float) -> None:
        node = self._node
        node.interrupt()
        self._executor.shutdown(timeout_sec=1.0)
        spinning.join(max(0.0, deadline_s - time.monotonic()))
        if not spinning.is_alive() and self._finalize(deadline_s):
            node.destroy_node()
        rclpy.try_shutdown()

    def _finalize(self, deadline_s: float) -> bool:
        """Shut the node down; False when a transition that is under way does not end in time.

        Neither rclpy's ``shutdown`` nor its ``spin`` waits for callbacks that threads of the pool
        still run: a configure may be in the middle of its work here.
        """
        node = self._node
        while not node.is_finalized():
            # The state machine is ahead of us or behind by a moment; then RCLError comes.
            with suppress(RuntimeError):
                if not node.is_in_transition():
                    node.trigger_shutdown()
            if time.monotonic() > deadline_s:
                break
            time.sleep(_LOOK_AGAIN_S)
        return node.is_finalized()

    def _start_once(self) -> None:
        self._start_timer.cancel()  # pyright: ignore[reportOptionalMemberAccess]
        node = self._node
        for step in (node.trigger_configure, node.trigger_activate):
            step()
            if self._stop.is_set():
                # Ctrl-C broke it off: that is no failure.
                return
            if node.last_failure:
                sys.stderr.write(f"human3r: {node.last_failure}\n")
                node.exit_code = FAILED
                return
        sys.stdout.write(f"{node.describe()}\n")
        sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    """The executable ``human3r_node``: the node alone, for a launch file or a manager to drive."""
    args = sys.argv if argv is None else argv
    parser = CommandParser(
        prog="human3r_node",
        usage="human3r_node [-h] [--settings FILE] [--set NAME=VALUE] [--ros-args ...]",
        description="The lifecycle node, unconfigured until a launch file or a lifecycle manager "
        "configures and activates it. `human3r settings` lists the settings.",
    )
    try:
        overrides = parameters.own_overrides(parser, args, Settings())
    except Human3RError as error:
        sys.stderr.write(f"human3r: {error}\n")
        return FAILED
    return run(args, autostart=False, overrides=overrides)
