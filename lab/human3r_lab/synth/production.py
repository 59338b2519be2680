"""Many sequences on many processes: whole files, what is there is kept, lost workers are replaced.

Workers take one sequence at a time over a pipe and write its file themselves. A worker that dies
costs the sequence it was drawing, which is drawn again.
"""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import cv2
from safetensors import SafetensorError

from human3r.atomic import is_running, output_errors
from human3r.errors import Human3RError, InputError, OutputError
from human3r_lab.datasets.sequence_file import SUFFIX, SequenceFile, write_sequence
from human3r_lab.synth.orders import Order

RENDERER = "human3r_lab.synth.generator:render_sequence"
_MAX_TRIES = 3
"""So often may workers die over one sequence."""


@dataclass(frozen=True)
class Event:
    """Something that happened to one sequence."""

    name: str
    kind: str
    """``kept`` (was there), ``made`` or ``lost`` (its worker died; it is drawn again)."""
    frames: int = 0
    seconds: float = 0.0
    """How long it took its worker."""
    detail: str = ""


def order_path(folder: Path, order: Order) -> Path:
    """The file of an order."""
    return folder / f"{order.name}{SUFFIX}"


def produce(
    folder: Path,
    orders: Sequence[Order],
    workers: int,
    *,
    overwrite: bool = False,
    renderer: str = RENDERER,
) -> Iterator[Event]:
    """Draw what the folder does not have yet.

    Args:
        folder: made when absent.
        orders: what to draw.
        workers: processes.
        overwrite: draw again what is there, instead of keeping it.
        renderer: ``module:function`` with the arguments of ``render_sequence``.

    Raises:
        InputError: a sequence in the folder was made with other settings.
        OutputError: a file cannot be written, or workers keep dying.
    """
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    open_orders: deque[Order] = deque()
    for order in orders:
        if not overwrite and _is_there(folder, order):
            yield Event(order.name, "kept", order.frames)
        else:
            open_orders.append(order)
    if open_orders:
        size = min(workers, len(open_orders))
        yield from _Crew(folder, open_orders, size, renderer).work()


def _is_there(folder: Path, order: Order) -> bool:
    """Whether the order's file is complete; leftovers of dead writers go."""
    path = order_path(folder, order)
    _remove_leftovers(path)
    if not path.exists():
        return False
    try:
        found = SequenceFile(path)
    except InputError:
        return False
    metadata = order.metadata()
    wanted = {**metadata, "frames": order.frames, "size": (order.width_px, order.height_px)}
    actual: dict[str, object] = {
        **{key: found.metadata.get(key) for key in metadata},
        "frames": len(found),
        "size": (found.width_px, found.height_px),
    }
    differing = [key for key in wanted if wanted[key] != actual[key]]
    if differing:
        said = ", ".join(f"{key} {actual[key]} instead of {wanted[key]}" for key in differing)
        raise InputError(
            f"{path}: was made with other settings ({said}); expected the same. Choose another "
            "folder, or add --overwrite."
        )
    return True


def _remove_leftovers(path: Path) -> None:
    for part in path.parent.glob(f".{path.name}.*.part"):
        pid = part.name.split(".")[-2]
        if pid.isdigit() and not is_running(int(pid)):
            part.unlink(missing_ok=True)


class _Crew:
    """Worker processes and what each is drawing."""

    def __init__(self, folder: Path, orders: deque[Order], size: int, renderer: str) -> None:
        self._folder, self._orders, self._size = folder, orders, size
        self._renderer = renderer
        self._busy: dict[Connection, tuple[BaseProcess, Order]] = {}
        self._tries: dict[Order, int] = {}

    def work(self) -> Iterator[Event]:
        """Until every order is done."""
        try:
            for _ in range(self._size):
                self._hand_out(*_hire(self._folder, self._renderer))
            while self._busy:
                for pipe in wait(list(self._busy)):
                    assert isinstance(pipe, Connection)
                    yield self._hear(pipe)
        finally:
            for pipe, (process, _) in self._busy.items():
                process.terminate()
                pipe.close()
            for process, order in self._busy.values():
                process.join()
                _remove_leftovers(order_path(self._folder, order))

    def _hand_out(self, process: BaseProcess, pipe: Connection) -> None:
        """Give a worker its next order, or send it home."""
        if not self._orders:
            pipe.close()
            process.join()
            return
        order = self._orders.popleft()
        self._busy[pipe] = process, order
        # A worker that has died is noticed when its answer is awaited.
        with suppress(OSError):
            pipe.send(asdict(order))

    def _hear(self, pipe: Connection) -> Event:
        process, order = self._busy[pipe]
        try:
            answer: Mapping[str, str | float] = pipe.recv()
        except (EOFError, OSError):
            return self._replace(pipe)
        if "error" in answer:
            kind = OutputError if answer["kind"] == "output" else Human3RError
            raise kind(f"sequence {order.name}: {answer['error']}")
        del self._busy[pipe]
        self._hand_out(process, pipe)
        return Event(order.name, "made", order.frames, float(answer["seconds"]))

    def _replace(self, pipe: Connection) -> Event:
        """Start another worker for the order of one that died."""
        process, order = self._busy.pop(pipe)
        pipe.close()
        process.join()
        _remove_leftovers(order_path(self._folder, order))
        detail = _cause(process.exitcode)
        self._tries[order] = self._tries.get(order, 0) + 1
        if self._tries[order] >= _MAX_TRIES:
            raise OutputError(
                f"sequence {order.name}: the worker drawing it died {_MAX_TRIES} times ({detail}); "
                "expected it to finish. Check the memory, or use fewer --workers."
            )
        self._orders.appendleft(order)
        self._hand_out(*_hire(self._folder, self._renderer))
        return Event(order.name, "lost", detail=detail)


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-exitcode).name}"
    return f"exit code {exitcode}"


def _hire(folder: Path, renderer: str) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_draw_for, args=(theirs, folder, renderer), daemon=True)
    with _one_thread_each():
        process.start()
    theirs.close()
    return process, ours


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children read these when they start: the processes are the parallelism."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _draw_for(pipe: Connection, folder: Path, renderer: str) -> None:
    """A worker's life: one order after the other until the pipe closes."""
    # Ctrl-C reaches the whole group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    with suppress(EOFError, OSError):
        while True:
            order = Order(**pipe.recv())
            started = time.perf_counter()
            try:
                _draw(folder, order, renderer)
            except OutputError as error:
                pipe.send({"error": str(error), "kind": "output"})
            except Exception as error:
                pipe.send({"error": f"{type(error).__name__}: {error}", "kind": "other"})
            else:
                pipe.send({"seconds": time.perf_counter() - started})


def _draw(folder: Path, order: Order, renderer: str) -> None:
    module, _, name = renderer.partition(":")
    views = getattr(import_module(module), name)(**order.arguments())
    path = order_path(folder, order)
    try:
        write_sequence(path, views, order.metadata())
    except SafetensorError as error:
        raise OutputError(
            f"{path}: cannot be written ({error}); expected a disk with room. Free some space or "
            "write elsewhere."
        ) from error
