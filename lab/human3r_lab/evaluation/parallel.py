"""A benchmark in several processes, each with a pipeline of its own and a sequence at a time."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch

from human3r.config import Settings
from human3r.pipeline import Pipeline
from human3r_lab.evaluation.benchmarks import BENCHMARKS, BenchmarkOptions
from human3r_lab.evaluation.measures import SequenceResult
from human3r_lab.evaluation.pictures import KINDS, KeptPicture, PictureKeeper
from human3r_lab.evaluation.runner import Evaluation, TrueSequence, evaluate

_POLL_S = 0.2


@dataclass(frozen=True)
class Work:
    """What every process opens: the same benchmark with the same settings."""

    benchmark: str
    options: BenchmarkOptions
    settings: Settings
    num_threads: int
    """Of PyTorch in each process, unless ``model.threads`` says."""


@dataclass(frozen=True)
class _Outcome:
    """Of one sequence."""

    evaluation: Evaluation
    pictures: dict[str, list[KeptPicture]]


def evaluate_in_processes(
    sequences: Sequence[TrueSequence],
    work: Work,
    num_processes: int,
    *,
    keeper: PictureKeeper,
    progress: Callable[[Evaluation], None] = lambda _: None,
    is_asked_to_stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """The same results in the same order as ``runner.evaluate``, sooner where there are cores.

    When a process dies, the sequences that are not finished then have its end as their error.

    Args:
        sequences: of the benchmark, opened here; they are read in the processes.
        work: what the processes open.
        num_processes: at work at a time.
        keeper: gets the worst and the best frames.
        progress: called whenever a sequence is finished.
        is_asked_to_stop: asked all the time; the sequences at hand are left out then.

    Raises:
        Human3RError: as of ``runner.evaluate``.
    """
    # PyTorch is loaded once, in a process without threads that all others are forked from.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    stop = context.Event()
    began_s = time.perf_counter()
    count = min(num_processes, len(sequences))
    with ProcessPoolExecutor(count, context, _open, (work, stop)) as pool:
        futures = [pool.submit(_evaluate_one, number) for number in range(len(sequences))]
        try:
            waiting = set(futures)
            while waiting:
                if is_asked_to_stop() and not stop.is_set():
                    stop.set()
                    pool.shutdown(wait=False, cancel_futures=True)
                wait(waiting, _POLL_S)
                # ``wait`` itself waits for ever for those that were called off.
                left = {future for future in waiting if not future.done()}
                if len(left) < len(waiting):
                    progress(_merged(sequences, futures, began_s)[0])
                waiting = left
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    done, pictures = _merged(sequences, futures, began_s)
    for kind, picture in pictures:
        keeper.keep(kind, picture)
    return done


def _merged(
    sequences: Sequence[TrueSequence], futures: Sequence["Future[_Outcome]"], began_s: float
) -> tuple[Evaluation, list[tuple[str, KeptPicture]]]:
    """What is finished so far, in the order of the sequences."""
    done, pictures = Evaluation(), []
    for sequence, future in zip(sequences, futures, strict=True):
        if not future.done():
            continue
        if future.cancelled():
            done.was_interrupted = True
            continue
        try:
            outcome = future.result()
        except BrokenProcessPool:
            done.results.append(_lost(sequence))
            continue
        found = outcome.evaluation
        done.results += found.results
        done.frames += found.frames
        done.network_s += found.network_s
        done.was_interrupted |= found.was_interrupted
        pictures += [(kind, kept) for kind in KINDS for kept in outcome.pictures[kind]]
    done.seconds = time.perf_counter() - began_s
    return done, pictures


def _lost(sequence: TrueSequence) -> SequenceResult:
    error = (
        "a process of the evaluation ended before this sequence was complete; expected it to go "
        "on. It was killed, often for want of memory: take fewer --jobs."
    )
    return SequenceResult(sequence.name, sequence.group, 0, 0, {}, {}, error=error)


class _Process:
    """What a process keeps between its sequences."""

    def __init__(self, work: Work, is_asked_to_stop: Callable[[], bool]) -> None:
        torch.set_num_threads(work.num_threads)
        self._pipeline = Pipeline.from_settings(work.settings)
        self._is_asked_to_stop = is_asked_to_stop
        benchmark = BENCHMARKS[work.benchmark]
        self._depth = replace(benchmark.depth, alignments=work.options.alignments)
        # Each process renders for itself; it ends with the process.
        options = replace(work.options, num_processes=0)
        self._stack = ExitStack()
        self._opened = self._stack.enter_context(benchmark.open(options, self._pipeline))

    def evaluate(self, number: int) -> _Outcome:
        opened = self._opened
        keeper = PictureKeeper(
            self._pipeline.body_model.faces, opened.true_faces, opened.scheme.head_joint
        )
        done = evaluate(
            [opened.sequences[number]],
            self._pipeline,
            opened.scheme,
            depth=self._depth,
            watch=keeper,
            is_asked_to_stop=self._is_asked_to_stop,
        )
        return _Outcome(done, {kind: keeper.pictures(kind) for kind in KINDS})


_process: _Process | None = None


def _open(work: Work, stop: Any) -> None:
    # Ctrl-C reaches the whole group; the parent decides when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _process
    _process = _Process(work, stop.is_set)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _evaluate_one(number: int) -> _Outcome:
    assert _process is not None
    return _process.evaluate(number)
