"""Executors, groups, timers, tasks."""

import math
import threading
import time

import pytest
from rclpy_lite.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy_lite.clock import Clock, ClockType
from rclpy_lite.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy_lite.messages import get_message
from rclpy_lite.task import Future

from tests.waiting import FOREVER_S, outcome_of, wait_until

String = get_message("std_msgs/msg/String")


class Overlap:
    """Counts how many threads are inside at once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = self.most = self.calls = 0

    def __call__(self, *_):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.02)
        with self.lock:
            self.inside -= 1
            self.calls += 1


@pytest.fixture
def pool(context):
    """A multi-threaded executor that spins in a thread of its own."""
    made = []

    def start(node, threads=4):
        executor = MultiThreadedExecutor(threads, context=context)
        executor.add_node(node)
        stop = Future()
        thread = threading.Thread(target=executor.spin_until_future_complete, args=(stop,))
        thread.start()
        made.append((executor, stop, thread))
        return executor

    yield start
    for executor, stop, thread in made:
        stop.set_result(None)
        thread.join(5)
        assert executor.shutdown(5)


def test_a_mutually_exclusive_group_runs_one_callback_at_a_time(make_node, pool):
    node, overlap = make_node(), Overlap()
    group = MutuallyExclusiveCallbackGroup()
    for _ in range(4):
        node.create_timer(0.001, overlap, callback_group=group)
    pool(node)
    wait_until(lambda: overlap.calls >= 20)
    assert overlap.most == 1


def test_a_reentrant_group_runs_callbacks_in_parallel(make_node, pool):
    node, overlap = make_node(), Overlap()
    node.create_timer(0.001, overlap, callback_group=ReentrantCallbackGroup())
    pool(node)
    wait_until(lambda: overlap.calls >= 10)
    assert overlap.most > 1


def test_a_reentrant_subscription_handles_waiting_messages_in_parallel(make_node, pool):
    node, overlap = make_node(), Overlap()
    node.create_subscription(String, "busy", overlap, 20, callback_group=ReentrantCallbackGroup())
    publisher = node.create_publisher(String, "busy", 20)
    wait_until(lambda: publisher.get_subscription_count() == 1)
    for _ in range(12):
        publisher.publish(String())
    pool(node)
    wait_until(lambda: overlap.calls == 12)
    assert overlap.most > 1


def test_a_slow_callback_does_not_stop_another_group(make_node, pool):
    node = make_node()
    entered, release = threading.Event(), threading.Event()
    ticks = []

    def slow():
        entered.set()
        release.wait(5)

    node.create_timer(0.01, slow, callback_group=MutuallyExclusiveCallbackGroup())
    node.create_timer(
        0.01, lambda: ticks.append(1), callback_group=MutuallyExclusiveCallbackGroup()
    )
    pool(node)
    assert entered.wait(5)
    before = len(ticks)
    wait_until(lambda: len(ticks) >= before + 10)
    release.set()


@pytest.mark.parametrize("kind", [SingleThreadedExecutor, MultiThreadedExecutor])
def test_an_exception_in_a_callback_comes_out_of_spin(make_node, context, kind):
    node = make_node()

    def fail():
        raise ZeroDivisionError("in a callback")

    node.create_timer(0.01, fail)
    executor = kind(context=context)
    executor.add_node(node)
    with pytest.raises(ZeroDivisionError, match="in a callback"):
        executor.spin()
    executor.shutdown()


def test_no_entity_is_starved_by_a_busy_one(make_node, spin):
    node = make_node()
    counts = {"busy": 0, "other": 0}

    def count(name):
        counts[name] += 1

    node.create_timer(0.0, lambda: count("busy"))
    node.create_timer(0.01, lambda: count("other"))
    spin(node, lambda: counts["other"] >= 5)


class SetClock(Clock):
    """Steady time as far as a timer can see; the test sets it."""

    now_ns = 0

    def nanoseconds(self):
        return self.now_ns


@pytest.fixture
def set_clock():
    return SetClock(clock_type=ClockType.STEADY_TIME)


def calls_of_a_timer(node, context, clock, looks_ms):
    """When a timer of 20 ms is called, if the executor looks for work at these times only."""
    calls_ms = []
    node.create_timer(0.02, lambda: calls_ms.append(clock.now_ns // 1_000_000), clock=clock)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    for clock.now_ns in (ms * 1_000_000 for ms in looks_ms):
        # Enough for whatever else the node has to do.
        for _ in range(20):
            executor.spin_once(timeout_sec=0)
    executor.shutdown()
    return calls_ms


def test_a_timer_keeps_its_rate_however_late_its_calls_are(make_node, context, set_clock):
    calls_ms = calls_of_a_timer(make_node(), context, set_clock, range(0, 200, 7))
    # At the first look after the end of each period of 20 ms; lateness does not add up.
    assert calls_ms == [math.ceil(number * 20 / 7) * 7 for number in range(1, 10)]


def test_a_timer_stops_when_cancelled_and_starts_anew_when_reset(make_node, spin):
    node, times = make_node(), []
    timer = node.create_timer(
        0.02, lambda: times.append(time.monotonic()), clock=Clock(clock_type=ClockType.STEADY_TIME)
    )
    spin(node, lambda: len(times) >= 11)
    # None comes before its time: ten periods, the first call up to a whole one late.
    assert times[10] - times[0] > 9 * 0.02
    timer.cancel()
    assert timer.is_canceled()
    assert timer.time_until_next_call() is None
    seen = len(times)
    end = time.monotonic() + 0.1
    spin(node, lambda: time.monotonic() > end)
    assert len(times) == seen
    timer.reset()
    spin(node, lambda: len(times) > seen)


def test_missed_timer_calls_are_skipped_not_made_up(make_node, context, set_clock):
    looks_ms = (20, 129, 139, 140)
    assert calls_of_a_timer(make_node(), context, set_clock, looks_ms) == [20, 129, 140]


def test_a_guard_condition_wakes_the_executor(make_node, context):
    node = make_node()
    called = threading.Event()
    guard = node.create_guard_condition(called.set)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    threading.Timer(0.1, guard.trigger).start()
    outcome_of(executor.spin_once, timeout_sec=FOREVER_S)
    assert called.is_set()
    executor.shutdown()


def test_tasks_run_functions_and_coroutines(make_node, context):
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(make_node())
    gate = Future(executor=executor)

    async def waiter():
        return await gate + 1

    late = executor.create_task(waiter)
    soon = executor.create_task(lambda a, b: a * b, 6, 7)
    executor.spin_until_future_complete(soon, timeout_sec=2)
    assert soon.result() == 42
    assert not late.done()
    gate.set_result(1)
    executor.spin_until_future_complete(late, timeout_sec=2)
    assert late.result() == 2
    executor.shutdown()


def test_spin_once_returns_when_the_time_is_over(make_node, context):
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(make_node())
    for _ in range(20):
        executor.spin_once(timeout_sec=0)
    start = time.monotonic()
    outcome_of(executor.spin_once, timeout_sec=0.1)
    assert time.monotonic() - start > 0.05
    executor.shutdown()


def test_a_rate_paces_a_loop(make_node, pool):
    node = make_node()
    rate = node.create_rate(50.0)
    pool(node)
    rate.sleep()
    start = time.monotonic()
    for _ in range(10):
        outcome_of(rate.sleep)
    # Ten ticks on the timer's grid, the one before them up to a whole period late.
    assert time.monotonic() - start > 0.15
    node.destroy_rate(rate)


@pytest.mark.parametrize("timeout_s", [None, 0.1])
def test_a_shutdown_while_work_waits_for_a_thread_ends_spinning_without_an_error(
    make_node, context, timeout_s
):
    node = make_node()
    started, release, failures, late = threading.Event(), threading.Event(), [], []

    def block():
        started.set()
        release.wait(5)

    group = MutuallyExclusiveCallbackGroup()
    blocker = node.create_guard_condition(block, callback_group=ReentrantCallbackGroup())
    second = node.create_guard_condition(lambda: late.append(1), callback_group=group)
    # New entities are looked at once; afterwards nothing but the two triggers makes work.
    settle = SingleThreadedExecutor(context=context)
    settle.add_node(node)
    for _ in range(20):
        settle.spin_once(timeout_sec=0)
    settle.shutdown()
    executor = MultiThreadedExecutor(1, context=context)
    executor.add_node(node)

    def spin():
        try:
            executor.spin()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=spin)
    thread.start()
    blocker.trigger()
    assert started.wait(5)
    second.trigger()
    wait_until(lambda: not group.can_execute(second))
    closing = threading.Thread(target=executor.shutdown, args=(timeout_s,))
    closing.start()
    thread.join(2 if timeout_s else 0.3)
    release.set()
    closing.join(5)
    thread.join(5)
    assert not thread.is_alive()
    assert failures == []
    assert late == []
    # What was claimed and not run is free for another executor.
    other = SingleThreadedExecutor(context=context)
    other.add_node(node)
    deadline = time.monotonic() + 30
    while not late and time.monotonic() < deadline:
        other.spin_once(timeout_sec=0.1)
    assert late == [1]
    other.shutdown()
