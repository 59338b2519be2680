"""The compute thread: owns the network, runs jobs from outside, and takes frames while it streams.

Everything that touches the network happens here, so no lock guards it.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from human3r.errors import Human3RError
from human3r_ros.intake import Arrival, Intake

_IDLE_S = 1.0
T = TypeVar("T")


class WorkerBusyError(Human3RError):
    """The worker did not finish in time."""


class Worker:
    """One thread; created idle.

    Frames go to ``handle`` one at a time. Neither it nor ``idle`` may raise: what they let out
    would end the stream, so it goes to ``on_crash`` and the stream stops.
    """

    def __init__(self, on_crash: Callable[[BaseException], None]) -> None:
        self._on_crash = on_crash
        # None is the end: what was submitted before it still runs.
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future] | None] = queue.SimpleQueue()
        self._stream: _Stream | None = None
        self._door = threading.Lock()
        self._is_closing = False
        # A daemon, so that a network call that never returns cannot keep the process alive.
        self._thread = threading.Thread(target=self._run, name="human3r_worker", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], T]) -> "Future[T]":
        """Run ``job`` on the worker, after the frame in flight; its result or error is kept.

        After ``close`` it is cancelled at once.
        """
        future: Future[T] = Future()
        with self._door:
            if self._is_closing:
                future.cancel()
                return future
            self._jobs.put((job, future))
        stream = self._stream
        if stream is not None:
            stream.intake.wake()
        return future

    def call(self, job: Callable[[], T], timeout_s: float | None = None) -> T:
        """As ``submit``, and wait.

        Raises:
            WorkerBusyError: not finished after ``timeout_s``.
        """
        try:
            return self.submit(job).result(timeout_s)
        except FutureTimeoutError as error:
            raise WorkerBusyError(
                f"the network is still busy with a frame after {timeout_s} s; expected it to be "
                "done. Try again later, or clean up and configure with a smaller network."
            ) from error

    def stream(
        self, intake: Intake, handle: Callable[[Arrival], None], idle: Callable[[], None]
    ) -> None:
        """Take frames from ``intake``; ``idle`` is called once per second without one."""
        self._stream = _Stream(intake, handle, idle)
        self.submit(_nothing)

    def pause(self, timeout_s: float) -> bool:
        """Take no more frames; wait for the one in flight.

        Returns:
            False when it was still in flight after ``timeout_s``.
        """
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.intake.wake()
        try:
            self.call(_nothing, timeout_s)
        except WorkerBusyError:
            return False
        return True

    def close(self, timeout_s: float) -> bool:
        """Take no more frames, run the jobs that wait, end the thread; harmless when repeated.

        A thread that is still busy after ``timeout_s`` does all that as soon as it can.

        Returns:
            False when it was still running after ``timeout_s``.
        """
        stream, self._stream = self._stream, None
        with self._door:
            if not self._is_closing:
                self._is_closing = True
                self._jobs.put(None)
        if stream is not None:
            stream.intake.wake()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while True:
            stream = self._stream
            if stream is None or not self._jobs.empty():
                entry = self._jobs.get()
                if entry is None:
                    return
                self._run_job(*entry)
                continue
            try:
                stream.advance()
            except BaseException as error:
                self._stream = None
                self._on_crash(error)

    @staticmethod
    def _run_job(job: Callable[[], Any], future: Future) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)


class _Stream:
    def __init__(
        self, intake: Intake, handle: Callable[[Arrival], None], idle: Callable[[], None]
    ) -> None:
        self.intake = intake
        self._handle = handle
        self._idle = idle
        self._idle_at_s = time.monotonic() + _IDLE_S

    def advance(self) -> None:
        """One frame, or one idle report when its time has come."""
        arrival = self.intake.take(max(0.0, self._idle_at_s - time.monotonic()))
        if arrival is not None:
            self._handle(arrival)
        elif time.monotonic() >= self._idle_at_s:
            self._idle()
        else:
            return
        self._idle_at_s = time.monotonic() + _IDLE_S


def _nothing() -> None:
    return None
