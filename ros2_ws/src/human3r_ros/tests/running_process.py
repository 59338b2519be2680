"""A command in a process of its own, and a node in this one that talks with it over real DDS."""

import signal
import threading
from collections import defaultdict

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from tests.waiting import wait_until
from tests.warm_process import start_fresh

__all__ = ["Peer", "RunningProcess", "wait_until"]


class RunningProcess:
    """Started at once; its output can be read while it runs."""

    END_S = 60.0
    """It may take so long to end when asked to, on a machine that others use too."""

    def __init__(self, command, log_file, environment, start=start_fresh):
        self._log = log_file
        with log_file.open("wb") as log:
            self.process = start(command, log, environment)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self, number=signal.SIGINT) -> int:
        """Ask it to end and wait for that; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(self.END_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5.0)


class Peer:
    """A node of ours with a context of its own, spun by a thread until ``close``."""

    def __init__(self, name="bench"):
        self.context = Context()
        rclpy.init(args=[], context=self.context)
        self.node = Node(name, context=self.context, use_global_arguments=False)
        self.received = defaultdict(list)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self):
        self._executor.shutdown()
        self._thread.join(3.0)
        self.node.destroy_node()
        self.context.try_shutdown()
