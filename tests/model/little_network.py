"""A network of every part, as small as parts can be, with seeded weights."""

import dataclasses

import torch

from human3r.model.hollow import hollow
from human3r.model.network import Human3R
from human3r.model.seeded import seeded_state
from human3r.model.variants import VARIANTS


def make_little_network(**changes: int) -> Human3R:
    """``human3r_mini`` with a human branch of 8 x 8 tokens; scores are low, so take 0.02.

    Args:
        **changes: to its configuration.
    """
    little = {"human_size_px": 112, "ray_map_depth": 0}
    config = dataclasses.replace(VARIANTS["human3r_mini"], **little, **changes)
    with hollow():
        network = Human3R(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    weights = {name: torch.from_numpy(array) for name, array in seeded_state(shapes).items()}
    network.load_state_dict(weights, assign=True)
    return network.requires_grad_(False).eval()


def make_shallow_network() -> Human3R:
    """The little network with few blocks: what takes time for each block takes less."""
    return make_little_network(encoder_depth=1, decoder_depth=2)
