"""How the process of a node ends, on an executor that behaves as rclpy's: it waits for nothing."""

import os
import signal
import threading
import time

import pytest
import rclpy
from human3r_ros import node as node_module
from human3r_ros import process
from human3r_ros.node import Human3RNode
from rclpy.executors import MultiThreadedExecutor

_BUSY_S = 0.6
"""How long a configure goes on after it was interrupted."""


class HastyExecutor(MultiThreadedExecutor):
    """As in rclpy of Jazzy: ``shutdown`` and ``spin`` return while callbacks still run."""

    def shutdown(self, timeout_sec=None):
        return super().shutdown(0.0)


class Ended(BaseException):
    """Instead of the end of the process."""


@pytest.fixture
def ended(private_domain, monkeypatch):
    """A node's process run in this one, up to its end; ``ended(signals)`` gives code and node."""
    made, configuring, over = [], threading.Event(), threading.Event()

    def leave(code):
        made.append(code)
        raise Ended

    def load(settings, tracker):
        configuring.set()
        over.wait(60)

    class Node(Human3RNode):
        def __init__(self, **options):
            super().__init__(**options)
            made.append(self)

        def _release(self):
            time.sleep(_BUSY_S)
            super()._release()

    monkeypatch.setattr(process, "MultiThreadedExecutor", HastyExecutor)
    monkeypatch.setattr(process, "Human3RNode", Node)
    monkeypatch.setattr(process.os, "_exit", leave)
    monkeypatch.setattr(node_module, "_load", load)
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }

    def run(number, times):
        def interrupt():
            configuring.wait(30)
            for _ in range(times):
                os.kill(os.getpid(), number)
                time.sleep(0.2)

        sender = threading.Thread(target=interrupt, daemon=True)
        sender.start()
        with pytest.raises(Ended):
            process.run(["human3r"], autostart=True)
        sender.join()
        node, code = made
        return node, code

    yield run
    over.set()
    rclpy.try_shutdown()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGINT, 2), (signal.SIGTERM, 1), (signal.SIGHUP, 1)]
)
def test_a_signal_in_the_middle_of_configure_ends_the_process_in_order(
    ended, monkeypatch, number, times
):
    monkeypatch.setattr(process, "_END_S", 60.0)  # For a machine that others use too.
    node, code = ended(number, times)
    assert code == 0
    assert node.is_finalized(), "after the interrupted configure, and not in the middle of it"


def test_under_nohup_a_closed_terminal_does_not_end_the_process(ended, monkeypatch):
    monkeypatch.setattr(process, "_END_S", 60.0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _, code = ended(signal.SIGTERM, 1)
    assert code == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL


def test_a_transition_that_does_not_end_does_not_hold_the_process(ended, monkeypatch):
    monkeypatch.setattr(process, "_END_S", 0.2)
    node, code = ended(signal.SIGINT, 1)
    assert code == 0
    assert not node.is_finalized()


def test_a_failure_while_ending_is_told_and_ends_the_process(ended, monkeypatch, capsys):
    def broken():
        raise ValueError("the context is gone")

    monkeypatch.setattr(process.rclpy, "try_shutdown", broken)
    try:
        _, code = ended(signal.SIGINT, 1)
    finally:
        monkeypatch.undo()
    assert code == process.FAILED
    assert "ValueError: the context is gone" in capsys.readouterr().err
