"""From a training to a weights file that inference loads."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from human3r.atomic import whole_path
from human3r.errors import ConfigError, InputError
from human3r.model.hollow import hollow
from human3r.model.network import Human3R
from human3r.model.variants import VARIANTS, NetworkConfig
from human3r.model.weights_file import WeightsHeader, encode_header
from human3r.model.weights_schema import alias
from human3r_lab.training.checkpoints import load_newest

_DTYPES = {"float32": torch.float32, "float16": torch.float16}


def export_weights(
    weights: Mapping[str, Tensor], config: NetworkConfig, target: Path, dtype: str = "float32"
) -> Path:
    """Write weights as ``human3r.model.checkpoint.load_network`` reads them.

    Args:
        weights: every parameter and buffer by name, one name where there are two.
        config: the network's sizes.
        target: a safetensors file; appears only when complete.
        dtype: ``float32`` or ``float16``.

    Raises:
        ConfigError: another type.
        OutputError: not writable.
    """
    if dtype not in _DTYPES:
        raise ConfigError(f"dtype is {dtype!r}; expected {' or '.join(_DTYPES)}.")
    with hollow():
        network = Human3R(config)
    network.load_state_dict(weights, strict=False, assign=True)
    state = network.state_dict()
    # Of a tensor with two names the file holds the first; loading fills in the other.
    second = {other for name in state if (other := alias(name)) and ".layer_rn." in other}
    tensors = {
        name: tensor.detach().cpu().to(_DTYPES[dtype]).contiguous()
        for name, tensor in state.items()
        if name not in second
    }
    variant = next((name for name, known in VARIANTS.items() if known == config), "custom")
    header = encode_header(WeightsHeader(config, variant))
    with whole_path(target) as part:
        save_file(tensors, part, metadata=header)
    return target


def export_training(folder: Path, target: Path, dtype: str = "float32") -> tuple[Path, int]:
    """The running average of a training's newest checkpoint as a weights file.

    Returns:
        The file, and how many steps it has learnt.

    Raises:
        InputError: the folder holds no training, or a damaged one.
        OutputError: not writable.
    """
    checkpoint = load_newest(folder / "checkpoints")
    if checkpoint is None:
        raise InputError(
            f"{folder}: holds no training; expected a folder that `human3r train --out` wrote. "
            "Check the path."
        )
    config = NetworkConfig(**checkpoint.identity["network"])
    weights = {**checkpoint.section("weights"), **checkpoint.section("average")}
    weights = {name: w for name, w in weights.items() if not name.startswith("hints.")}
    return export_weights(weights, config, target, dtype), checkpoint.progress["step"]
