"""Leaving: promptly, on Ctrl-C, and from other threads."""

import os
import signal
import threading
import time

import pytest
import rclpy_lite
from rclpy_lite.context import Context
from rclpy_lite.exceptions import ExternalShutdownException, NotInitializedException, RCLError
from rclpy_lite.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy_lite.node import Node
from rclpy_lite.signals import install_signal_handlers, uninstall_signal_handlers


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "shut down from outside")],
)
def test_a_signal_ends_a_spinning_process_cleanly_and_peers_see_it_at_once(
    make_node, start_peer, number, said, monkeypatch
):
    # A peer that only falls silent would stay in the graph for an hour: the end has to be told.
    monkeypatch.setenv("CYCLONEDDS_URI", _with_lease(os.environ["CYCLONEDDS_URI"], 3600))
    node = make_node()
    peer = start_peer("managed.py")
    peer.wait_for("ready")
    assert node.wait_for_node("/managed", 30)
    assert peer.interrupt(number) == 0
    peer.wait_for(said)
    peer.wait_for("left")
    graph = node.context.graph
    with graph.changed:
        assert graph.changed.wait_for(lambda: "managed" not in node.get_node_names(), 60.0)


def _with_lease(configuration: str, seconds: int) -> str:
    """The same configuration with another time after which a silent participant is given up."""
    lease = f"<LeaseDuration>{seconds}s</LeaseDuration>"
    assert "<Discovery>" in configuration
    assert "LeaseDuration" not in configuration
    return configuration.replace("<Discovery>", f"<Discovery>{lease}")


def test_ctrl_c_while_work_is_handed_to_the_pool_loses_no_count(context):
    executor = MultiThreadedExecutor(2, context=context)
    submit = executor._pool.submit

    def submit_and_interrupt(*args):
        submit(*args)
        signal.raise_signal(signal.SIGINT)

    executor._pool.submit = submit_and_interrupt
    executor.create_task(lambda: None)
    install_signal_handlers()
    try:
        with pytest.raises(KeyboardInterrupt):
            executor.spin()
    finally:
        uninstall_signal_handlers()
    executor._pool.shutdown(wait=True)
    assert executor.shutdown(timeout_sec=1)


def test_ctrl_c_ends_waiting_for_a_free_thread(context):
    executor = MultiThreadedExecutor(2, context=context)
    release = threading.Event()
    for _ in range(3):
        executor.create_task(release.wait, 20)
    install_signal_handlers()
    # To the main thread, as the kernel does; elsewhere nobody would wake it from its wait.
    main = threading.main_thread().ident
    threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            executor.spin()
    finally:
        uninstall_signal_handlers()
        release.set()
    assert executor.shutdown(timeout_sec=10)


def test_spinning_ends_when_another_thread_shuts_down():
    context = Context()
    context.init(args=[])
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(Node("spinning", context=context))
    threading.Timer(0.2, context.shutdown).start()
    with pytest.raises(ExternalShutdownException):
        executor.spin()
    assert not context.ok()


def test_nothing_can_be_made_without_init():
    with pytest.raises(NotInitializedException):
        Node("early", context=Context())
    with pytest.raises(NotInitializedException):
        rclpy_lite.shutdown(context=Context())


def test_shutting_down_twice_is_an_error_and_try_shutdown_is_not():
    context = Context()
    context.init(args=[])
    context.shutdown()
    with pytest.raises(RCLError, match="already called"):
        context.shutdown()
    context.try_shutdown()


def test_after_shutdown_publishing_says_so_and_a_life_can_still_be_ended():
    from rclpy_lite.lifecycle import LifecycleNode, TransitionCallbackReturn
    from rclpy_lite.messages import get_message

    context = Context()
    context.init(args=[])
    node = LifecycleNode("late", context=context)
    publisher = node.create_publisher(get_message("std_msgs/msg/String"), "topic", 1)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    context.shutdown()
    with pytest.raises(NotInitializedException):
        publisher.publish(publisher.msg_type())
    node.get_logger().info("still here")
    assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    node.destroy_node()


def test_a_node_that_fails_to_start_leaves_nothing_behind(make_node):
    from rclpy_lite.exceptions import ParameterAlreadyDeclaredException

    class Broken(Node):
        def __init__(self, name, **options):
            super().__init__(name, **options)

        def _start_parameters(self, *arguments):
            super()._start_parameters(*arguments)
            self.declare_parameter("x", 1)
            self.declare_parameter("x", 1)

    observer = make_node("observer")
    with pytest.raises(ParameterAlreadyDeclaredException):
        make_node("broken", Broken)
    assert "broken" not in observer.get_node_names()


def test_a_context_can_be_started_again():
    context = Context()
    for _ in range(3):
        context.init(args=[])
        Node("again", context=context).destroy_node()
        context.shutdown()


def test_a_destroyed_node_leaves_the_graph(make_node, spin):
    stays, goes = make_node("stays"), make_node("goes")
    assert "goes" in stays.get_node_names()
    goes.destroy_node()
    goes.destroy_node()
    assert "goes" not in stays.get_node_names()


def test_waiting_costs_no_processor_time(make_node, context):
    node = make_node()
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    looks, find = [], executor._find
    executor._find = lambda: looks.append(1) or find()
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=1.0)
    # Once before and once after the wait, and when the node's own topics have news.
    assert len(looks) < 20
    executor.shutdown()
