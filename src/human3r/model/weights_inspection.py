"""Says what is in a weights file or a published checkpoint, without loading any tensor."""

import math
from pathlib import Path

from human3r.errors import WeightsError
from human3r.model import published
from human3r.model.torch_file import TorchFile
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
            return {"network": f"by its shapes {config}"}
        except WeightsError as error:
            return {"network": f"not said; {error}"}
    origin = f"seed {header.seed}, untrained" if header.seed is not None else "published"
    words = {"variant": header.variant, "network": str(header.config), "origin": origin}
    if header.source_sha256:
        words["source"] = f"sha256 {header.source_sha256}"
    return words
