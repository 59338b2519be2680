"""How a run is watched and stopped: progress on stderr, Ctrl-C, SIGTERM and SIGHUP."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from human3r.stopping import ending_signals

if TYPE_CHECKING:
    from human3r.cli.run_report import Found
    from human3r.io.frame_source import FrameSource

log = logging.getLogger(__name__)


@contextmanager
def progress(source: "FrameSource") -> Iterator[Any]:
    """A bar on a terminal; elsewhere a line every ten seconds."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _LogProgress(source.num_frames)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        # The name comes from outside and must not be read as markup.
        from rich.markup import escape

        task = bar.add_task(escape(source.name[:40]), total=source.num_frames, rate="")

        def show(found: "Found") -> None:
            rate = f"{found.rate_hz:.2f} frames/s"
            bar.update(task, completed=found.num_frames + found.num_failed, rate=rate)

        yield show


class _LogProgress:
    def __init__(self, total: int | None) -> None:
        self._of = f" of {total}" if total else ""
        self._due_s = time.monotonic() + 10

    def __call__(self, found: "Found") -> None:
        if time.monotonic() > self._due_s:
            self._due_s = time.monotonic() + 10
            log.info("frame %d%s, %.2f frames/s", found.num_frames, self._of, found.rate_hz)


@contextmanager
def stop_request() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C, SIGTERM or SIGHUP into a request to stop after the frame at hand.

    So a camera, which never ends by itself, leaves complete results. A second Ctrl-C interrupts
    at once.
    """
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    # Handlers belong to the main thread; a caller in another one has its own way to stop.
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, ask) for number in ending_signals()}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
