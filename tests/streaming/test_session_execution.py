"""A session says the same however its network is run, and waits for the device twice a frame."""

import numpy as np
import pytest
import torch

from human3r.config import Settings
from human3r.errors import WeightsError
from human3r.model.network import Runner
from human3r.pipeline import Pipeline
from human3r.streaming import session as session_module
from human3r.streaming.preprocess import download
from human3r.streaming.session import StreamSession
from tests.model.little_network import make_little_network


@pytest.fixture(scope="module")
def little_network():
    return make_little_network()


@pytest.fixture
def frames(golden_frames, make_frames):
    return make_frames(golden_frames[:3])


def _estimates(network, body_model, frames, **settings):
    chosen = {"people.min_score": 0.02, "people.max_count": 20, "model.input_size": 64} | settings
    session = StreamSession(network, body_model, Settings().replace(chosen))
    return [session.push(frame) for frame in frames]


def test_fixed_slots_give_the_same_estimates(little_network, body_model, frames):
    eager = _estimates(little_network, body_model, frames)
    static = _estimates(little_network, body_model, frames, **{"model.execution": "static"})
    assert 0 < len(eager[-1].people) < 20
    for got, want in zip(static, eager, strict=True):
        assert np.allclose(got.points_camera, want.points_camera, rtol=1e-4, atol=1e-5)
        assert np.allclose(got.person_probability, want.person_probability, atol=1e-6)
        assert np.allclose(got.world_from_camera, want.world_from_camera, atol=1e-5)
        # Points of untrained weights hardly decide it: a few thousandths of a pixel.
        assert got.intrinsics.fx == pytest.approx(want.intrinsics.fx, rel=1e-2)
        assert [p.track_id for p in got.people] == [p.track_id for p in want.people]
        for one, other in zip(got.people, want.people, strict=True):
            assert np.allclose(one.joints_camera, other.joints_camera, atol=1e-4)
            assert np.allclose(one.head_px, other.head_px, atol=1e-3)


def test_the_host_waits_twice_a_frame(little_network, body_model, frames, monkeypatch):
    """Once for what the next frame needs, once for all that is handed out."""
    waits = []

    def counted(tensors):
        waits.append(sorted(tensors))
        return download(tensors)

    monkeypatch.setattr(session_module, "download", counted)
    _estimates(little_network, body_model, frames)
    assert len(waits) == 2 * len(frames)
    assert "camera_pose" in waits[0]
    assert {"points_camera", "vertices", "focal"} <= set(waits[1])


def test_sessions_of_a_pipeline_share_what_was_compiled(little_network, body_model, monkeypatch):
    made = []
    monkeypatch.setattr(
        "human3r.pipeline.Runner", lambda *given: made.append(given) or Runner(*given)
    )
    wanted = {"model.execution": "static", "model.input_size": 64, "model.warmup_frames": 1}
    pipeline = Pipeline(little_network, body_model, Settings().replace(wanted))
    monkeypatch.setattr(session_module, "Runner", None)
    pipeline.warm_up(64, 48)
    assert [mode for _, mode in made] == ["static"]


def test_weights_that_overflow_are_named_when_warming_up(body_model):
    wanted = {"model.input_size": 64, "model.weights": "my.safetensors"}
    pipeline = Pipeline(make_little_network(), body_model, Settings().replace(wanted))
    with torch.no_grad():
        for parameter in pipeline.network.parameters():
            parameter.mul_(1e30)
    with pytest.raises(WeightsError, match=r"my\.safetensors: of a picture of noise") as said:
        pipeline.warm_up(64, 48)
    assert "go on with the next one" not in str(said.value)


def test_downloads_are_whole_arrays_of_the_same_shape():
    square = torch.arange(6.0).reshape(2, 3)
    got = download({"turned": square.T, "number": torch.tensor(2.5), "none": square[:0]})
    assert got["turned"].flags.c_contiguous
    assert np.array_equal(got["turned"], square.T.numpy())
    assert got["number"].shape == ()
    assert float(got["number"]) == 2.5
    assert got["none"].shape == (0, 3)
    assert download({}) == {}
