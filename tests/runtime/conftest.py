"""Real processes and real DDS on 127.0.0.1, in a domain of this test session."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.client_library import why_not_lite

WHY_NOT = why_not_lite()
if not WHY_NOT:
    import rclpy_lite
    from rclpy_lite.context import Context
    from rclpy_lite.executors import SingleThreadedExecutor
    from rclpy_lite.node import Node
    from rclpy_lite.transport import loopback_environment

PEERS = Path(__file__).with_name("peers")
# Only the ports matter: another session in the same domain would take part in this one.
DOMAIN_ID = 20 + os.getpid() % 180


class SkippedModule(pytest.Module):
    """A test file that is not even imported."""

    def collect(self):
        pytest.skip(WHY_NOT, allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    """All of this folder is about rclpy_lite itself."""
    if WHY_NOT:
        return SkippedModule.from_parent(parent, path=module_path)
    return None


@pytest.fixture(scope="module", autouse=True)
def dds_environment():
    """Loopback DDS for this process and those it starts."""
    rclpy_lite.install()
    wanted = loopback_environment(DOMAIN_ID)
    former = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    yield wanted
    for name, value in former.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture
def context():
    """An initialised context of this test."""
    made = Context()
    made.init(args=[])
    yield made
    made.try_shutdown()


@pytest.fixture
def make_node(context):
    """Makes nodes in the test's context."""

    def make(name="here", node_class=None, **options):
        return (node_class or Node)(name, context=context, **options)

    return make


@pytest.fixture
def spin(context):
    """Spins nodes until a condition is true; fails after the time is over."""

    def run(nodes, condition, timeout_s=30.0):
        nodes = nodes if isinstance(nodes, (list, tuple)) else [nodes]
        executor = SingleThreadedExecutor(context=context)
        for node in nodes:
            executor.add_node(node)
        deadline = time.monotonic() + timeout_s
        try:
            while not condition():
                assert time.monotonic() < deadline, "the condition did not come true in time"
                executor.spin_once(timeout_sec=0.02)
        finally:
            executor.shutdown()

    return run


class Peer:
    """Another process, and the lines it prints."""

    def __init__(self, script, *args):
        self.process = subprocess.Popen(
            [sys.executable, "-u", str(PEERS / script), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        self._queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, start, timeout_s=30.0):
        """The first new line that begins with ``start``."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._queue.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                line = ""
            if line is None or time.monotonic() > deadline:
                pytest.fail(f"peer never said {start!r}; it said:\n" + "\n".join(self.lines))
            self.lines.append(line)
            if line.startswith(start):
                return line

    def tell(self, line):
        """Write a line to its standard input."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def interrupt(self, number=signal.SIGINT, timeout_s=30.0):
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def close(self):
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def start_peer():
    """Starts scripts of ``peers/`` and ends them after the test."""
    started = []

    def start(script, *args):
        peer = Peer(script, *args)
        started.append(peer)
        return peer

    yield start
    for peer in started:
        peer.close()
