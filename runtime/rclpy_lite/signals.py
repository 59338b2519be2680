"""Ctrl-C and SIGTERM stop the contexts, so that spinning ends."""

import _thread
import signal
import threading
from enum import IntEnum
from typing import Any

from rclpy_lite.context import Context, live_contexts


class SignalHandlerOptions(IntEnum):
    """Which signals to handle."""

    NO = 0
    SIGINT = 1
    SIGTERM = 2
    ALL = 3


class _Uninterrupted:
    """While the main thread is inside, a signal's exception waits until it leaves.

    Python raises KeyboardInterrupt between any two instructions of the main thread, also between
    taking a lock or counting a task and the code that gives it back. Other threads get no
    signals; for them this does nothing.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._waiting: tuple[Any, int, Any] | None = None

    def hold_back(self, previous: Any, number: int, frame: Any) -> bool:
        """Keep what a handler wants to call for later; False when it may be called now."""
        if self._depth:
            self._waiting = (previous, number, frame)
        return self._depth > 0

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._depth += 1

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._depth -= 1
        if self._depth == 0 and self._waiting is not None:
            (previous, number, frame), self._waiting = self._waiting, None
            previous(number, frame)


uninterrupted = _Uninterrupted()
"""``with uninterrupted:`` around bookkeeping that must be done whole; keep it short, and let
waiting inside it end when the context is shut down."""

_previous: dict[int, Any] = {}


def _stop(contexts: list[Context]) -> None:
    for context in contexts:
        context.stop()


def _handle(number: int, frame: Any) -> None:
    # Elsewhere, because this code may have interrupted one that holds the locks stopping needs.
    # Not threading.Thread: starting one takes a lock too.
    _thread.start_new_thread(_stop, (live_contexts(),))
    previous = _previous.get(number)
    # Python's own handler raises KeyboardInterrupt; programs written for rclpy expect it.
    if callable(previous) and not uninterrupted.hold_back(previous, number, frame):
        previous(number, frame)


def install_signal_handlers(options: SignalHandlerOptions = SignalHandlerOptions.ALL) -> None:
    """Take over SIGINT and SIGTERM as asked; only the main thread can, others do nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number, bit in ((signal.SIGINT, 1), (signal.SIGTERM, 2)):
        if options & bit and number not in _previous:
            _previous[number] = signal.signal(number, _handle)


def uninstall_signal_handlers() -> None:
    """Put the former handlers back."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number, previous in list(_previous.items()):
        if signal.getsignal(number) is _handle:
            signal.signal(number, previous if previous is not None else signal.SIG_DFL)
        del _previous[number]


def get_current_signal_handlers_options() -> SignalHandlerOptions:
    """What is handled now."""
    bits = sum(b for n, b in ((signal.SIGINT, 1), (signal.SIGTERM, 2)) if n in _previous)
    return SignalHandlerOptions(bits)
