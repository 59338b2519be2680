"""Loads weights of the network: safetensors only, checked before anything is built."""

from pathlib import Path

import torch

from human3r.model.hollow import hollow
from human3r.model.weights_file import read_index
from human3r.model.weights_schema import compare
from human3r.multiview.pi3x.config import Pi3XConfig
from human3r.multiview.pi3x.network import Pi3X

_MULTIMODAL = "ray_embed."


def load_pi3x(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    config: Pi3XConfig | None = None,
) -> Pi3X:
    """The network with the weights of a file, in evaluation mode and without gradients.

    Args:
        path: ``model.safetensors`` as published, with or without the branches of priors.
        device: where the weights go; on the CPU those in float32 stay in the mapped file.
        config: sizes; None: the published ones.

    Raises:
        WeightsError: missing, damaged, or tensors of other names or shapes: which ones is said.
    """
    from dataclasses import replace

    from safetensors.torch import load_file

    index = read_index(path)
    config = config or Pi3XConfig()
    has_priors = any(name.startswith(_MULTIMODAL) for name in index.shapes)
    config = replace(config, use_multimodal=has_priors)
    with hollow():
        network = Pi3X(config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    compare(expected, index.shapes).require_harmless(str(path))
    tensors = load_file(path, device=str(torch.device(device)))
    network.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=True, assign=True)
    return network.requires_grad_(False).eval()
