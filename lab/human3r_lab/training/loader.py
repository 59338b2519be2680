"""Batches made ahead of time by other processes, and how long training waits for them."""

import time
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from human3r.errors import Human3RError
from human3r_lab.training.batches import Batch, BatchMaker

_AHEAD = 2
"""Batches each worker makes ahead."""


class _Steps(Dataset):
    """Steps as a data set, so that torch's loader can spread them over processes."""

    def __init__(self, make: BatchMaker) -> None:
        self._make = make

    def __getitem__(self, step: int) -> Batch | Human3RError:
        try:
            return self._make(step)
        except Human3RError as error:
            return error  # As it is; torch would wrap it in its own words.


class _From(Sampler):
    """Steps from one on, without end."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        step = self._first
        while True:
            yield step
            step += 1


class BatchLoader:
    """The batches of all steps from one on, in order.

    Args:
        make: the batch of a step.
        first: number of the first step.
        workers: processes that make batches; 0: they are made when asked for.
        pin: put batches where a GPU can fetch them from.

    Attributes:
        waited_s: how long ``next`` has been waited for, altogether.
    """

    def __init__(self, make: BatchMaker, first: int, workers: int, pin: bool = False) -> None:
        self.waited_s = 0.0
        self._loader = DataLoader(
            _Steps(make),
            batch_size=None,
            sampler=_From(first),
            num_workers=workers,
            prefetch_factor=_AHEAD if workers else None,
            # A fork would inherit the threads that torch has started, and their locks.
            multiprocessing_context="forkserver" if workers else None,
            worker_init_fn=_one_thread,
            pin_memory=pin,
        )
        self._batches = iter(self._loader)

    def next(self) -> Batch:
        """The next step's batch.

        Raises:
            InputError: a sequence cannot be read any more.
        """
        began = time.perf_counter()
        batch = next(self._batches)
        self.waited_s += time.perf_counter() - began
        if isinstance(batch, Human3RError):
            raise batch
        return batch

    def close(self) -> None:
        """Stop the workers."""
        shutdown = getattr(self._batches, "_shutdown_workers", None)
        if shutdown is not None:
            shutdown()


def _one_thread(worker: int) -> None:
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
