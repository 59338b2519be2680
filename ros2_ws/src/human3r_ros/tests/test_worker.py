import threading
import time

import pytest
from human3r_ros import worker as worker_module
from human3r_ros.worker import Arrival, FrameQueue, Worker, WorkerBusyError

from tests.waiting import FOREVER_S, wait_until


@pytest.fixture
def worker():
    crashes = []
    made = Worker(crashes.append)
    made.crashes = crashes
    yield made
    assert made.close(2.0)


def nothing():
    return None


class WatchedQueue(FrameQueue):
    """Also tells how long the worker was willing to wait for each frame."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.waits_s = []

    def take(self, timeout_s):
        self.waits_s.append(timeout_s)
        return super().take(timeout_s)


def test_jobs_run_on_one_thread_in_order(worker):
    seen = []
    futures = [worker.submit(lambda i=i: seen.append((i, threading.get_ident()))) for i in range(5)]
    for future in futures:
        future.result(2.0)
    assert [i for i, _ in seen] == list(range(5))
    assert {ident for _, ident in seen} != {threading.get_ident()}
    assert len({ident for _, ident in seen}) == 1


def test_an_error_of_a_job_reaches_its_caller(worker):
    with pytest.raises(KeyError):
        worker.call(lambda: {}["x"], 2.0)
    assert worker.call(lambda: 7, 2.0) == 7


def test_frames_are_handled_while_streaming_and_not_after_a_pause(worker):
    queue, seen = FrameQueue(1, keep_newest=True), []
    worker.stream(queue, lambda a: seen.append(a.data), nothing)
    queue.put(Arrival(b"1", 0))
    assert wait_until(lambda: seen == [b"1"])
    assert worker.pause(2.0)
    queue.put(Arrival(b"2", 0))
    time.sleep(0.05)
    assert seen == [b"1"]


def test_a_job_interrupts_the_wait_for_frames(worker, monkeypatch):
    monkeypatch.setattr(worker_module, "_IDLE_S", FOREVER_S)
    queue = WatchedQueue(1, keep_newest=True)
    worker.stream(queue, lambda a: None, nothing)
    wait_until(lambda: queue.waits_s, what="the wait for a frame")
    assert worker.call(lambda: 1, 60.0) == 1


def test_the_idle_report_comes_once_per_second(worker):
    queue, reports = WatchedQueue(1, keep_newest=True), []
    worker.stream(queue, lambda a: None, lambda: reports.append(len(queue.waits_s)))
    wait_until(lambda: len(reports) == 2)
    # After a report the next wait for a frame is for a whole second, less what it took to begin.
    waits_s = queue.waits_s[reports[0] :]
    assert 0.0 < waits_s[0] <= 1.0
    assert max(waits_s) <= 1.0


def test_a_pause_gives_up_on_a_frame_that_takes_too_long(worker):
    release, queue = threading.Event(), FrameQueue(1, keep_newest=True)
    started = threading.Event()

    def handle(_):
        started.set()
        release.wait(5.0)

    worker.stream(queue, handle, nothing)
    queue.put(Arrival(b"1", 0))
    assert started.wait(2.0)
    assert not worker.pause(0.1)
    with pytest.raises(WorkerBusyError, match="busy"):
        worker.call(nothing, 0.1)
    release.set()
    assert worker.call(lambda: 3, 2.0) == 3


def test_a_handler_that_raises_stops_the_stream_and_is_reported(worker):
    queue = FrameQueue(1, keep_newest=True)

    def handle(_):
        raise ZeroDivisionError

    worker.stream(queue, handle, nothing)
    queue.put(Arrival(b"1", 0))
    assert wait_until(lambda: len(worker.crashes) == 1)
    assert isinstance(worker.crashes[0], ZeroDivisionError)
    assert worker.call(lambda: 5, 2.0) == 5


def test_what_was_submitted_before_close_runs_even_when_a_frame_is_stuck():
    worker = Worker(lambda error: None)
    release, started, queue = threading.Event(), threading.Event(), FrameQueue(1, keep_newest=True)
    handled = []

    def handle(arrival):
        handled.append(arrival.data)
        started.set()
        release.wait(5.0)

    worker.stream(queue, handle, nothing)
    queue.put(Arrival(b"1", 0))
    assert started.wait(2.0)
    queue.put(Arrival(b"2", 0))
    waiting = [worker.submit(lambda number=number: number) for number in range(3)]
    assert not worker.close(0.05)
    assert not any(future.done() for future in waiting)
    release.set()
    assert worker.close(2.0)
    assert [future.result(0) for future in waiting] == [0, 1, 2]
    assert handled == [b"1"], "no frame is taken after close"


def test_a_job_after_close_is_cancelled_and_closing_twice_is_harmless():
    worker = Worker(lambda error: None)
    assert worker.close(2.0)
    assert worker.submit(nothing).cancelled()
    assert worker.close(2.0)


def test_close_interrupts_the_wait_for_frames(monkeypatch):
    monkeypatch.setattr(worker_module, "_IDLE_S", FOREVER_S)
    worker, queue = Worker(lambda error: None), WatchedQueue(1, keep_newest=True)
    worker.stream(queue, lambda a: None, nothing)
    wait_until(lambda: queue.waits_s, what="the wait for a frame")
    assert worker.close(60.0)
