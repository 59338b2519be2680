import pytest
import torch
from human3r_ros.faults import FaultCounter, is_fatal, is_out_of_memory


class Around:
    def __init__(self):
        self.faults = []

    def on_fault(self, reason):
        self.faults.append(reason)


def faults_after(failures, *, fatal=False, memory=False, limit=5, successes_between=False):
    counter, around = FaultCounter(), Around()
    for _ in range(failures):
        counter.failed("bad", limit, fatal, memory)
        counter.report(around)
        if successes_between:
            counter.succeeded()
    return around.faults


def test_failures_in_a_row_become_one_fault():
    assert faults_after(4) == []
    assert len(faults_after(7)) == 1


def test_a_success_breaks_the_row():
    assert faults_after(20, successes_between=True) == []


def test_the_second_out_of_memory_in_a_row_is_a_fault():
    assert faults_after(1, memory=True) == []
    assert len(faults_after(2, memory=True)) == 1


def test_a_lost_context_is_a_fault_at_once():
    assert len(faults_after(1, fatal=True)) == 1


def test_every_third_failure_in_a_row_asks_for_a_reset():
    counter = FaultCounter()
    wants = []
    for _ in range(7):
        counter.failed("nan", 100, False, False)
        wants.append(counter.wants_reset())
    assert wants == [False, False, True, False, False, True, False]


@pytest.mark.parametrize(
    ("error", "memory", "fatal"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True, False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, True),
        (RuntimeError("shapes do not match"), False, False),
        (ValueError("x"), False, False),
    ],
)
def test_device_errors_are_told_apart(error, memory, fatal):
    assert is_out_of_memory(error) is memory
    assert is_fatal(error) is fatal
