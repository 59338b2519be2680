"""The network's stages: the time each takes, and what each multiplies and moves."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from human3r.model.network import Human3R

REST = "everything else"
"""What runs outside the stages."""


def network_stages(network: Human3R) -> dict[str, list[nn.Module]]:
    """The network's stages by name: modules that run one after another, none within another."""
    head = network.downstream_head
    return {
        "image encoder": [network.patch_embed, *network.enc_blocks, network.enc_norm],
        "human branch": [network.backbone],
        "decoder, image stream": list(network.dec_blocks),
        "decoder, state stream": list(network.dec_blocks_state),
        "pose memory": [
            *network.pose_retriever.read_blocks,
            *network.pose_retriever.write_blocks,
        ],
        "point head": [head.dpt_self],
        "mask head": [head.mlp_msk],
    }


class StageTimer:
    """Time inside the network's stages, by forward hooks; off the main path of the code.

    Args:
        network: whose modules are watched from now on.
        clock: seconds; of wall time, or of the processor.
    """

    def __init__(self, network: Human3R, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._began: dict[int, float] = {}
        self._clock = clock
        for name, modules in network_stages(network).items():
            for module in modules:
                module.register_forward_pre_hook(self._start)
                module.register_forward_hook(lambda m, i, o, name=name: self._stop(m, name))

    def _start(self, module: nn.Module, inputs: object) -> None:
        self._began[id(module)] = self._now()

    def _stop(self, module: nn.Module, name: str) -> None:
        self.seconds[name] += self._now() - self._began.pop(id(module))

    def _now(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return self._clock()


@dataclass
class Work:
    """Of one stage and frame."""

    macs: int = 0
    """Multiply-adds."""
    weight_bytes: int = 0
    activation_bytes: int = 0

    @property
    def intensity(self) -> float:
        """Multiply-adds per byte moved at least."""
        return self.macs / max(1, self.weight_bytes + self.activation_bytes)

    def add(self, other: "Work") -> None:
        self.macs += other.macs
        self.weight_bytes += other.weight_bytes
        self.activation_bytes += other.activation_bytes


class WorkCounter(TorchDispatchMode):
    """Counts the products of a network, stage by stage; a context in which it runs a frame.

    Products are linear layers, convolutions and attention. Each reads its operands and writes its
    result once, at least. Use it in inference mode, where PyTorch shows them whole.
    """

    def __init__(self, network: Human3R) -> None:
        super().__init__()
        self.stages: dict[str, Work] = defaultdict(Work)
        self._weights = {tensor.untyped_storage().data_ptr() for tensor in network.parameters()}
        self._stage = REST
        self._hooks = [
            hook
            for name, modules in network_stages(network).items()
            for module in modules
            for hook in (
                module.register_forward_pre_hook(lambda *_, name=name: self._enter(name)),
                module.register_forward_hook(lambda *_: self._enter(REST)),
            )
        ]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for hook in self._hooks:
            hook.remove()

    def total(self) -> Work:
        """Of all stages and the rest."""
        whole = Work()
        for work in self.stages.values():
            whole.add(work)
        return whole

    def _enter(self, name: str) -> None:
        self._stage = name

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        count = _MACS.get(func.overloadpacket)
        if count is not None:
            operands = [value for value in args if isinstance(value, Tensor)]
            work = self.stages[self._stage]
            work.macs += count(result, *operands)
            for tensor in (result, *operands):
                is_weight = tensor.untyped_storage().data_ptr() in self._weights
                size = tensor.numel() * tensor.element_size()
                work.weight_bytes += size * is_weight
                work.activation_bytes += size * (not is_weight)
        elif func.overloadpacket in flop_registry:
            raise NotImplementedError(f"{func} multiplies, and is not counted")
        return result


def _linear(out: Tensor, x: Tensor, *weights: Tensor) -> int:
    return out.numel() * x.shape[-1]


def _convolution(out: Tensor, x: Tensor, weight: Tensor, *bias: Tensor) -> int:
    return out.numel() * weight[0].numel()


def _transposed_convolution(out: Tensor, x: Tensor, weight: Tensor, *bias: Tensor) -> int:
    return x.numel() * weight[0].numel()


def _attention(out: Tensor, q: Tensor, k: Tensor, v: Tensor, *mask: Tensor) -> int:
    return q[..., 0].numel() * k.shape[-2] * (k.shape[-1] + v.shape[-1])


_MACS: dict[Any, Callable[..., int]] = {
    torch.ops.aten.linear: _linear,
    torch.ops.aten.matmul: _linear,
    torch.ops.aten.conv2d: _convolution,
    torch.ops.aten.conv_transpose2d: _transposed_convolution,
    torch.ops.aten.scaled_dot_product_attention: _attention,
}
