"""Several processes that learn together: each has its own windows, all have the same weights."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from human3r.errors import ConfigError


@dataclass(frozen=True)
class Processes:
    """This process among those that torchrun started; alone when it did not."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and says things."""
        return self.rank == 0

    @classmethod
    def join(cls, device_type: str) -> "Processes":
        """Meet the other processes of torchrun; gloo between CPUs, NCCL between GPUs.

        Raises:
            ConfigError: torchrun's environment is incomplete.
        """
        if "WORLD_SIZE" not in os.environ:
            return cls()
        try:
            rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"WORLD_SIZE is set, but RANK is not a number ({error}); expected the environment "
                "of torchrun. Start with `torchrun --nproc-per-node N -m human3r.cli.main train`."
            ) from error
        if count > 1:
            distributed.init_process_group("nccl" if device_type == "cuda" else "gloo")
        return cls(rank, count, local_rank)

    def leave(self) -> None:
        """Part from the others."""
        if self.count > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their mean over all processes."""
        tensors = list(tensors)
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.count
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def largest(self, value: float) -> float:
        """The largest of the processes' values."""
        if self.count == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64)
        if distributed.get_backend() == "nccl":
            tensor = tensor.cuda(self.local_rank)
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        return float(tensor)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            distributed.barrier()
