"""Executors: they wait for work and run callbacks."""

import inspect
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from rclpy_lite.context import Context, get_default_context
from rclpy_lite.exceptions import (
    ConditionReachedException,
    ExternalShutdownException,
    ShutdownException,
    TimeoutException,
)
from rclpy_lite.signals import uninterrupted
from rclpy_lite.task import Future, Task
from rclpy_lite.waitable import Waitable

__all__ = [
    "ConditionReachedException",
    "Executor",
    "ExternalShutdownException",
    "MultiThreadedExecutor",
    "ShutdownException",
    "SingleThreadedExecutor",
    "TimeoutException",
]

_LONGEST_WAIT_S = 3600.0


class Executor:
    """Base of the executors; use `SingleThreadedExecutor` or `MultiThreadedExecutor`."""

    def __init__(self, *, context: Context | None = None) -> None:
        self._context = context or get_default_context()
        self._condition = threading.Condition()
        self._nodes: list[Any] = []
        self._tasks: deque[Task] = deque()
        self._cursor = 0
        self._is_shutdown = False
        self._failure: BaseException | None = None
        self._running = 0
        self._context.on_shutdown(self.wake)

    @property
    def context(self) -> Context:
        """The context whose shutdown ends spinning."""
        return self._context

    # Nodes.

    def add_node(self, node: Any) -> bool:
        """Run this node's callbacks from now on; False if that was so already."""
        with self._condition:
            if node in self._nodes:
                return False
            other = node.executor
            if other is not None and other is not self:
                other.remove_node(node)
            self._nodes.append(node)
            node._set_executor(self)
            self._condition.notify_all()
        return True

    def remove_node(self, node: Any) -> None:
        """Run this node's callbacks no more."""
        with self._condition:
            if node in self._nodes:
                self._nodes.remove(node)
                node._set_executor(None)
                self._condition.notify_all()

    def get_nodes(self) -> list[Any]:
        """The nodes whose callbacks are run."""
        with self._condition:
            return list(self._nodes)

    # Waking and tasks.

    def wake(self) -> None:
        """Look again for work; callable from any thread."""
        with self._condition:
            self._condition.notify_all()

    def create_task(self, callback: Any, *args: Any, **kwargs: Any) -> Task:
        """Run a function or coroutine in this executor."""
        task = Task(callback, args, kwargs, executor=self)
        self._resume(task)
        return task

    def _resume(self, task: Task) -> None:
        with self._condition:
            self._tasks.append(task)
            self._condition.notify_all()

    # Finding work. All of it happens under the condition's lock, and whoever makes something
    # ready does that before taking the lock to notify; so no wake-up is lost.

    def _waitables(self) -> list[Waitable]:
        return [waitable for node in self._nodes for waitable in node._all_waitables()]

    def _find(self) -> "tuple[partial[bool] | None, float]":
        if self._tasks:
            task = self._tasks.popleft()
            return partial(self._run_task, task), 0.0
        waitables = self._waitables()
        count = len(waitables)
        soonest_s = _LONGEST_WAIT_S
        for step in range(count):
            position = (self._cursor + step) % count
            waitable = waitables[position]
            group = waitable.callback_group
            if waitable.is_ready_now():
                if group.can_execute(waitable) and group.beginning_execution(waitable):
                    waitable.claim()
                    # The next search starts behind this one, so that none is starved.
                    self._cursor = position + 1
                    return partial(self._run_waitable, waitable), 0.0
            elif (seconds := waitable.seconds_until_ready()) is not None:
                soonest_s = min(soonest_s, seconds)
        return None, soonest_s

    def _next_work(
        self, timeout_sec: float | None, until: Callable[[], bool] | None
    ) -> "partial[bool]":
        deadline = None
        if timeout_sec is not None and timeout_sec >= 0:
            deadline = time.monotonic() + timeout_sec
        with uninterrupted, self._condition:
            while True:
                self._raise_failure()
                if self._is_shutdown:
                    raise ShutdownException()
                if not self._context.ok():
                    raise ExternalShutdownException()
                if until is not None and until():
                    raise ConditionReachedException()
                work, wait_s = self._find()
                if work is not None:
                    return work
                if deadline is not None:
                    left_s = deadline - time.monotonic()
                    if left_s <= 0:
                        raise TimeoutException()
                    wait_s = min(wait_s, left_s)
                if wait_s > 0:
                    self._condition.wait(wait_s)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    # Running work.

    def _run_waitable(self, waitable: Waitable) -> bool:
        is_finished = True
        try:
            run = waitable.take()
            if run is None:
                return False
            outcome = run()
            if inspect.iscoroutine(outcome):
                is_finished = False
                self._run_coroutine(outcome, waitable)
            return True
        finally:
            if is_finished:
                self._end(waitable)

    def _end(self, waitable: Waitable) -> None:
        waitable.callback_group.ending_execution(waitable)
        self.wake()

    def _run_coroutine(self, coroutine: Any, waitable: Waitable) -> None:
        # The group stays claimed until the coroutine has come to its end.
        task = Task(coroutine)
        task.add_done_callback(lambda _: self._end(waitable))
        self._run_task(task, raises=True)

    def _run_task(self, task: Task, raises: bool = False) -> bool:
        awaited = task()
        if not task.done():
            if isinstance(awaited, Future):
                awaited.add_done_callback(lambda _: self._resume(task))
            else:
                self._resume(task)
            return True
        error = task._exception
        if error is not None and not task._exception_fetched and (raises or not task._callbacks):
            raise error
        return True

    # Spinning.

    def spin(self) -> None:
        """Run callbacks until the context or the executor is shut down."""
        while not self._is_shutdown:
            self.spin_once()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and run it, or return when the time is over.

        Raises:
            ExternalShutdownException: the context was shut down.
        """
        self._spin_one(timeout_sec, None)

    def _spin_one(self, timeout_sec: float | None, until: Callable[[], bool] | None) -> None:
        deadline = None
        if timeout_sec is not None and timeout_sec >= 0:
            deadline = time.monotonic() + timeout_sec
        # What was marked ready may turn out to hold nothing; that does not count.
        has_run = False
        while not has_run:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                work = self._next_work(left_s, until)
            except (ShutdownException, TimeoutException, ConditionReachedException):
                return
            has_run = self._start(work)

    def spin_until_future_complete(self, future: Future, timeout_sec: float | None = None) -> None:
        """Run callbacks until the future is done or the time is over."""
        self._spin_until(future, timeout_sec)

    def spin_once_until_future_complete(
        self, future: Future, timeout_sec: float | None = None
    ) -> None:
        """As `spin_once`, returning early when the future is done."""
        future.add_done_callback(lambda _: self.wake())
        self._spin_one(timeout_sec, future.done)

    def _spin_until(self, future: Future, timeout_sec: float | None) -> None:
        deadline = None
        if timeout_sec is not None and timeout_sec >= 0:
            deadline = time.monotonic() + timeout_sec
        future.add_done_callback(lambda _: self.wake())
        while self._context.ok() and not future.done() and not self._is_shutdown:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                work = self._next_work(left_s, future.done)
            except (ShutdownException, TimeoutException, ConditionReachedException):
                return
            self._start(work)

    def _start(self, work: "partial[bool]") -> bool:
        """Run or begin the work; False when it turned out to be nothing."""
        raise NotImplementedError

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Stop spinning and let go of the nodes; True when nothing runs any more."""
        with self._condition:
            self._is_shutdown = True
            self._condition.notify_all()
            finished = self._condition.wait_for(lambda: self._running == 0, timeout_sec)
            for node in list(self._nodes):
                self.remove_node(node)
        return finished

    def __enter__(self) -> "Executor":
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


