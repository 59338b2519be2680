"""The compute thread, and the queue of images it takes from.

The worker owns the network, runs jobs from outside, and takes frames while it streams. Everything
that touches the network happens there, so no lock guards it.

The queue is a newest-frame slot or bounded. Everything received is accounted for, by cause:
received == processed + rejected + every dropped_* + pending.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from human3r.errors import Human3RError


@dataclass(frozen=True)
class Arrival:
    """One image as it came, not yet decoded."""

    data: bytes
    """The serialised message."""
    receive_ns: int
    """Node clock at arrival."""
    arrival_s: float = field(default_factory=time.monotonic)
    """Steady clock at arrival."""


@dataclass
class Counters:
    """Frames since activation, by outcome."""

    received: int = 0
    processed: int = 0
    """Answered by the network and published."""
    dropped_overwritten: int = 0
    """A newer image replaced it, or the queue was full."""
    dropped_rate: int = 0
    dropped_stale: int = 0
    dropped_order: int = 0
    rejected: int = 0
    """Bad input, and frames on which the network failed: taken, but without a result."""


class CountedStream:
    """Takes the images of one stream, and counts what becomes of each.

    Attributes:
        capacity: images that wait at most.
    """

    capacity = 1

    def __init__(self, condition: threading.Condition | None = None) -> None:
        """Nothing has come yet.

        Args:
            condition: guards the counters; None: one of its own.
        """
        self._condition = condition or threading.Condition()
        self._counters = Counters()

    def put(self, arrival: Arrival) -> bool:
        """Store an image; never blocks; False when one was lost for want of room."""
        raise NotImplementedError

    def discard_before(self, jump_s: float) -> None:
        """Drop what had arrived by then, counted as stale: time has jumped since.

        Args:
            jump_s: steady clock at the jump. What came later belongs to the new time.
        """
        raise NotImplementedError

    def count(self, counter: str, number: int = 1) -> None:
        """Add to the counter called ``counter``, for images that were taken."""
        with self._condition:
            setattr(self._counters, counter, getattr(self._counters, counter) + number)

    def counters(self) -> Counters:
        """A snapshot."""
        with self._condition:
            return replace(self._counters)


class FrameQueue(CountedStream):
    """Hands the newest frame (capacity 1) or the oldest of a few to one consumer."""

    def __init__(self, capacity: int, *, keep_newest: bool) -> None:
        """Prepare an empty queue.

        Args:
            capacity: frames waiting at most.
            keep_newest: a full queue drops its oldest frame for the new one; otherwise it
                refuses the new one, so that a replay keeps its beginning whole.
        """
        super().__init__()
        self.capacity = capacity
        self._keep_newest = keep_newest
        self._waiting: deque[Arrival] = deque()
        self._is_woken = False

    def put(self, arrival: Arrival) -> bool:
        """Store a frame; never blocks.

        Returns:
            False when a frame was lost because the queue was full.
        """
        with self._condition:
            self._counters.received += 1
            is_full = len(self._waiting) >= self.capacity
            if is_full:
                self._counters.dropped_overwritten += 1
                if self._keep_newest:
                    self._waiting.popleft()
            if not is_full or self._keep_newest:
                self._waiting.append(arrival)
                self._condition.notify()
            return not is_full

    def take(self, timeout_s: float) -> Arrival | None:
        """The next frame, or None after ``timeout_s`` or a ``wake``."""
        with self._condition:
            if not self._waiting and not self._is_woken:
                self._condition.wait(timeout_s)
            self._is_woken = False
            return self._waiting.popleft() if self._waiting else None

    def wake(self) -> None:
        """Let the present ``take`` return, or the next one if none is waiting."""
        with self._condition:
            self._is_woken = True
            self._condition.notify_all()

    def discard_before(self, jump_s: float) -> None:
        """As of the base."""
        with self._condition:
            kept = [arrival for arrival in self._waiting if arrival.arrival_s > jump_s]
            self._counters.dropped_stale += len(self._waiting) - len(kept)
            self._waiting = deque(kept)

    @property
    def pending(self) -> int:
        """Frames waiting to be taken."""
        with self._condition:
            return len(self._waiting)


_IDLE_S = 1.0
T = TypeVar("T")


Piece = TypeVar("Piece", covariant=True)


class Source(Protocol[Piece]):
    """What a stream takes its work from, one piece at a time."""

    def take(self, timeout_s: float) -> Piece | None:
        """The next piece, or None after ``timeout_s`` or a ``wake``."""
        ...

    def wake(self) -> None:
        """Let the present ``take`` return, or the next one if none is waiting."""
        ...


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
            stream.queue.wake()
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

    def call_unless(self, is_interrupted: Callable[[], bool], job: Callable[[], T]) -> T:
        """As ``submit``, and wait; gives up when the process is to end.

        Raises:
            Human3RError: interrupted.
        """
        future = self.submit(job)
        while True:
            try:
                return future.result(0.1)
            except FutureTimeoutError:
                if future.done():
                    raise
                if is_interrupted():
                    raise Human3RError("configure was interrupted; expected to finish.") from None

    def stream(
        self, queue: Source[T], handle: Callable[[T], None], idle: Callable[[], None]
    ) -> None:
        """Take frames from ``queue``; ``idle`` is called once per second without one."""
        self._stream = _Stream(queue, handle, idle)
        self.submit(_nothing)

    def pause(self, timeout_s: float) -> bool:
        """Take no more frames; wait for the one in flight.

        Returns:
            False when it was still in flight after ``timeout_s``.
        """
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.queue.wake()
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
            stream.queue.wake()
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
        self, queue: Source[Any], handle: Callable[[Any], None], idle: Callable[[], None]
    ) -> None:
        self.queue = queue
        self._handle = handle
        self._idle = idle
        self._idle_at_s = time.monotonic() + _IDLE_S

    def advance(self) -> None:
        """One frame, or one idle report when its time has come."""
        arrival = self.queue.take(max(0.0, self._idle_at_s - time.monotonic()))
        if arrival is not None:
            self._handle(arrival)
        elif time.monotonic() >= self._idle_at_s:
            self._idle()
        else:
            return
        self._idle_at_s = time.monotonic() + _IDLE_S


def _nothing() -> None:
    return None
