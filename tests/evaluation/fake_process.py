"""Stands in for what a process of an evaluation does, in processes that tests start."""

import os
import time

from human3r_lab.evaluation.measures import SequenceResult
from human3r_lab.evaluation.parallel import _Outcome
from human3r_lab.evaluation.pictures import KINDS, KeptPicture
from human3r_lab.evaluation.runner import Evaluation

from human3r.errors import OutputError

_opened = None


def open_nothing(work, stop):
    """The benchmark's name says what happens to the second sequence."""
    global _opened
    _opened = work.benchmark, stop


def evaluate_one(number):
    assert _opened is not None
    what_happens, stop = _opened
    if number == 1 and what_happens == "dies":
        os._exit(9)
    if number == 1 and what_happens == "fails":
        raise OutputError("the disk is full")
    if number >= 1 and what_happens == "is stopped":
        stop.wait()
        return outcome(Evaluation(was_interrupted=True), [])
    if what_happens == "comes in another order":
        time.sleep(0.3 * (number == 0))
    result = SequenceResult(f"s{number}", "easy", 3, 0, {}, {})
    picture = KeptPicture(result.name, 0, 0.1 * (number % 4), b"")
    return outcome(Evaluation([result], frames=3, network_s=0.5), [picture])


def outcome(evaluation, pictures):
    return _Outcome(evaluation, dict.fromkeys(KINDS, pictures))
