"""Our state dict has exactly the names and shapes of the published checkpoints."""

import json
import sys

import pytest

from human3r.model.hollow import hollow
from human3r.model.network import Human3R
from human3r.model.variants import VARIANTS
from tests.conftest import GOLDEN, MANIFESTS


@pytest.mark.parametrize("variant", MANIFESTS)
def test_state_dict_has_every_published_name_and_shape(variant):
    manifest = json.loads((GOLDEN / "manifests" / f"{variant}.json").read_text())
    with hollow():
        state = Human3R(VARIANTS[variant]).state_dict()
    want = {key: tuple(entry["shape"]) for key, entry in manifest["tensors"].items()}
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == want
    assert {str(tensor.dtype) for tensor in state.values()} == {"torch.float32"}


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [
        ("human3r_672S", 848_016_494),
        ("human3r_672B", 932_952_302),
        ("human3r_672L", 1_167_461_358),
        ("human3r_896L", 1_167_461_358),
    ],
)
def test_parameters_are_counted_once(variant, parameters):
    """The tensors with two names are shared, not doubled."""
    with hollow():
        network = Human3R(VARIANTS[variant])
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_the_network_we_train_fits_in_30_mb_at_half_precision():
    with hollow():
        network = Human3R(VARIANTS["human3r_mini"])
    assert 14e6 < sum(parameter.numel() for parameter in network.parameters()) <= 15e6


def test_a_network_that_is_about_to_be_loaded_needs_no_compiler(monkeypatch):
    """Random numbers on the meta device would load PyTorch's, for seconds."""
    for module in ("torch._dynamo", "torch.fx.experimental.symbolic_shapes"):
        monkeypatch.setitem(sys.modules, module, None)
    with hollow():
        Human3R(VARIANTS["human3r_mini"])
