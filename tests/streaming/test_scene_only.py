"""A session without the network's people: the scene half alone, as if the network saw nobody."""

import jaxtyping
import numpy as np
import pytest
import torch

from human3r.config import Settings
from human3r.model.network import Runner
from human3r.streaming.session import StreamSession
from tests.model.little_network import make_shallow_network


@pytest.fixture(scope="module")
def shallow_network():
    return make_shallow_network()


@pytest.fixture
def frames(golden_frames, make_frames):
    return make_frames(golden_frames[:3])


def _session(network, *, with_people=False, **settings):
    chosen = {"people.min_score": 0.02, "model.input_size": 64} | settings
    return StreamSession(network, None, Settings().replace(chosen), with_people=with_people)


def _same(got, want, tolerance=0.0):
    for name in ("points_camera", "confidence", "world_from_camera"):
        value, other = getattr(got, name), getattr(want, name)
        assert np.allclose(value, other, rtol=tolerance, atol=tolerance), name
    assert got.estimated_focal_px == pytest.approx(want.estimated_focal_px, rel=10 * tolerance)


@pytest.mark.parametrize("ttt3r", [False, True])
def test_the_scene_is_that_of_a_frame_in_which_nobody_is_found(shallow_network, frames, ttt3r):
    changes = {"model.ttt3r": ttt3r, "session.reset_interval": 2}
    alone = _session(shallow_network, **changes)
    nobody = _session(shallow_network, with_people=True, **changes, **{"people.min_score": 1.0})
    for frame in frames:
        got, want = alone.push(frame), nobody.push(frame)
        _same(got, want)
        assert (got.session, got.frame_index) == (want.session, want.frame_index)
        assert got.people == want.people == ()
        assert got.num_left_out == 0
        assert not got.person_probability.any()
        assert want.person_probability.any()
    assert torch.equal(alone.recurrent.tokens, nobody.recurrent.tokens)
    assert torch.equal(alone.recurrent.memory, nobody.recurrent.memory)


def test_the_human_branch_is_not_run(shallow_network, frames, monkeypatch):
    def refused(*_):
        raise AssertionError("the human branch ran")

    monkeypatch.setattr(shallow_network.backbone, "forward", refused)
    session = _session(shallow_network)
    assert session.push(session.prepare(frames[0])).frame_index == 0
    views = session.push_views(frames[1], outputs=("world",))
    assert views[0].output.person_probability is None
    assert views[0].output.points_world is not None
    with pytest.raises(AssertionError, match="human branch"):
        _session(shallow_network, with_people=True).push(frames[0])


@pytest.mark.parametrize("mode", ["static", "compile"])
def test_every_mode_gives_the_same_scene(shallow_network, frames, monkeypatch, mode):
    """Also as one piece: ``torch.compile`` accepts the step whole."""
    whole, traced = torch.compile, []

    def noted(function, **options):
        traced.append(options["fullgraph"])
        return whole(function, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", noted)
    want = _session(shallow_network)
    # The checks of shapes that the test run adds cannot be traced.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        got = _session(shallow_network, **{"model.execution": mode})
        for frame in frames:
            _same(got.push(frame), want.push(frame), 1e-5)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert traced == ([True, True] if mode == "compile" else [])


def test_fixed_modes_run_whole_without_slots(shallow_network, frames, monkeypatch):
    """Frames after the first go through what is compiled or recorded, not around it."""
    answers = []
    answer = shallow_network.answer
    monkeypatch.setattr(
        shallow_network, "answer", lambda *a, **k: answers.append(k["has_slots"]) or answer(*a, **k)
    )
    runner = Runner(shallow_network, "static")
    monkeypatch.undo()
    settings = Settings().replace({"model.input_size": 64})
    session = StreamSession(shallow_network, None, settings, runner, with_people=False)
    for frame in frames:
        session.push(frame)
    assert answers == [False, False]
