"""Our weights files: safetensors whose metadata says which network they are for."""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from human3r.atomic import sha256_of as sha256_of
from human3r.errors import ConfigError, WeightsError
from human3r.file_kind import refuse_other_kinds
from human3r.model.variants import NetworkConfig

FORMAT_VERSION = 1
_KEY = "human3r"
"""One metadata entry holds everything, as JSON, so that equal content gives equal files."""

_BOUNDS = {
    "human_size_px": 2048,
    "encoder_width": 8192,
    "encoder_depth": 100,
    "encoder_heads": 256,
    "decoder_width": 8192,
    "decoder_depth": 100,
    "decoder_heads": 256,
    "state_heads": 256,
    "state_tokens": 65536,
    "memory_slots": 65536,
    "input_size_px": 1024,
    "patch_px": 64,
    "ray_map_depth": 100,
    "ray_map_heads": 256,
    "memory_blocks": 100,
    "dpt_channels": 1024,
    "dpt_width": 4096,
    "dpt_last": 4096,
    "human_head_ratio": 64,
}
"""Largest sizes believed: building a network takes time and memory in proportion."""


@dataclass(frozen=True)
class WeightsHeader:
    """What a weights file says about itself."""

    config: NetworkConfig
    variant: str = "custom"
    """Key of ``VARIANTS``, or ``custom``."""
    source_sha256: str = ""
    """Of the published file it was converted from; empty for seeded weights."""
    seed: int | None = None
    """Of seeded weights, which are untrained; None for converted ones."""


@dataclass(frozen=True)
class WeightsIndex:
    """What is in a weights file, without the numbers."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    """As safetensors names them, for example F32."""
    header: WeightsHeader | None
    """None when the file was not written by human3r."""


def read_index(path: str | Path) -> WeightsIndex:
    """Names, shapes, types and metadata of a safetensors file; no tensor is read.

    Raises:
        WeightsError: missing, damaged, a pickle, or metadata that does not fit our schema.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.exists():
        raise WeightsError(
            f"{path}: no such file; expected weights as safetensors. Check the path, convert "
            "published weights with `human3r weights convert`, or make untrained ones with "
            "`human3r weights seeded tiny OUT.safetensors`."
        )
    # Files of other programs may have our tensors, and the caller says what is missing in them.
    accepted = ("weights", "safetensors", "people network", "scene network")
    refuse_other_kinds(path, accepted, "weights as safetensors", WeightsError)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            shapes = {key: tuple(item.get_shape()) for key, item in slices.items()}
            dtypes = {key: str(item.get_dtype()) for key, item in slices.items()}
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        raise WeightsError(
            f"{path}: is no complete safetensors file ({error}); expected weights written by "
            "human3r. Convert or download it again."
        ) from error
    return WeightsIndex(shapes, dtypes, decode_header(metadata, str(path)))


def is_pickle(path: Path) -> bool:
    """Whether the file begins as a torch checkpoint does, in the present or the old format."""
    with path.open("rb") as stream:
        start = stream.read(4)
    return start[:2] == b"PK" or re.match(rb"\x80[\x02-\x05]", start) is not None


def encode_header(header: WeightsHeader) -> dict[str, str]:
    """Metadata for a safetensors file."""
    content = {"format_version": FORMAT_VERSION, **dataclasses.asdict(header)}
    return {_KEY: json.dumps(content, sort_keys=True)}


def decode_header(metadata: Mapping[str, str], source: str) -> WeightsHeader | None:
    """What metadata says, or None when none of it is ours.

    Raises:
        WeightsError: ours, but of another version, incomplete, or with impossible values.
    """
    if _KEY not in metadata:
        return None
    try:
        content = json.loads(metadata[_KEY])
    except (ValueError, RecursionError) as error:
        raise _bad(source, f"no JSON ({error})") from error
    if not isinstance(content, dict) or content.pop("format_version", None) != FORMAT_VERSION:
        raise _bad(source, f"another format than version {FORMAT_VERSION}")
    fields = {field.name for field in dataclasses.fields(WeightsHeader)}
    if set(content) != fields:
        raise _bad(source, f"other entries than {', '.join(sorted(fields))}")
    config = _decode_config(content["config"], source)
    variant, sha256, seed = content["variant"], content["source_sha256"], content["seed"]
    if not isinstance(variant, str) or not re.fullmatch(r"\w{1,40}", variant):
        raise _bad(source, "a variant that is no name")
    if not isinstance(sha256, str) or not re.fullmatch(r"([0-9a-f]{64})?", sha256):
        raise _bad(source, "a source_sha256 that is no SHA-256")
    if seed is not None and (type(seed) is not int or not -(2**63) <= seed < 2**63):
        raise _bad(source, "a seed that is no whole number of 64 bits")
    return WeightsHeader(config, variant, sha256, seed)


def check_bounds(config: NetworkConfig, source: str) -> None:
    """Nothing, when every size is one that a network can have.

    Raises:
        WeightsError: a size is not positive or absurd.
    """
    for name, high in _BOUNDS.items():
        low = 0 if name == "ray_map_depth" else 1
        if not low <= getattr(config, name) <= high:
            raise _bad(source, f"{name}={getattr(config, name)}", f"{low} to {high}")
    if not 1.0 < config.rope_base <= 1e6:
        raise _bad(source, f"rope_base={config.rope_base}", "more than 1, up to 1e6")


def _decode_config(content: Any, source: str) -> NetworkConfig:
    kinds: dict[str, Any] = {f.name: f.type for f in dataclasses.fields(NetworkConfig)}
    if not isinstance(content, dict) or set(content) != set(kinds):
        raise _bad(source, "a config with other entries", ", ".join(sorted(kinds)))
    for name, kind in kinds.items():
        if type(content[name]) is not kind:
            raise _bad(source, f"{name} of type {type(content[name]).__name__}", kind.__name__)
    try:
        config = NetworkConfig(**content)
    except ConfigError as error:
        raise _bad(source, f"an impossible network ({error})") from error
    check_bounds(config, source)
    return config


def _bad(source: str, seen: str, expected: str = "metadata as human3r writes it") -> WeightsError:
    return WeightsError(
        f"{source}: the network's description holds {seen}; expected {expected}. "
        "Convert the weights again."
    )
