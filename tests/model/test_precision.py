"""Half precision: what is shortened, and how far answers may then be off."""

import copy
from itertools import islice

import pytest
import torch

from benchmarks.drift import Drift
from human3r.config import Settings
from human3r.demo_clip import demo_clip_path
from human3r.errors import ConfigError
from human3r.io import open_source
from human3r.model.precision import computes_bfloat16, set_precision
from human3r.pipeline import Pipeline
from tests.model.little_network import make_little_network
from tests.model.test_same_as_plain import two_frames

ALLOWED = {"bf16": 6e-2, "fp16": 8e-3}
"""Root mean square difference in shares of the answer's own; for two frames."""

STREAM = {
    # quantity: largest median, largest 95th percentile
    "bf16": {"depth_percent": (0.12, 0.23), "camera_percent": (1.3, 2), "joints_mm": (6, 15)},
    "fp16": {"depth_percent": (0.014, 0.018), "camera_percent": (0.2, 0.3), "joints_mm": (0.5, 2)},
}
"""About 2.5 times what 200 frames of the same clip gave; docs/benchmarks/speedups.md. The camera's
in shares of its way, because the shipped network hardly moves it."""


ALONE = {
    "model.device": "cpu",
    "camera.focal": "frame",
    **{f"{part}.source": "network" for part in ("people", "scene", "odometry")},
}
"""The network answers itself, with nothing in its place."""


@pytest.fixture(scope="module")
def clip():
    """Frames of the demonstration's clip and the shipped network's answers to them."""
    with open_source(str(demo_clip_path())) as source:
        frames = list(islice(source, 6))
    exact = Pipeline.from_settings(Settings().replace(ALONE))
    return [(frame, exact.step(frame)) for frame in frames]


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_the_shipped_network_stays_near_over_a_stream(clip, name):
    wanted = Settings().replace({**ALONE, "model.precision": name})
    short, drift = Pipeline.from_settings(wanted), Drift()
    for frame, want in clip:
        drift.add(want, short.step(frame))
    assert drift.people >= len(clip)
    assert drift.unmatched <= 0.1 * drift.people
    found = drift.summary()
    of_way = 100 / found["camera_farthest_mm"]
    found["camera_percent"] = {key: of_way * value for key, value in found["camera_mm"].items()}
    for quantity, (median, p95) in STREAM[name].items():
        assert 0 < found[quantity]["median"] < median, quantity
        assert found[quantity]["p95"] < p95, quantity


@pytest.fixture(scope="module")
def images(golden_frames):
    return [image[:32, :64].copy() for image in golden_frames[:2]]


@pytest.fixture(scope="module")
def little_network():
    return make_little_network()


@pytest.fixture
def shortened(little_network):
    """A copy of the network in another precision."""

    def make(name):
        network = copy.deepcopy(little_network)
        set_precision(network, name)
        return network

    return make


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_short_answers_stay_near(little_network, shortened, images, name):
    options = {"min_score": 0.02, "with_gate": True, "outputs": ("world", "rgb", "mask")}
    want = two_frames(little_network, images, **options)[1]
    got = two_frames(shortened(name), images, **options)[1]
    assert torch.equal(got.detections.tokens, want.detections.tokens)
    for output in ("points_camera", "confidence", "camera_pose", "human_tokens", "state", "gate"):
        exact, short = getattr(want, output), getattr(got, output)
        assert short.dtype == torch.float32
        off = (short - exact).square().mean().sqrt() / exact.square().mean().sqrt()
        assert 0 < off < ALLOWED[name], f"{output}: {off:.2g}"
    assert got.memory.dtype == got.people.rotations.dtype == torch.float32


def test_names_and_shapes_stay(little_network, shortened):
    before, after = little_network.state_dict(), shortened("bf16").state_dict()
    assert [(k, v.shape) for k, v in before.items()] == [(k, v.shape) for k, v in after.items()]


def test_large_layers_are_short_and_last_ones_are_not(shortened):
    tensors = shortened("bf16").state_dict()
    short = {name for name, tensor in tensors.items() if tensor.dtype == torch.bfloat16}
    assert {
        "enc_blocks.0.attn.qkv.weight",
        "dec_blocks_state.0.cross_attn.projk.weight",
        "downstream_head.dpt_self.head.2.weight",
        "backbone.encoder.patch_embed.proj.weight",
    } <= short
    long = (
        "norm_",
        "enc_norm",
        "dpt_self.head.4",
        "decpose",
        "deccam",
        "pose_head",
        "register_tokens",
    )
    assert not [name for name in short if any(part in name for part in long)]
    numbers = sum(tensors[name].numel() for name in short)
    assert numbers > 0.6 * sum(tensor.numel() for tensor in tensors.values())


def test_full_precision_changes_nothing(little_network, shortened):
    tensors = shortened("fp32").state_dict()
    assert all(torch.equal(tensors[k], v) for k, v in little_network.state_dict().items())


def test_auto_follows_the_processor(shortened, monkeypatch):
    monkeypatch.setattr("human3r.model.precision.computes_bfloat16", lambda device: True)
    assert shortened("auto").compute_dtype == torch.bfloat16
    monkeypatch.setattr("human3r.model.precision.computes_bfloat16", lambda device: False)
    assert shortened("auto").compute_dtype == torch.float32


def test_the_processor_is_asked(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not computes_bfloat16(cpu)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert computes_bfloat16(cpu)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert not computes_bfloat16(cpu)
    assert not computes_bfloat16(torch.device("meta"))


def test_wrong_uses_are_refused(shortened):
    with pytest.raises(ConfigError, match="bf32"):
        shortened("bf32")
    network = shortened("fp16")
    with pytest.raises(ConfigError, match="already"):
        set_precision(network, "bf16")
