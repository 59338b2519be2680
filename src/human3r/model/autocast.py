"""Which type matrix products of the network are computed in, from one line to another."""

from contextlib import AbstractContextManager, nullcontext

import torch


def bulk(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Products of matrices in ``dtype`` from here on."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def exact(device: torch.device) -> AbstractContextManager:
    """Everything in the type of its arguments from here on."""
    return torch.autocast(device.type, enabled=False)
