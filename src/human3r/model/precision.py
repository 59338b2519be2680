"""Half precision for the bulk of the network; what answers are read off with stays float32.

The weights of the large layers are stored in the short type and their products computed in it.
Tokens between the layers, norms, the recurrent state, the pose memory, and the last layers of
every head stay float32.
"""

import torch
from torch import nn

from human3r.errors import ConfigError
from human3r.model.network import Human3R

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def set_precision(network: Human3R, name: str) -> None:
    """Store the large layers of a network that will only run, in ``name``; fp32 changes nothing.

    Args:
        network: with float32 weights, on its device.
        name: a key of ``PRECISIONS``, or auto: bf16 where the device computes in it, else fp32.

    Raises:
        ConfigError: unknown name, or weights that were shortened already.
    """
    if name != "auto" and name not in PRECISIONS:
        raise ConfigError(
            f"model.precision is {name!r}; expected auto or one of {', '.join(PRECISIONS)}."
        )
    if network.compute_dtype != torch.float32:
        raise ConfigError(
            f"the network computes in {network.compute_dtype} already; expected float32. Load the "
            "weights again to change model.precision."
        )
    if name == "auto":
        name = "bf16" if computes_bfloat16(network.device) else "fp32"
    network.compute_dtype = dtype = PRECISIONS[name]
    heads = network.downstream_head
    for part in (
        network.patch_embed,
        network.enc_blocks,
        network.backbone,
        network.decoder_embed,
        network.dec_blocks,
        network.dec_blocks_state,
        network.pose_retriever.proj_q,
        network.pose_retriever.read_blocks,
        network.pose_retriever.write_blocks,
        heads.mlp_fuse,
        heads.final_transform,
        *(getattr(dpt, name) for dpt in heads.dense() for name in ("act_postprocess", "scratch")),
        *(dpt.head[:-1] for dpt in heads.dense()),
    ):
        for module in part.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                module.to(dtype)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 matrices itself, not by way of float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    # PyTorch has no public question for this; where a version lacks one of these, it is a no.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)
