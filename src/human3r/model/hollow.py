"""Networks without values: to know their shapes, or to load values that a file has."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_)


@contextmanager
def hollow() -> Iterator[None]:
    """Modules built within have neither memory nor values; building one is quick."""
    with torch.device("meta"), _WithoutChance():
        yield


class _WithoutChance(TorchFunctionMode):
    """Draws no initial values: on the meta device even that loads half of PyTorch's compiler."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in _DRAWS:
            return args[0]
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
