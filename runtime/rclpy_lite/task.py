"""Futures and tasks."""

import inspect
import threading
import warnings
from collections.abc import Callable, Generator
from typing import Any


class Future:
    """The outcome of something that is not finished yet."""

    def __init__(self, *, executor: Any = None) -> None:
        self._lock = threading.RLock()
        self._done = False
        self._cancelled = False
        self._result: Any = None
        self._exception: BaseException | None = None
        self._exception_fetched = False
        self._callbacks: list[Callable[[Future], Any]] = []
        self._executor = executor

    def __await__(self) -> Generator[Any, None, Any]:
        while not self.done():
            yield self
        return self.result()

    def done(self) -> bool:
        """True when finished or cancelled."""
        return self._done or self._cancelled

    def cancelled(self) -> bool:
        """True when cancelled."""
        return self._cancelled

    def cancel(self) -> None:
        """Give up, unless finished already."""
        with self._lock:
            if not self._done:
                self._cancelled = True
        self._tell()

    def result(self) -> Any:
        """The result, or None before there is one; raises what `set_exception` was given."""
        if self._exception is not None:
            self._exception_fetched = True
            raise self._exception
        return self._result

    def exception(self) -> BaseException | None:
        """What went wrong, if something did."""
        self._exception_fetched = True
        return self._exception

    def set_result(self, result: Any) -> None:
        """Finish."""
        with self._lock:
            self._result = result
            self._done = True
            self._cancelled = False
        self._tell()

    def set_exception(self, exception: BaseException) -> None:
        """Finish with an error."""
        with self._lock:
            self._exception = exception
            self._done = True
            self._cancelled = False
        self._tell()

    def add_done_callback(self, callback: Callable[["Future"], Any]) -> None:
        """Call when finished, at once if that is the case already."""
        with self._lock:
            if not self.done():
                self._callbacks.append(callback)
                return
        self._run(callback)

    def remove_done_callback(self, callback: Callable[["Future"], Any]) -> bool:
        """Forget a callback; True when it was there."""
        with self._lock:
            before = len(self._callbacks)
            self._callbacks = [c for c in self._callbacks if c is not callback]
            return len(self._callbacks) < before

    def _tell(self) -> None:
        with self._lock:
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._run(callback)

    def _run(self, callback: Callable[["Future"], Any]) -> None:
        if self._executor is not None:
            self._executor.create_task(callback, self)
            return
        try:
            callback(self)
        except Exception as error:
            warnings.warn(f"Unhandled exception in done callback: {error}", stacklevel=2)

    def _set_executor(self, executor: Any) -> None:
        self._executor = executor


class Task(Future):
    """A function or coroutine that an executor runs, and its outcome."""

    def __init__(
        self, handler: Any, args: Any = None, kwargs: Any = None, executor: Any = None
    ) -> None:
        super().__init__(executor=executor)
        self._args = args or []
        self._kwargs = kwargs or {}
        self._handler = handler
        if inspect.iscoroutinefunction(handler):
            self._handler = handler(*self._args, **self._kwargs)
        self._running = threading.Lock()

    def __call__(self) -> "Future | None":
        """Run to the end, or to the next future awaited, which is returned."""
        if self.done() or not self._running.acquire(blocking=False):
            return None
        try:
            if inspect.iscoroutine(self._handler):
                return self._handler.send(None)
            self.set_result(self._handler(*self._args, **self._kwargs))
        except StopIteration as end:
            self.set_result(end.value)
        except Exception as error:
            self.set_exception(error)
        finally:
            self._running.release()
        return None

    def executing(self) -> bool:
        """True while a thread runs it."""
        return self._running.locked()

    def cancel(self) -> None:
        """Give up, closing a coroutine."""
        if inspect.iscoroutine(self._handler) and not self.executing():
            self._handler.close()
        super().cancel()
