"""Renders sequences in processes of their own, ahead of the network that looks at them."""

import multiprocessing
import queue
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

from human3r.errors import InputError
from human3r_lab.datasets import ViewTruth

RENDERER = "human3r_lab.synth.generator:render_sequence"
_AHEAD_FRAMES = 64


class RenderJob(NamedTuple):
    """One sequence to render."""

    seed: int
    options: dict[str, Any]
    """Keyword arguments of the renderer: split, difficulty, frames, rate_hz, size."""


class _End(NamedTuple):
    """A job is over; with words when it failed."""

    error: str = ""
    is_dead: bool = False


class RenderHere:
    """Renders in this process, as views are taken; jobs in any order."""

    def __init__(self, jobs: Sequence[RenderJob], renderer: str = RENDERER) -> None:
        self._jobs = jobs
        self._renderer = renderer

    def views(self, number: int) -> Iterator[ViewTruth]:
        """The views of a job.

        Raises:
            InputError: the renderer raised.
        """
        job = self._jobs[number]
        views = _rendered(job, self._renderer)
        while True:
            try:
                view = next(views, None)
            except Exception as error:
                raise InputError(f"seed {job.seed}: {_failure(error)}") from error
            if view is None:
                return
            yield view


class RenderProcesses:
    """Several processes, each a sequence ahead of the one before; a context manager.

    A process that dies takes its sequence with it and no other: the next one gets a new process.

    Args:
        jobs: in the order in which ``views`` will be asked for.
        num_processes: how many sequences are in the making at a time.
        renderer: ``module:function`` that yields ``ViewTruth``.
        ahead_frames: of each process, this many frames may wait in memory.
    """

    def __init__(
        self,
        jobs: Sequence[RenderJob],
        num_processes: int,
        renderer: str = RENDERER,
        *,
        ahead_frames: int = _AHEAD_FRAMES,
    ) -> None:
        self._jobs = jobs
        self._ahead_frames = ahead_frames
        self._renderer = renderer
        self._workers: list[_Worker | None] = [None] * min(num_processes, max(1, len(jobs)))
        self._next_job = 0

    def __enter__(self) -> "RenderProcesses":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            if worker is not None:
                worker.close()

    def views(self, number: int) -> Iterator[ViewTruth]:
        """The views of a job. Jobs are taken in their order, each once, none left out.

        Raises:
            InputError: the renderer raised, or its process was killed.
        """
        while self._next_job < min(number + len(self._workers), len(self._jobs)):
            self._start(self._next_job)
            self._next_job += 1
        place = number % len(self._workers)
        worker = self._workers[place]
        assert worker is not None
        is_whole = False
        try:
            while not isinstance(item := worker.next(), _End):
                yield item
            is_whole = not item.is_dead
            if item.error:
                raise InputError(f"seed {self._jobs[number].seed}: {item.error}")
        finally:
            if not is_whole:
                worker.close()
                self._workers[place] = None

    def _start(self, number: int) -> None:
        place = number % len(self._workers)
        worker = self._workers[place] or _Worker(self._renderer, self._ahead_frames)
        self._workers[place] = worker
        worker.submit(self._jobs[number])


class _Worker:
    """A process that renders, and a thread that takes its views in."""

    def __init__(self, renderer: str, ahead_frames: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, renderer), daemon=True)
        self._process.start()
        theirs.close()  # Else the end of the process would not be the end of the pipe.
        self._items: queue.Queue[ViewTruth | _End] = queue.Queue(ahead_frames)
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._take_in, daemon=True)
        self._thread.start()

    def submit(self, job: RenderJob) -> None:
        # A process that is dead already says so in what it sends: nothing.
        with suppress(OSError):
            self._connection.send(job)

    def next(self) -> ViewTruth | _End:
        return self._items.get()

    def close(self) -> None:
        self._is_closing.set()
        self._process.kill()
        self._process.join()
        self._thread.join()
        self._connection.close()

    def _take_in(self) -> None:
        try:
            while True:
                self._put(self._connection.recv())
        except (EOFError, OSError):
            self._process.join()
            self._put(
                _End(
                    f"the renderer's process ended with code {self._process.exitcode} before the "
                    "sequence was complete; expected it to go on. It was killed, often for want "
                    "of memory: close other programs and run again.",
                    is_dead=True,
                )
            )

    def _put(self, item: ViewTruth | _End) -> None:
        while not self._is_closing.is_set():
            with suppress(queue.Full):
                self._items.put(item, timeout=0.2)
                return


def _work(connection: Any, renderer: str) -> None:
    """What the process does: one job after the other, until the other end is closed."""
    # Ctrl-C reaches the whole group; the evaluation decides when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):
        while True:
            job: RenderJob = connection.recv()
            try:
                for view in _rendered(job, renderer):
                    connection.send(view)
                connection.send(_End())
            except OSError:
                raise
            except Exception as error:
                # It ends up in the report; the evaluation goes on with the next sequence.
                connection.send(_End(_failure(error)))


def _rendered(job: RenderJob, renderer: str) -> Iterator[ViewTruth]:
    module, _, name = renderer.partition(":")
    yield from getattr(import_module(module), name)(job.seed, **job.options)


def _failure(error: Exception) -> str:
    return f"the renderer failed: {type(error).__name__}: {error}"
