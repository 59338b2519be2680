"""How a network is run: step by step as it comes, or as one piece of fixed shape.

Every mode gives the same answers. The fixed ones always compute for ``max_people`` people and hide
those that are not there, so that nothing in a frame depends on the picture and the host never
waits. The CUDA graph has not been run on a GPU yet.
"""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor

from human3r.errors import ConfigError
from human3r.model.network import Human3R, NetworkOutput

MODES = ("eager", "static", "compile", "cuda_graph")
_MAX_GRAPHS = 4


class Runner:
    """A network in one of ``MODES``; called like the network.

    Args:
        network: on its device.
        mode: eager: shapes follow the number of people; static: fixed shapes; compile: static
            and through ``torch.compile``; cuda_graph: static, recorded once, then replayed.

    Raises:
        ConfigError: unknown mode, or one that the device cannot do.
    """

    def __init__(self, network: Human3R, mode: str = "eager") -> None:
        if mode not in MODES:
            raise ConfigError(f"model.execution is {mode!r}; expected one of {', '.join(MODES)}.")
        if mode == "cuda_graph" and network.device.type != "cuda":
            raise ConfigError(
                f"model.execution is cuda_graph, and the network is on {network.device}; expected "
                "a CUDA device. Use eager, or compile."
            )
        self._network = network
        self._has_slots = mode != "eager"
        self._graphs: dict[tuple[object, ...], _Graph] | None = None
        self._answer = network.answer
        if mode == "compile":
            self._answer = torch.compile(network.answer, fullgraph=True, dynamic=False)
        elif mode == "cuda_graph":
            self._graphs = {}

    def __call__(
        self,
        image: Tensor,
        human_image: Tensor,
        state: Tensor,
        memory: Tensor,
        *,
        is_first: bool,
        min_score: float = 0.3,
        max_people: int | None = None,
        with_gate: bool = False,
        outputs: Collection[str] = (),
    ) -> NetworkOutput:
        """As ``Human3R.forward``; where ``max_people`` is None, shapes follow the people."""
        options: dict[str, Any] = {
            "is_first": is_first,
            "min_score": min_score,
            "max_people": max_people,
            "has_slots": self._has_slots and max_people is not None,
            "with_gate": with_gate,
            "outputs": tuple(sorted(outputs)),
        }
        inputs = (image, human_image, state, memory)
        # The first frame is unlike all others, and a stream has only one.
        if is_first or not options["has_slots"]:
            return self._network(*inputs, **options)
        if self._graphs is not None:
            return self._graph(inputs, options).replay(inputs)
        return self._answer(*inputs, *self._network.look_up(image), **options)

    def _graph(self, inputs: tuple[Tensor, ...], options: dict[str, Any]) -> "_Graph":
        assert self._graphs is not None, "only called in this mode"
        shapes = tuple(tensor.shape for tensor in inputs)
        key = (shapes, self._network.rope_dtype, *options.values())
        if key not in self._graphs:
            if len(self._graphs) >= _MAX_GRAPHS:
                self._graphs.clear()
            found = self._network.look_up(inputs[0])
            self._graphs[key] = _Graph(
                lambda *given: self._network.answer(*given, *found, **options), inputs
            )
        return self._graphs[key]


class _Graph:
    """One call recorded on a CUDA device."""

    def __init__(
        self, call: Callable[..., NetworkOutput], inputs: tuple[Tensor, ...], rounds: int = 3
    ) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(rounds):  # Libraries choose their ways and allocate beforehand.
                call(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = call(*self._inputs)

    def replay(self, inputs: tuple[Tensor, ...]) -> NetworkOutput:
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        self._graph.replay()
        return _copied(self._output)


def _copied(answer: Any) -> Any:
    """The dataclass with all its tensors copied: the next replay writes over the originals."""
    fields = {}
    for field in dataclasses.fields(answer):
        value = getattr(answer, field.name)
        if isinstance(value, Tensor):
            value = value.clone()
        elif dataclasses.is_dataclass(value):
            value = _copied(value)
        fields[field.name] = value
    return type(answer)(**fields)
