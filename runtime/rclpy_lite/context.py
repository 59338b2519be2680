"""A context: init to shutdown, with this process's place on the network in between."""

import atexit
import contextlib
import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy_lite import arguments as ros_arguments
from rclpy_lite import logging
from rclpy_lite.exceptions import NotInitializedException, RCLError
from rclpy_lite.transport.environment import domain_id_from_environment

if TYPE_CHECKING:
    from rclpy_lite.graph import Graph
    from rclpy_lite.transport.cyclone import Participant

_live: "weakref.WeakSet[Context]" = weakref.WeakSet()


class Context:
    """One initialisation; most programs use the default one."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._was_initialized = False
        self._is_ok = False
        self._domain_id = 0
        self._participant: Participant | None = None
        self._graph: Graph | None = None
        self._callbacks: list[Callable[[], Callable[[], Any] | None]] = []
        self._nodes: weakref.WeakSet[Any] = weakref.WeakSet()
        self.arguments = ros_arguments.RosArguments()
        self.shutdown_condition = threading.Condition()
        """Notified when the context stops being ok."""

    def init(
        self,
        args: list[str] | None = None,
        *,
        initialize_logging: bool = True,
        domain_id: int | None = None,
    ) -> None:
        """Read the arguments and be ok from now on.

        Raises:
            RuntimeError: initialised already.
            RCLError: wrong arguments or domain id.
        """
        with self._lock:
            if self._is_ok:
                raise RuntimeError("Context.init() must only be called once")
            parsed = ros_arguments.parse(list(sys.argv if args is None else args))
            self._domain_id = domain_id_from_environment() if domain_id is None else domain_id
            self.arguments = parsed
            if initialize_logging:
                logging.apply_levels(parsed.log_levels)
            self._was_initialized = True
            self._is_ok = True
            _live.add(self)

    def ok(self) -> bool:
        """True between init and shutdown."""
        return self._is_ok

    def get_domain_id(self) -> int:
        """The DDS domain of this context."""
        if not self._is_ok:
            raise NotInitializedException()
        return self._domain_id

    @property
    def participant(self) -> "Participant":
        """This process on the network; joined when first needed."""
        return self._join()[0]

    @property
    def graph(self) -> "Graph":
        """What is known about the other processes."""
        return self._join()[1]

    def _join(self) -> "tuple[Participant, Graph]":
        from rclpy_lite.graph import Graph
        from rclpy_lite.transport.cyclone import Participant

        with self._lock:
            if not self._is_ok:
                raise NotInitializedException()
            if self._participant is None or self._graph is None:
                self._participant = Participant(self._domain_id, b"enclave=/;")
                self._graph = Graph(self._participant)
            return self._participant, self._graph

    def track_node(self, node: Any) -> None:
        """Remember a node, to close it at shutdown."""
        self._nodes.add(node)

    def on_shutdown(self, callback: Callable[[], Any]) -> None:
        """Call when the context stops being ok; bound methods are held weakly."""
        if not callable(callback):
            raise TypeError("callback should be a callable")
        if hasattr(callback, "__self__"):
            self._callbacks.append(weakref.WeakMethod(callback))
        else:
            self._callbacks.append(lambda: callback)

    def stop(self) -> bool:
        """Stop being ok and wake everyone; the network is left by `shutdown`.

        Returns:
            False when the context had stopped already.
        """
        with self._lock:
            if not self._is_ok:
                return False
            self._is_ok = False
            callbacks, self._callbacks = self._callbacks, []
        with self.shutdown_condition:
            self.shutdown_condition.notify_all()
        for reference in callbacks:
            callback = reference()
            if callback is not None:
                callback()
        return True

    def _leave(self) -> None:
        with self._lock:
            participant, self._participant = self._participant, None
            self._graph = None
            _live.discard(self)
        if participant is not None:
            participant.close()

    def shutdown(self) -> None:
        """Stop and leave the network.

        Raises:
            NotInitializedException: there was no init.
            RCLError: shut down before, for example by a signal.
        """
        if not self._was_initialized:
            raise NotInitializedException()
        stopped = self.stop()
        self._leave()
        if not stopped:
            raise RCLError("failed to shutdown: rcl_shutdown already called on the given context")

    def try_shutdown(self) -> None:
        """As `shutdown`, without complaint when there is nothing to do."""
        self.stop()
        self._leave()

    def destroy(self) -> None:
        """Free everything."""
        self.try_shutdown()

    def __enter__(self) -> "Context":
        return self

    def __exit__(self, *_: object) -> None:
        self.try_shutdown()


_default: Context | None = None
_default_lock = threading.Lock()


def get_default_context(*, shutting_down: bool = False) -> Context:
    """The context that functions use when none is given."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Context()
        return _default


def live_contexts() -> list[Context]:
    """Contexts that were initialised and have not left the network."""
    return list(_live)


@atexit.register
def _leave_at_exit() -> None:
    # Without this a process that just ends stays in the graph of others until its lease runs out.
    for context in live_contexts():
        with contextlib.suppress(Exception):
            context.try_shutdown()
