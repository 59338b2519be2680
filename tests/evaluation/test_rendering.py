"""Real processes: renderers that work, fail, and are killed."""

import os
import signal

import pytest
from human3r_lab.evaluation.rendering import RenderJob, RenderProcesses

from human3r.errors import InputError
from tests.waiting import outcome_of

RENDERER = "tests.evaluation.fake_renderer:render"


def processes(*options, count=2):
    jobs = [RenderJob(seed, {"frames": 3, **extra}) for seed, extra in enumerate(options)]
    return RenderProcesses(jobs, count, RENDERER)


def test_sequences_come_whole_and_in_order():
    with processes({}, {"frames": 2}, {}) as rendering:
        for number, frames in enumerate((3, 2, 3)):
            views = list(rendering.views(number))
            assert [view.stamp_ns for view in views] == [
                100_000_000 * (n + 1) for n in range(frames)
            ]
            assert views[0].image[0, 0, 0] == number


def test_a_killed_renderer_costs_its_sequence_and_no_other():
    with processes({"kill_at": 1}, {}, {"raise_at": 2}, {}) as rendering:
        views = rendering.views(0)
        next(views)
        with pytest.raises(InputError, match=r"seed 0.*code -9.*memory"):
            next(views)
        assert len(list(rendering.views(1))) == 3
        views = rendering.views(2)
        next(views), next(views)
        with pytest.raises(InputError, match=r"seed 2.*ValueError: told to fail"):
            next(views)
        assert len(list(rendering.views(3))) == 3


def test_ctrl_c_does_not_reach_the_renderers():
    with processes({"frames": 20, "slow_s": 0.02}, count=1) as rendering:
        views = rendering.views(0)
        next(views)
        os.kill(rendering._workers[0]._process.pid, signal.SIGINT)
        assert len(list(views)) == 19


def test_leaving_early_does_not_wait_for_the_rest():
    def leave_early():
        with processes({"frames": 1_000_000, "slow_s": 0.05}, count=1) as rendering:
            views = rendering.views(0)
            next(views)
            views.close()
        return True

    assert outcome_of(leave_early)
