"""Who does the work: a pool of threads with a process per recording, or a Ray cluster."""

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any
from urllib.parse import urlsplit

from human3r.batch.work import Outcome, Task, do_task
from human3r.errors import InputError, MissingExtraError

Work = Callable[[Task], Outcome]
_ANSWERS_S = 10.0


def on_this_machine(tasks: Sequence[Task], jobs: int, work: Work = do_task) -> Iterator[Outcome]:
    """Outcomes as they come; each task runs in processes of its own, ``jobs`` at once."""
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(work, task): task for task in tasks}
        try:
            while waiting:
                ended, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield _outcome(waiting.pop(future), future.result)
        finally:
            for future in waiting:
                future.cancel()


def on_ray(
    tasks: Sequence[Task], address: str, jobs: int, work: Work = do_task
) -> Iterator[Outcome]:
    """Outcomes from a Ray cluster, one processor per task, at most ``jobs`` at once.

    Output folders have to be on a disk that all machines share. A machine that dies takes its
    tasks along: Ray gives them to others, and what it does not comes back as a failure.

    Args:
        tasks: what to do.
        address: of the cluster, as ``ray start --head`` prints it.
        jobs: at once at most; 0: as many as the cluster takes.
        work: does a task.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: no cluster at the address.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "human3r batch --ray needs the package ray, which is not installed; expected the "
            "extra 'batch'. Install it with: pip install 'human3r[batch]'"
        ) from error
    is_ours = not ray.is_initialized()
    if is_ours:
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"--ray {address}: no cluster answers ({error}); expected the address that "
                "`ray start --head` prints. Start one, or leave --ray out."
            ) from error
    remote = ray.remote(num_cpus=1, max_retries=2)(work)
    left, waiting = list(tasks), {}
    try:
        while left or waiting:
            while left and (not jobs or len(waiting) < jobs):
                task = left.pop(0)
                waiting[remote.remote(task)] = task
            ended, _ = ray.wait(list(waiting), num_returns=1)
            for reference in ended:
                task = waiting.pop(reference)
                yield _outcome(task, lambda reference=reference: ray.get(reference))
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
        if is_ours:
            ray.shutdown()


def _knock(address: str) -> None:
    """Fail at once where no cluster can be: Ray itself goes on trying for many minutes.

    Raises:
        OSError: no answer from the address.
        ValueError: it has no port.
    """
    if address == "auto":
        return
    place = urlsplit(address if "://" in address else f"//{address}")
    if not place.hostname or not place.port:
        raise ValueError("it is not of the form HOST:PORT")
    socket.create_connection((place.hostname, place.port), timeout=_ANSWERS_S).close()


def _outcome(task: Task, result: Callable[[], Any]) -> Outcome:
    try:
        return result()
    except Exception as error:
        # Whatever happened to the worker, the batch goes on.
        first = (str(error).strip().splitlines() or [""])[0]
        return Outcome(task.source, False, f"{type(error).__name__}: {first}", 0.0)
