"""Clients of services."""

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy_lite.callback_groups import CallbackGroup
from rclpy_lite.qos import QoSProfile
from rclpy_lite.service import RequestId, ServiceEndpoint, wrap
from rclpy_lite.task import Future

_POLL_S = 0.02


class Client(ServiceEndpoint):
    """Asks a service; made by `Node.create_client`."""

    def __init__(
        self, node: Any, srv_type: Any, srv_name: str, qos: QoSProfile, group: CallbackGroup
    ) -> None:
        super().__init__(node, srv_type, srv_name, qos, group)
        self._lock = threading.Lock()
        self._pending: dict[int, Future] = {}
        self._next_number = 1

    def take(self) -> Callable[[], Any] | None:
        """The next reply that is ours."""
        taken = self._take(self.srv_type.Response)
        if taken is None:
            return None
        request_id, response, _ = taken
        # Every client of the service sees every reply.
        if self._writer is None or request_id.guid != self._writer.handle:
            return None
        with self._lock:
            future = self._pending.pop(request_id.sequence_number, None)
        if future is None or future.cancelled():
            return None
        return lambda: future.set_result(response)

    def call_async(self, request: Any) -> Future:
        """Ask; the future is done when an executor has received the answer.

        Raises:
            TypeError: not a request of this service.
        """
        if not isinstance(request, self.srv_type.Request):
            raise TypeError(
                f"{self.srv_name}: got {type(request).__name__}; expected "
                f"{self.srv_type.__name__}.Request."
            )
        if self._writer is None:
            raise RuntimeError(f"{self.srv_name}: the client is not ready.")
        future = Future(executor=self._node.executor)
        with self._lock:
            number = self._next_number
            self._next_number += 1
            self._pending[number] = future
        future.add_done_callback(self.remove_pending_request)
        self._writer.write(wrap(RequestId(self._writer.handle, number), request))
        return future

    def call(self, request: Any, timeout_sec: float | None = None) -> Any:
        """Ask and wait; only where another thread spins the node.

        Raises:
            TimeoutError: no answer within ``timeout_sec``.
        """
        done = threading.Event()
        future = self.call_async(request)
        # Not add_done_callback's task: nothing may depend on the executor having a free thread.
        future._set_executor(None)
        future.add_done_callback(lambda _: done.set())
        deadline = None if timeout_sec is None else time.monotonic() + timeout_sec
        while not done.wait(0.2 if deadline is None else min(0.2, max(0.0, _left(deadline)))):
            if not self._node.context.ok():
                return None
            if deadline is not None and _left(deadline) <= 0:
                self.remove_pending_request(future)
                raise TimeoutError(f"{self.srv_name}: no answer within {timeout_sec} s.")
        return future.result()

    def remove_pending_request(self, future: Future) -> None:
        """Forget a request; its answer will be ignored."""
        with self._lock:
            self._pending = {n: f for n, f in self._pending.items() if f is not future}

    def service_is_ready(self) -> bool:
        """True when a server is connected in both directions."""
        if self._reader is None or self._writer is None:
            return False
        return self._writer.matched_count() > 0 and self._reader.matched_count() > 0

    def wait_for_service(self, timeout_sec: float | None = None) -> bool:
        """True as soon as `service_is_ready`, False after the time is over."""
        deadline = None if timeout_sec is None else time.monotonic() + timeout_sec
        while self._node.context.ok():
            if self.service_is_ready():
                return True
            if deadline is not None and _left(deadline) <= 0:
                return False
            wait_s = _POLL_S if deadline is None else min(_POLL_S, max(0.0, _left(deadline)))
            time.sleep(wait_s)
        return False


def _left(deadline: float) -> float:
    return deadline - time.monotonic()
