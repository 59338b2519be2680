"""From the network's device to arrays on the host, waiting once for everything."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def download(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Each tensor as a contiguous array; all of them on one device.

    From a CUDA device every copy is queued, then the host waits once. On the CPU nothing is copied
    that lies in one piece.
    """
    host = {name: _begin(tensor.detach()) for name, tensor in tensors.items()}
    device = next((tensor.device for tensor in tensors.values()), None)
    if device is not None and device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    # Not ``ascontiguousarray``, which gives a lone number an axis.
    return {name: np.require(tensor.numpy(), requirements="C") for name, tensor in host.items()}


def to_numpy(tensor: Tensor) -> np.ndarray:
    """One tensor as a contiguous array on the host."""
    return download({"it": tensor})["it"]


def _begin(tensor: Tensor) -> Tensor:
    if tensor.device.type != "cuda":
        return tensor.cpu()
    # Only pinned memory is written without the host waiting.
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)
