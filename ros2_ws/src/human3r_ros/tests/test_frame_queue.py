import threading

import pytest
from human3r_ros.worker import Arrival, FrameQueue

from tests.waiting import FOREVER_S, outcome_of


def arrival(number):
    return Arrival(bytes([number]), number)


def balance(queue):
    c = queue.counters()
    dropped = c.dropped_overwritten + c.dropped_rate + c.dropped_stale + c.dropped_order
    return c.received, c.processed + c.rejected + dropped + queue.pending


def test_the_slot_keeps_the_newest_and_counts_the_rest():
    slot = FrameQueue(1, keep_newest=True)
    assert slot.put(arrival(1))
    assert not slot.put(arrival(2))
    assert not slot.put(arrival(3))
    assert slot.take(0.0).data == b"\3"
    assert slot.take(0.0) is None
    assert slot.counters().dropped_overwritten == 2


def test_the_queue_keeps_its_order_and_refuses_what_does_not_fit():
    queue = FrameQueue(2, keep_newest=False)
    assert [queue.put(arrival(i)) for i in range(3)] == [True, True, False]
    assert [queue.take(0.0).data[0] for _ in range(2)] == [0, 1]
    assert queue.counters().dropped_overwritten == 1


def test_every_received_frame_is_accounted_for():
    slot = FrameQueue(1, keep_newest=True)
    counters = ("processed", "rejected", "dropped_rate", "dropped_stale", "dropped_order")
    for number, counter in enumerate(counters):
        slot.put(arrival(number))
        slot.take(0.0)
        slot.count(counter)
    slot.put(arrival(9))
    slot.put(arrival(10))
    received, accounted = balance(slot)
    assert received == accounted == 7


def test_what_waited_before_a_time_jump_is_dropped_as_stale():
    queue = FrameQueue(3, keep_newest=False)
    arrivals = [Arrival(b"", 0, arrival_s=float(second)) for second in range(3)]
    for one in arrivals:
        queue.put(one)
    queue.discard_before(1.5)
    assert queue.counters().dropped_stale == 2
    assert queue.take(0.0) is arrivals[2]


def test_a_frame_wakes_the_waiting_consumer():
    slot = FrameQueue(1, keep_newest=True)
    threading.Timer(0.05, lambda: slot.put(arrival(1))).start()
    assert outcome_of(slot.take, FOREVER_S) is not None


def test_a_wake_before_the_wait_is_not_lost():
    slot = FrameQueue(1, keep_newest=True)
    slot.wake()
    assert outcome_of(slot.take, FOREVER_S) is None


def test_counts_hold_with_a_fast_producer_and_a_slow_consumer():
    slot = FrameQueue(1, keep_newest=True)

    def produce():
        for number in range(2000):
            slot.put(arrival(number % 250))

    producer = threading.Thread(target=produce)
    producer.start()
    while producer.is_alive() or slot.pending:
        if slot.take(0.01) is not None:
            slot.count("processed")
    producer.join()
    received, accounted = balance(slot)
    assert received == accounted == 2000


def test_an_unknown_fate_is_a_bug():
    with pytest.raises(AttributeError):
        FrameQueue(1, keep_newest=True).count("lost")
