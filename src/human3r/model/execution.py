"""How a network is run: step by step as it comes, or as one piece of fixed shape.

Every mode gives the same answers. The fixed ones always compute for ``max_people`` people and hide
those that are not there, so that nothing in a frame depends on the picture and the host never
waits. The CUDA graph has not been run on a GPU yet.
"""

import dataclasses
import threading
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor

from human3r.errors import ConfigError
from human3r.model.network import Encoded, Human3R, NetworkOutput

MODES = ("eager", "static", "compile", "cuda_graph")
_MAX_GRAPHS = 8


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
        self._encode_tokens, self._answer = network.encode_tokens, network.answer
        if mode == "compile":
            self._encode_tokens, self._answer = (
                torch.compile(part, fullgraph=True, dynamic=False)
                for part in (network.encode_tokens, network.answer)
            )
        elif mode == "cuda_graph":
            self._graphs = {}
        self._recording = threading.Lock()

    def __call__(
        self,
        image: Tensor,
        human_image: Tensor | None,
        state: Tensor,
        memory: Tensor,
        **options: Any,
    ) -> NetworkOutput:
        """As ``Human3R.forward``; where ``max_people`` is None, shapes follow the people."""
        return self.recur(self.encode(image, human_image), state, memory, **options)

    def encode(self, image: Tensor, human_image: Tensor | None) -> Encoded:
        """As ``Human3R.encode``. Another thread may be in ``recur`` meanwhile."""
        network = self._network
        if not self._has_slots:
            return network.encode(image, human_image)
        network.check_images(image, human_image)
        height, width = image.shape[-2:]
        found = network.look_up(height, width)
        inputs = (image, human_image)
        if self._graphs is None:
            return Encoded(*self._encode_tokens(*inputs, *found), height, width)  # pyright: ignore[reportCallIssue]
        graph = self._graph(
            "encode",
            inputs,
            (),
            lambda *given: network.encode_tokens(*given, *found),  # pyright: ignore[reportCallIssue]
        )
        return Encoded(*graph.replay(inputs), height, width)  # pyright: ignore[reportCallIssue]

    def recur(
        self,
        encoded: Encoded,
        state: Tensor,
        memory: Tensor,
        *,
        is_first: bool,
        min_score: float = 0.3,
        max_people: int | None = None,
        with_gate: bool = False,
        outputs: Collection[str] = (),
    ) -> NetworkOutput:
        """As ``Human3R.recur``; where ``max_people`` is None, shapes follow the people."""
        with_people = encoded.appearance is not None
        options: dict[str, Any] = {
            "is_first": is_first,
            "min_score": min_score,
            "max_people": max_people,
            "has_slots": self._has_slots and with_people and max_people is not None,
            "with_gate": with_gate,
            "outputs": tuple(sorted(outputs)),
        }
        is_fixed = options["has_slots"] or (self._has_slots and not with_people)
        # The first frame is unlike all others, and a stream has only one.
        if is_first or not is_fixed:
            return self._network.recur(encoded, state, memory, **options)
        network, size_px = self._network, (encoded.height_px, encoded.width_px)
        constants, _ = network.look_up(*size_px)
        options["size_px"] = size_px
        inputs = (encoded.patches, encoded.appearance, state, memory)
        if self._graphs is None:
            return self._answer(*inputs, constants, **options)  # pyright: ignore[reportCallIssue]
        graph = self._graph(
            "answer",
            inputs,
            tuple(options.values()),
            lambda *given: network.answer(*given, constants, **options),  # pyright: ignore[reportCallIssue]
        )
        return graph.replay(inputs)

    def _graph(
        self,
        part: str,
        inputs: tuple[Tensor | None, ...],
        options: tuple[object, ...],
        call: Callable[..., Any],
    ) -> "_Graph":
        assert self._graphs is not None, "only called in this mode"
        shapes = tuple(None if tensor is None else tensor.shape for tensor in inputs)
        key = (part, shapes, self._network.rope_dtype, *options)
        graph = self._graphs.get(key)
        if graph is None:
            with self._recording:
                if len(self._graphs) >= _MAX_GRAPHS:
                    self._graphs.clear()
                graph = self._graphs[key] = _Graph(call, inputs)
        return graph


class _Graph:
    """One call recorded on a CUDA device."""

    def __init__(
        self, call: Callable[..., Any], inputs: tuple[Tensor | None, ...], rounds: int = 3
    ) -> None:
        self._inputs = _copied(inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(rounds):  # Libraries choose their ways and allocate beforehand.
                call(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # Another thread may use the device meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._output = call(*self._inputs)

    def replay(self, inputs: tuple[Tensor | None, ...]) -> Any:
        for mine, given in zip(self._inputs, inputs, strict=True):
            if given is not None:
                mine.copy_(given)
        self._graph.replay()
        return _copied(self._output)


def _copied(answer: Any) -> Any:
    """The answer with all its tensors copied: the next replay writes over the originals."""
    if isinstance(answer, tuple):
        return tuple(None if tensor is None else tensor.clone() for tensor in answer)
    fields = {}
    for field in dataclasses.fields(answer):
        value = getattr(answer, field.name)
        if isinstance(value, Tensor):
            value = value.clone()
        elif dataclasses.is_dataclass(value):
            value = _copied(value)
        fields[field.name] = value
    return type(answer)(**fields)
