"""Files of convolutional networks: what they say of themselves, read without PyTorch.

A file is safetensors in half precision whose metadata lists the layers, see ``Layer``. The list is
data, yet a list from anywhere could ask for any amount of memory: only lists whose digest is in
``KNOWN_NETWORKS`` are taken. ``human3r.people.convert`` writes such files.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from human3r.errors import WeightsError

METADATA_KEY = "human3r_people"
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


def metadata_of(data: bytes) -> dict[str, str]:
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


def decode(metadata: dict[str, str], path: Path, names: tuple[str, ...]) -> NetworkFile:
    """The description in a file's metadata, when it is one of the networks named.

    Raises:
        WeightsError: damaged, another network, or one with other layers.
    """
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
        metadata = metadata_of(data)
    except (OSError, ValueError, RecursionError):
        return None
    if METADATA_KEY not in metadata:
        return None
    file = decode(metadata, path, tuple(KNOWN_NETWORKS))
    kind = f"people network, {len(file.layers)} layers"
    return {"network": file.name, "kind": kind, "source": f"sha256 {file.source_sha256}"}