class SingleThreadedExecutor(Executor):
    """Runs callbacks one after the other in the thread that spins."""

    def _start(self, work: "partial[bool]") -> bool:
        has_run = work()
        self._raise_failure()
        return has_run


class MultiThreadedExecutor(Executor):
    """Runs callbacks in a pool of threads, as their groups allow."""

    def __init__(self, num_threads: int | None = None, *, context: Context | None = None) -> None:
        super().__init__(context=context)
        self._num_threads = max(2, num_threads or os.cpu_count() or 2)
        if num_threads == 1:
            self._num_threads = 1
        self._pool = ThreadPoolExecutor(self._num_threads, "rclpy_lite_executor")
        # An executor that is dropped without shutdown must not keep its threads.
        weakref.finalize(self, self._pool.shutdown, wait=False)

    def _start(self, work: "partial[bool]") -> bool:
        with uninterrupted, self._condition:
            # Work waits here and not in the pool's queue: what is claimed runs at once.
            while self._running >= self._num_threads and not self._has_to_end():
                self._condition.wait()
            if self._has_to_end():
                self._give_back(work)
                return False
            # Under the lock, so that a shutdown closes the pool before this or after.
            self._pool.submit(self._run, work)
            self._running += 1
        return True

    def _has_to_end(self) -> bool:
        return self._is_shutdown or not self._context.ok()

    def _give_back(self, work: "partial[bool]") -> None:
        """Undo the claim on work that will not run here; another executor may take it."""
        item = work.args[0]
        if isinstance(item, Task):
            self._tasks.appendleft(item)
        else:
            item.callback_group.ending_execution(item)
            item.mark_ready()

    def _run(self, work: Callable[[], bool]) -> None:
        try:
            work()
        except BaseException as error:
            with self._condition:
                self._failure = self._failure or error
        finally:
            with self._condition:
                self._running -= 1
                self._condition.notify_all()

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Stop spinning, wait for running callbacks, let go of the nodes."""
        finished = super().shutdown(timeout_sec)
        self._pool.shutdown(wait=finished and timeout_sec is None)
        return finished
