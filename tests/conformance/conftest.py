"""Behaviours of rclpy, run on the real one where ROS 2 is sourced and on rclpy_lite elsewhere."""

import os
import time

import pytest

# From Jazzy on, generated messages check their fields on request only.
os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")

try:
    import rclpy
except ImportError:
    import rclpy_lite

    rclpy_lite.install()
    import rclpy

IS_LITE = rclpy.__name__ == "rclpy_lite"


@pytest.fixture(scope="module", autouse=True)
def loopback():
    """Without ROS 2, DDS stays on 127.0.0.1; with it, its own settings hold."""
    if not IS_LITE:
        yield
        return
    from rclpy_lite.transport import loopback_environment

    wanted = loopback_environment(20 + (os.getpid() + 90) % 180)
    former = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    yield
    for name, value in former.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture
def context():
    """An initialised context of this test."""
    from rclpy.context import Context

    made = Context()
    rclpy.init(args=[], context=made)
    yield made
    rclpy.try_shutdown(context=made)


@pytest.fixture
def executor(context):
    """An executor of this test."""
    from rclpy.executors import SingleThreadedExecutor

    made = SingleThreadedExecutor(context=context)
    yield made
    made.shutdown()


@pytest.fixture
def make_node(context, executor):
    """Makes nodes that the test's executor runs."""
    from rclpy.node import Node

    made = []

    def make(name="node", node_class=Node, **options):
        node = node_class(name, context=context, **options)
        executor.add_node(node)
        made.append(node)
        return node

    yield make
    for node in made:
        executor.remove_node(node)
        node.destroy_node()


@pytest.fixture
def spin_until(executor):
    """Spins until a condition is true; fails after ten seconds."""

    def run(condition, timeout_s=30.0):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in time"
            executor.spin_once(timeout_sec=0.02)

    return run
