import threading
import time

import pytest
from human3r_ros.intake import Arrival, Intake
from human3r_ros.worker import Worker, WorkerBusyError


@pytest.fixture
def worker():
    crashes = []
    made = Worker(crashes.append)
    made.crashes = crashes
    yield made
    assert made.close(2.0)


def nothing():
    return None


def wait_until(condition, timeout_s=15.0):
    end_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.005)
    return condition()


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
    intake, seen = Intake(1, keep_newest=True), []
    worker.stream(intake, lambda a: seen.append(a.data), nothing)
    intake.put(Arrival(b"1", 0))
    assert wait_until(lambda: seen == [b"1"])
    assert worker.pause(2.0)
    intake.put(Arrival(b"2", 0))
    time.sleep(0.05)
    assert seen == [b"1"]


def test_a_job_runs_promptly_while_the_stream_waits_for_frames(worker):
    worker.stream(Intake(1, keep_newest=True), lambda a: None, nothing)
    start_s = time.monotonic()
    assert worker.call(lambda: 1, 2.0) == 1
    assert time.monotonic() - start_s < 1.5


def test_the_idle_report_comes_once_per_second(worker):
    times = []
    worker.stream(
        Intake(1, keep_newest=True), lambda a: None, lambda: times.append(time.monotonic())
    )
    assert wait_until(lambda: len(times) == 2)
    assert times[1] - times[0] == pytest.approx(1.0, abs=0.3)


def test_a_pause_gives_up_on_a_frame_that_takes_too_long(worker):
    release, intake = threading.Event(), Intake(1, keep_newest=True)
    started = threading.Event()

    def handle(_):
        started.set()
        release.wait(5.0)

    worker.stream(intake, handle, nothing)
    intake.put(Arrival(b"1", 0))
    assert started.wait(2.0)
    assert not worker.pause(0.1)
    with pytest.raises(WorkerBusyError, match="busy"):
        worker.call(nothing, 0.1)
    release.set()
    assert worker.call(lambda: 3, 2.0) == 3


def test_a_handler_that_raises_stops_the_stream_and_is_reported(worker):
    intake = Intake(1, keep_newest=True)

    def handle(_):
        raise ZeroDivisionError

    worker.stream(intake, handle, nothing)
    intake.put(Arrival(b"1", 0))
    assert wait_until(lambda: len(worker.crashes) == 1)
    assert isinstance(worker.crashes[0], ZeroDivisionError)
    assert worker.call(lambda: 5, 2.0) == 5


def test_what_was_submitted_before_close_runs_even_when_a_frame_is_stuck():
    worker = Worker(lambda error: None)
    release, started, intake = threading.Event(), threading.Event(), Intake(1, keep_newest=True)
    handled = []

    def handle(arrival):
        handled.append(arrival.data)
        started.set()
        release.wait(5.0)

    worker.stream(intake, handle, nothing)
    intake.put(Arrival(b"1", 0))
    assert started.wait(2.0)
    intake.put(Arrival(b"2", 0))
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


def test_close_ends_a_stream_that_waits_for_frames_at_once():
    worker = Worker(lambda error: None)
    worker.stream(Intake(1, keep_newest=True), lambda a: None, nothing)
    worker.call(nothing, 2.0)
    start_s = time.monotonic()
    assert worker.close(2.0)
    assert time.monotonic() - start_s < 1.5
