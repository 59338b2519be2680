"""Operations are counted as they are on paper."""

import itertools

import pytest
import torch

from benchmarks.stages import StageTimer, WorkCounter, network_stages
from human3r.model.layers import DINO_PATCH_PX
from human3r.streaming.preprocess import normalise, pad_to_square
from tests.model.little_network import make_little_network

FLOAT_BYTES = 4


@pytest.fixture(scope="module")
def network():
    return make_little_network()


@pytest.fixture(scope="module")
def inputs(network, golden_frames):
    pixels = normalise(golden_frames[0, :32, :64].copy(), "cpu")
    square = pad_to_square(pixels, network.config.human_size_px)
    return pixels, square, network.initial_state(), network.initial_memory()


@pytest.fixture(scope="module")
def counted(network, inputs):
    with torch.inference_mode(), WorkCounter(network) as counter:
        out = network(*inputs, is_first=True, min_score=0.02, with_gate=True)
    return counter, len(out.human_tokens)


def transformer(depth, width, tokens, others=0):
    """Multiply-adds of blocks on so many tokens, that read ``others`` too."""
    layers = 12 if others == 0 else 14
    products = layers * width**2 * tokens + 2 * width**2 * others
    return depth * (products + 2 * width * tokens * (tokens + others))


def test_the_stages_multiply_what_the_sizes_say(network, counted):
    counter, people = counted
    config, stages = network.config, counter.stages
    assert people > 1
    patches = 2 * 4
    encoder = transformer(config.encoder_depth, config.encoder_width, patches)
    encoder += 3 * config.patch_px**2 * config.encoder_width * patches
    assert stages["image encoder"].macs == encoder

    side, width = config.human_size_px // DINO_PATCH_PX, config.dino_width
    branch = transformer(len(network.backbone.encoder.blocks), width, side**2 + 1)
    assert stages["human branch"].macs == branch + 3 * DINO_PATCH_PX**2 * width * side**2

    image, depth, width = 1 + patches + people, config.decoder_depth, config.decoder_width
    state = config.state_tokens
    assert stages["decoder, image stream"].macs == transformer(depth, width, image, state)
    assert stages["decoder, state stream"].macs == transformer(depth, width, state, image)


def test_convolutions_count_their_windows(network, counted):
    """The point head's last two convolutions and the two that enlarge, from their sizes."""
    head = network.downstream_head.dpt_self
    with torch.inference_mode(), WorkCounter(network) as counter:
        head.head[2](torch.zeros(1, head.head[2].in_channels, 32, 64))
        head.act_postprocess[0][1](torch.zeros(1, network.config.dpt_channels, 2, 4))
    last, first = head.head[2].out_channels, network.config.dpt_channels
    assert counter.total().macs == 32 * 64 * 9 * last**2 + 2 * 4 * 16 * first**2
    assert counter.total().macs < counted[0].stages["point head"].macs


def test_weights_are_moved_once_and_activations_with_them(network, counted):
    """Fewer than all: position embeddings and norms take part in no product."""
    branch = counted[0].stages["human branch"]
    products = [
        parameter.numel()
        for name, parameter in network.backbone.named_parameters()
        if "norm" not in name and not name.endswith(("gamma", "token", "pos_embed"))
    ]
    assert branch.weight_bytes == FLOAT_BYTES * sum(products)
    assert branch.activation_bytes > 0
    whole = counted[0].total()
    assert whole.intensity == whole.macs / (whole.weight_bytes + whole.activation_bytes)


def test_counting_leaves_the_network_alone(network, counted, inputs):
    before = dict(counted[0].stages["human branch"].__dict__)
    with torch.inference_mode():
        network(*inputs, is_first=True)
    assert counted[0].stages["human branch"].__dict__ == before


def test_every_stage_is_timed(inputs):
    """With a clock that ticks once per question, a stage takes as long as it has parts."""
    network = make_little_network()
    ticks = itertools.count()
    timer = StageTimer(network, lambda: float(next(ticks)))
    with torch.inference_mode():
        network(*inputs, is_first=False)
    parts = {name: len(modules) for name, modules in network_stages(network).items()}
    assert dict(timer.seconds) == parts


def test_products_that_are_not_known_are_refused(network):
    with torch.inference_mode(), WorkCounter(network):
        with pytest.raises(NotImplementedError, match="not counted"):
            torch.bmm(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
