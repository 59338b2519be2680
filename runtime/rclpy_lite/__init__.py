"""ROS 2 nodes in plain Python: the API of rclpy on Cyclone DDS from PyPI.

`install` makes ``import rclpy`` and the message packages mean this package where the real ones
are absent; with a sourced ROS 2 it changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy_lite.context import Context, get_default_context
from rclpy_lite.install import install
from rclpy_lite.signals import (
    SignalHandlerOptions,
    install_signal_handlers,
    uninstall_signal_handlers,
)

if TYPE_CHECKING:
    from rclpy_lite.executors import Executor
    from rclpy_lite.node import Node
    from rclpy_lite.task import Future

__version__ = "0.1.0"

__all__ = [
    "create_node",
    "get_default_context",
    "get_global_executor",
    "init",
    "install",
    "ok",
    "shutdown",
    "spin",
    "spin_once",
    "spin_until_future_complete",
    "try_shutdown",
]

_executor: Executor | None = None
_executor_lock = threading.Lock()


def init(
    *,
    args: list[str] | None = None,
    context: Context | None = None,
    domain_id: int | None = None,
    signal_handler_options: SignalHandlerOptions | None = None,
) -> Context:
    """Start; the result can be used in a ``with`` statement, which shuts down at its end."""
    is_default = context is None
    context = get_default_context() if context is None else context
    if signal_handler_options is None:
        signal_handler_options = SignalHandlerOptions.ALL if is_default else SignalHandlerOptions.NO
    context.init(args, domain_id=domain_id)
    install_signal_handlers(signal_handler_options)
    return context


def ok(*, context: Context | None = None) -> bool:
    """True between init and shutdown."""
    return (context or get_default_context()).ok()


def _drop_global_executor(context: Context) -> None:
    global _executor
    with _executor_lock:
        if _executor is not None and _executor.context is context:
            executor, _executor = _executor, None
            executor.shutdown(timeout_sec=0)


def shutdown(*, context: Context | None = None, uninstall_handlers: bool | None = None) -> None:
    """Leave the network.

    Raises:
        RCLError: shut down before, for example by a signal.
    """
    is_default = context is None
    context = get_default_context() if context is None else context
    try:
        context.shutdown()
    finally:
        _drop_global_executor(context)
        if uninstall_handlers or (uninstall_handlers is None and is_default):
            uninstall_signal_handlers()


def try_shutdown(*, context: Context | None = None, uninstall_handlers: bool | None = None) -> None:
    """As `shutdown`, without complaint when there is nothing to do."""
    is_default = context is None
    context = get_default_context() if context is None else context
    context.try_shutdown()
    _drop_global_executor(context)
    if uninstall_handlers or (uninstall_handlers is None and is_default):
        uninstall_signal_handlers()


def create_node(node_name: str, **options: Any) -> Node:
    """A plain node; options as for `rclpy_lite.node.Node`."""
    from rclpy_lite.node import Node

    return Node(node_name, **options)


def get_global_executor() -> Executor:
    """The executor that `spin` and its like use when none is given."""
    global _executor
    from rclpy_lite.executors import SingleThreadedExecutor

    with _executor_lock:
        if _executor is None:
            _executor = SingleThreadedExecutor()
        return _executor


def _with_node(node: Node, executor: Executor | None, run: Callable[[Executor], None]) -> None:
    executor = get_global_executor() if executor is None else executor
    added = False
    try:
        added = executor.add_node(node)
        run(executor)
    finally:
        if added:
            executor.remove_node(node)


def spin_once(
    node: Node, *, executor: Executor | None = None, timeout_sec: float | None = None
) -> None:
    """Run one callback of a node, waiting at most ``timeout_sec``."""
    _with_node(node, executor, lambda e: e.spin_once(timeout_sec=timeout_sec))


def spin(node: Node, executor: Executor | None = None) -> None:
    """Run a node's callbacks until shutdown."""
    _with_node(node, executor, lambda e: e.spin())


def spin_until_future_complete(
    node: Node,
    future: Future,
    executor: Executor | None = None,
    timeout_sec: float | None = None,
) -> None:
    """Run a node's callbacks until the future is done."""
    _with_node(node, executor, lambda e: e.spin_until_future_complete(future, timeout_sec))
