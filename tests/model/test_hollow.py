import torch
from torch import nn

from human3r.model.hollow import hollow


def test_hollow_modules_have_shapes_and_nothing_else():
    chance = torch.get_rng_state()
    with hollow():
        parts = [nn.Embedding(3, 5), nn.Linear(3, 5), nn.Conv2d(3, 5, 2)]
        drawn = torch.empty(3, 5).normal_(std=0.1)
    assert all(part.weight.is_meta for part in parts)
    assert [tuple(part.weight.shape) for part in parts] == [(3, 5), (5, 3), (5, 3, 2, 2)]
    assert drawn.is_meta
    assert torch.equal(torch.get_rng_state(), chance)


def test_modules_built_afterwards_have_values():
    with hollow():
        nn.Linear(3, 5)
    layer = nn.Linear(3, 5)
    assert not layer.weight.is_meta
    assert layer.weight.std() > 0
