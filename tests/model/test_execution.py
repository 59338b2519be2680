"""Ways to run the network give the same answers; see ``human3r.model.network``."""

import jaxtyping
import pytest
import torch

from human3r.errors import ConfigError
from human3r.model.network import Runner
from human3r.streaming.preprocess import normalise, pad_to_square
from tests.model.little_network import make_shallow_network
from tests.model.test_same_as_plain import check_same


@torch.inference_mode()
def _second_frame(run, network, images, max_people):
    """The answer to a second frame, the state coming from a first."""
    state, memory = network.initial_state(), network.initial_memory()
    options = {"min_score": 0.02, "with_gate": True, "outputs": ("world",)}
    for number, image in enumerate(images):
        pixels = normalise(image, "cpu")
        square = pad_to_square(pixels, network.config.human_size_px)
        inputs = (pixels, square, state, memory)
        out = run(*inputs, is_first=number == 0, max_people=max_people, **options)
        state, memory = out.state, out.memory
    return out.of_people(int(out.num_people))


@pytest.fixture(scope="module")
def images(golden_frames):
    return [image[:32, :64].copy() for image in golden_frames[:2]]


@pytest.fixture(scope="module")
def shallow_network():
    return make_shallow_network()


@pytest.fixture(scope="module")
def eager(shallow_network, images):
    return _second_frame(Runner(shallow_network), shallow_network, images, 9)


def test_fixed_slots_change_nothing(shallow_network, images, eager):
    """Also nothing in gate, state and memory, which all tokens enter."""
    got = _second_frame(Runner(shallow_network, "static"), shallow_network, images, 9)
    assert 1 < int(got.num_people) < 9
    assert got.people.rotations.shape == eager.people.rotations.shape
    check_same(got, eager)


def test_as_many_slots_as_people_are_too_few_for_all(shallow_network, images, eager):
    """With fewer slots than people, those of the highest scores stay, as without slots."""
    fewer = int(eager.num_people) - 1
    want = _second_frame(Runner(shallow_network), shallow_network, images, fewer)
    got = _second_frame(Runner(shallow_network, "static"), shallow_network, images, fewer)
    assert len(got.human_tokens) == fewer
    check_same(got, want)


def test_hidden_slots_would_be_noticed(shallow_network, images, eager, monkeypatch):
    """The comparison above fails where padding is not hidden."""
    monkeypatch.setattr("human3r.model.network._readable", lambda *_: None)
    got = _second_frame(Runner(shallow_network, "static"), shallow_network, images, 9)
    with pytest.raises(AssertionError, match="too much"):
        check_same(got, eager)


def test_a_frame_is_one_graph_without_a_wait(shallow_network, images, eager, monkeypatch):
    """``torch.compile`` accepts the step whole: nothing in it asks the host."""
    whole = torch.compile

    def traced(function, **options):
        assert options["fullgraph"]
        return whole(function, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", traced)
    # The checks of shapes that the test run adds cannot be traced.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        got = _second_frame(Runner(shallow_network, "compile"), shallow_network, images, 9)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    check_same(got, eager)


def test_slots_need_their_number(shallow_network, images):
    pixels = normalise(images[0], "cpu")
    state, memory = shallow_network.initial_state(), shallow_network.initial_memory()
    with pytest.raises(ConfigError, match="max_people"):
        shallow_network(
            pixels,
            pad_to_square(pixels, shallow_network.config.human_size_px),
            state,
            memory,
            is_first=True,
            has_slots=True,
        )


@pytest.mark.parametrize(("mode", "word"), [("cuda_graph", "CUDA device"), ("fast", "eager")])
def test_what_cannot_be_done_is_refused(shallow_network, mode, word):
    with pytest.raises(ConfigError, match=word):
        Runner(shallow_network, mode)


def test_of_people_keeps_the_first(eager):
    one = eager.of_people(1)
    assert len(one.human_tokens) == len(one.people.betas) == len(one.detections.scores) == 1
    assert torch.equal(one.detections.tokens[0], eager.detections.tokens[0])
    assert eager.of_people(len(eager.human_tokens)) is eager
