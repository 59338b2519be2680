"""Weights before the first step: random ones, sensible in scale."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from human3r.model.network import Human3R
from human3r.model.variants import NetworkConfig
from human3r_lab.datasets import SequenceFile
from human3r_lab.training.hints import DenseHints

_TOKEN_STD = 0.02
_MEAN_SEQUENCES, _MEAN_VIEWS = 200, 4
"""Sequences, and views of each, that the mean body is taken from."""
_GRID_AMPLITUDE = 0.3
_FIRST_PLACE = (0.0, 0.0, 1.6)
"""Before the exponential map: about 4 m in front of the camera."""
_FIRST_HEAD_SHARE = 0.01
"""Score of a token before anything is learnt, so that the first steps are not spent on it."""


def new_hints(network: Human3R, seed: int) -> DenseHints:
    """Hints for a network, on its device; the seed decides all of it."""
    with _seeded(seed):
        return DenseHints(network.config.dino_width).to(network.device)


def new_network(config: NetworkConfig, seed: int) -> Human3R:
    """A network that knows nothing; the seed decides all of it.

    The weights of the blocks are Glorot's, what is added to a residual stream is smaller the
    deeper the stack, and people begin upright in front of the camera.
    """
    with _seeded(seed):
        network = Human3R(config)
        _initialise(network)
    return network


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Chance from a seed; afterwards torch's own is as before."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


@torch.no_grad()
def set_mean_body(network: Human3R, sequences: list[SequenceFile]) -> None:
    """Let the network begin with the mean pose and shape of the people in some data.

    The root stays upright and facing the camera. The published networks begin with the mean of
    motion captures, which is in their files.
    """
    rotations, betas = [], []
    for file in sequences[:: max(1, len(sequences) // _MEAN_SEQUENCES)]:
        for number in range(0, len(file), max(1, len(file) // _MEAN_VIEWS)):
            people = file.view(number).people
            rotations.append(people.rotations)
            betas.append(people.betas)
    stacked = np.concatenate(rotations)
    if not len(stacked):
        return
    heads = network.downstream_head
    mean = torch.from_numpy(stacked.mean(axis=0, dtype=np.float64)).float()
    six = mean[1:, :, :2].flatten()  # Row-major 3x2 matrices, as the network states rotations.
    heads.init_body_pose[0, 6:] = six  # pyright: ignore[reportIndexIssue]
    heads.init_betas[0] = torch.from_numpy(np.concatenate(betas).mean(axis=0))  # pyright: ignore[reportIndexIssue]


@torch.no_grad()
def _initialise(network: Human3R) -> None:
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif name.endswith("patch_embed.proj"):
            nn.init.xavier_uniform_(module.weight.flatten(1))
    for blocks in _residual_stacks(network):
        for block in blocks:
            for layer in _last_layers(block):
                layer.weight.mul_((2 * len(blocks)) ** -0.5)
    dino = network.backbone.encoder
    nn.init.trunc_normal_(dino.cls_token, std=_TOKEN_STD)
    dino.pos_embed[0, 1:] = _grid_embedding(dino.pos_embed.shape[1] - 1, dino.pos_embed.shape[2])
    nn.init.trunc_normal_(network.register_tokens.weight)
    _initialise_heads(network)


def _grid_embedding(tokens: int, width: int) -> torch.Tensor:
    """Waves over a square grid [tokens, width]: places are told apart from the first step on."""
    side, quarter = math.isqrt(tokens), width // 4
    place = torch.arange(side, dtype=torch.float32) / side * math.pi
    waves = place[:, None] * torch.linspace(1, side / 4, quarter)
    along = torch.cat((waves.sin(), waves.cos()), dim=1) * _GRID_AMPLITUDE
    embedding = torch.zeros(side, side, width)
    embedding[..., : 2 * quarter] = along[:, None]
    embedding[..., 2 * quarter : 4 * quarter] = along[None]
    return embedding.flatten(0, 1)


def _initialise_heads(network: Human3R) -> None:
    heads = network.downstream_head
    place = torch.tensor(_FIRST_PLACE)
    for dpt in (heads.dpt_self, heads.dpt_cross):
        dpt.head[-1].weight.mul_(0.1)
        dpt.head[-1].bias.copy_(torch.cat((place, torch.zeros(1))))
    for head in (heads.decpose, heads.decshape, heads.decexpression, heads.deccam):
        head.mlp.layers[-1].weight.mul_(0.1)
    heads.deccam.mlp.layers[-1].bias.copy_(place)
    heads.mlp_offset[-1].weight.mul_(0.1)
    share = torch.tensor(_FIRST_HEAD_SHARE)
    heads.mlp_classif[-1].bias.copy_((share / (1 - share)).log())
    heads.pose_head.mlp.fc2.weight.mul_(0.1)
    heads.pose_head.mlp.fc2.bias.copy_(torch.tensor([0.0, 0, 0, 1, 0, 0, 0]))
    # Upright and facing the camera: half a turn about x, since y points down in a camera.
    heads.init_body_pose[0, :6] = torch.tensor([1.0, 0, 0, -1, 0, 0])  # pyright: ignore[reportIndexIssue]


def _residual_stacks(network: Human3R) -> list[nn.ModuleList]:
    return [
        network.enc_blocks,
        network.backbone.encoder.blocks,
        network.dec_blocks,
        network.dec_blocks_state,
        network.pose_retriever.read_blocks,
        network.pose_retriever.write_blocks,
        network.downstream_head.final_transform,
    ]


def _last_layers(block: nn.Module) -> list[nn.Linear]:
    """What a transformer block adds to its residual stream."""
    layers = [block.attn.proj, block.mlp.fc2]  # pyright: ignore[reportAttributeAccessIssue]
    cross = getattr(block, "cross_attn", None)
    return layers if cross is None else [*layers, cross.proj]  # pyright: ignore[reportReturnType]
