"""Every shortcut of the network against a plain pass of the same weights; see benchmarks/."""

import dataclasses

import pytest
import torch

from benchmarks.plain_network import PlainNetwork
from human3r.model.variants import VARIANTS
from human3r.streaming.preprocess import crop_from_square, normalise, pad_to_square
from tests.conftest import seeded_network

ALLOWED = 4e-5
"""Largest difference in shares of an output's root mean square, plus as much of each number."""


def arrays(output):
    """Every float tensor of a network's answer, by name."""
    found = {}
    for field in dataclasses.fields(output):
        value = getattr(output, field.name)
        if dataclasses.is_dataclass(value):
            found |= {f"{field.name}.{name}": tensor for name, tensor in arrays(value).items()}
        elif value is not None and value.is_floating_point():
            found[field.name] = value
    return found


def check_same(got, want, allowed=ALLOWED):
    """Nothing, when all that ``got`` holds agrees with ``want``."""
    got, want = arrays(got), arrays(want)
    assert got.keys() <= want.keys()
    for name, tensor in got.items():
        scale = want[name].square().mean().sqrt() + want[name].abs()
        excess = (tensor - want[name]).abs() - allowed * scale
        assert excess.numel() == 0 or excess.max() <= 0, f"{name}: {excess.max():.2g} too much"


@torch.inference_mode()
def two_frames(network, images, **options):
    """Answers to an image and, from the state it leaves, to a second one."""
    state, memory, answers = network.initial_state(), network.initial_memory(), []
    for number, image in enumerate(images):
        pixels = normalise(image, "cpu")
        square = pad_to_square(pixels, network.config.human_size_px)
        out = network(pixels, square, state, memory, is_first=number == 0, **options)
        state, memory = out.state, out.memory
        answers.append(out)
    return answers


@pytest.fixture(scope="module")
def network():
    """``tiny`` whose dense heads, which take nearly all of the time, have few channels."""
    few = {"dpt_channels": 16, "dpt_width": 40, "dpt_last": 16}
    return seeded_network(dataclasses.replace(VARIANTS["tiny"], **few))


@pytest.fixture(scope="module")
def images(golden_frames):
    """Two network images with an odd number of patch rows."""
    return [image[:112, :160].copy() for image in golden_frames[:2]]


@pytest.fixture(scope="module", params=[False, True], ids=["written out", "fused"])
def plain(request, network, images):
    return two_frames(PlainNetwork(network, fused_attention=request.param), images)


def in_picture(output, height_px, width_px):
    """The answer with the mask cut to the picture, beside which nobody looks."""
    mask = crop_from_square(output.person_probability, width_px, height_px)
    return dataclasses.replace(output, person_probability=mask)


@pytest.mark.parametrize("outputs", [(), ("world", "rgb", "mask")], ids=["lean", "every head"])
def test_shortcuts_change_nothing(network, images, plain, outputs):
    answers = two_frames(network, images, with_gate=True, outputs=outputs)
    assert len(answers[1].human_tokens) > 1
    for got, want in zip(answers, plain, strict=True):
        if not outputs:
            got, want = in_picture(got, 112, 160), in_picture(want, 112, 160)
        check_same(got, want)


def test_the_comparison_notices_a_change(network, images, plain):
    got = two_frames(network, images, with_gate=True, outputs=("mask",))[1]
    moved = dataclasses.replace(got, state=got.state * (1 + 1e-4))
    with pytest.raises(AssertionError, match="state"):
        check_same(moved, plain[1])
