"""Waiting in tests: for something to become true, and for a call to come back.

The limits only keep a broken program from holding the suite; no test passes or fails by its speed.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
FOREVER_S = 3600.0
"""For a wait that something else than its own end has to end."""


def wait_until(condition: Callable[[], T], timeout_s: float = 30.0, what: str = "it") -> T:
    """The first true value of ``condition()``."""
    end_s = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > end_s:
            raise AssertionError(f"{what} did not happen within {timeout_s} s")
        time.sleep(0.005)
    return value


def outcome_of(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """What a call returns that must come back; in a thread, so that it cannot hold the suite."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def call() -> None:
        try:
            outcome.append(function(*args, **kwargs))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(60.0)
    assert not thread.is_alive(), f"{function} did not come back"
    if failure:
        raise failure[0]
    return outcome[0]
