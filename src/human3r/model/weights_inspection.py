"""Says what is in a weights file or a published checkpoint, without loading any tensor."""

import math
from pathlib import Path

from human3r.errors import WeightsError
from human3r.model import published
from human3r.model.default import default_weights_path
from human3r.model.torch_file import TorchFile
from human3r.model.variants import NetworkConfig
from human3r.model.weights_file import WeightsHeader, is_pickle, read_index, sha256_of
from human3r.model.weights_schema import alias
from human3r.pickles import entries


def describe_weights(path: Path) -> dict[str, str]:
    """What a safetensors file or a published checkpoint holds, as words by topic.

    Raises:
        WeightsError: missing, damaged, or neither of the two.
    """
    if path.is_file() and is_pickle(path):
        return _describe_checkpoint(path)
    index = read_index(path)
    types = ", ".join(sorted(set(index.dtypes.values())))
    return {
        "kind": f"safetensors, {types}",
        **_counts(index.shapes),
        **_network(index.header, index.shapes, path),
        "sha256": sha256_of(path),
    }


def _describe_checkpoint(path: Path) -> dict[str, str]:
    with TorchFile(path) as file:
        root = entries(file.root) or {}
        shapes = file.shapes(root.get("model"))
        text = published.model_text(root.get("args"))
    return {
        "kind": "checkpoint of torch.save; convert it with `human3r weights convert`",
        **_counts(shapes),
        "entries": ", ".join(repr(key)[:60] for key in list(root)[:12]),
        "arguments": repr(text[:2000]) if text else "none readable",
        "sha256": sha256_of(path),
    }


def _counts(shapes: dict[str, tuple[int, ...]]) -> dict[str, str]:
    # A pair of aliases is one tensor; the name that stands second in the file is left out.
    seen: set[str] = set()
    numbers = 0
    for key, shape in shapes.items():
        if alias(key) not in seen:
            numbers += math.prod(shape)
        seen.add(key)
    return {"tensors": str(len(shapes)), "numbers": str(numbers)}


def _network(
    header: WeightsHeader | None, shapes: dict[str, tuple[int, ...]], path: Path
) -> dict[str, str]:
    if header is None:
        try:
            config = published.config_from_shapes(shapes, published.human_size_from_name(path.stem))
            return {"network": f"by its shapes {_in_words(config)}"}
        except WeightsError as error:
            return {"network": f"not said; {error}"}
    words = {
        "variant": header.variant,
        "network": _in_words(header.config),
        "origin": _origin(header, path),
    }
    if header.source_sha256:
        words["source"] = f"sha256 {header.source_sha256}"
    return words


def _origin(header: WeightsHeader, path: Path) -> str:
    if header.seed is not None:
        return f"seed {header.seed}, untrained"
    if header.source_sha256:
        return "converted from a published checkpoint"
    ours = default_weights_path()
    same = path.is_file() and path.stat().st_size == ours.stat().st_size
    if same and sha256_of(path) == sha256_of(ours):
        return "human3r's own, trained on its synthetic world; comes with it"
    return "trained with `human3r train`, or merged"


def _in_words(config: NetworkConfig) -> str:
    return (
        f"images of {config.input_size_px} px, {config.human_size_px} px for people; encoder "
        f"{config.encoder_depth} x {config.encoder_width}, decoder {config.decoder_depth} x "
        f"{config.decoder_width}, {config.state_tokens} state tokens"
    )
