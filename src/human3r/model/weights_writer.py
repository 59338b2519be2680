"""Writes weights files: from published checkpoints, or seeded ones.

Published checkpoints are pickles, and pickles can run code. They are converted once, to
safetensors, by readers that treat them as data; running the network reads safetensors only.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from human3r.atomic import whole_path
from human3r.errors import WeightsError
from human3r.model import published
from human3r.model.seeded import seeded_tensor
from human3r.model.torch_file import TorchFile
from human3r.model.variants import VARIANTS, NetworkConfig
from human3r.model.weights_file import WeightsHeader, check_bounds, encode_header, sha256_of
from human3r.model.weights_schema import alias, compare, network_shapes, unequal_aliases
from human3r.pickles import entries

_MAX_MANIFEST_BYTES = 16 << 20
_PREFIX = "module."
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class WeightsReport:
    """What was written."""

    path: Path
    header: WeightsHeader
    num_tensors: int
    """Names in the file, aliases included."""
    num_parameters: int
    """Numbers in the file, each alias pair counted once."""
    filled_aliases: tuple[str, ...] = ()
    """Second names of shared tensors that the source lacked."""
    ignored_entries: tuple[str, ...] = ()
    """Other things in the source, such as the optimiser's state."""


def convert_checkpoint(
    source: str | Path, target: str | Path, *, variant: str = "", human_size_px: int = 0
) -> WeightsReport:
    """Published weights as our weights file, float32; nothing in the source is run.

    Args:
        source: a file of ``torch.save`` with ``model`` and, usually, ``args``.
        target: the safetensors file to write; appears only when complete.
        variant: key of ``VARIANTS`` that overrides what the file's arguments say.
        human_size_px: side of the human branch's image, where the file does not tell.

    Raises:
        WeightsError: damaged, hostile, or tensors that are not exactly those of the network.
        OutputError: the target cannot be written.
    """
    with TorchFile(source) as file:
        root = entries(file.root) or {}
        if "model" not in root:
            names = ", ".join(str(key)[:40] for key in list(root)[:8]) or "nothing with names"
            raise WeightsError(
                f"{source}: holds {names}; expected an entry model with the network's tensors. "
                "Check that this is a Human3R checkpoint."
            )
        stored = file.shapes(root["model"])
        prefix = _PREFIX if stored and all(key.startswith(_PREFIX) for key in stored) else ""
        shapes = {key.removeprefix(prefix): shape for key, shape in stored.items()}
        config = _published_config(file, shapes, variant, human_size_px)
        check_bounds(config, str(source))
        expected = network_shapes(config)
        difference = compare(expected, shapes)
        difference.require_harmless(str(source))

        def read(key: str) -> np.ndarray:
            name = key if key in shapes else alias(key)
            return _finite(file.array(root["model"], prefix + name), name, str(source))

        header = WeightsHeader(config, _variant_name(config), source_sha256=sha256_of(source))
        report = _write(Path(target), header, expected, read)
    ignored = tuple(str(key)[:60] for key in root if key not in ("model", "args"))
    return dataclasses.replace(
        report, filled_aliases=difference.missing_aliases, ignored_entries=ignored
    )


def write_seeded(
    network: str | Path, target: str | Path, seed: int = 0, *, variant: str = ""
) -> WeightsReport:
    """Untrained weights that anyone can re-create, see ``human3r.model.seeded``.

    Args:
        network: a key of ``VARIANTS``, or a JSON manifest of names and shapes.
        target: the safetensors file to write; appears only when complete.
        seed: which of the many possible weights.
        variant: which of the known networks a manifest without ``config`` lists.

    Raises:
        WeightsError: no such variant, or a manifest that lists no Human3R network.
        OutputError: the target cannot be written.
    """
    if str(network) in VARIANTS:
        config = VARIANTS[str(network)]
        expected = network_shapes(config)
    else:
        config, listed = read_manifest(Path(network), variant)
        expected = network_shapes(config)
        compare(expected, listed).require_harmless(str(network))
    header = WeightsHeader(config, _variant_name(config), seed=seed)
    return _write(
        Path(target), header, expected, lambda key: seeded_tensor(key, expected[key], seed)
    )


def _published_config(
    file: TorchFile, shapes: Shapes, variant: str, human_size_px: int
) -> NetworkConfig:
    """From the variant the user names, else the file's arguments, else its tensors."""
    if variant:
        return published.known_variant(variant)
    text = published.model_text((entries(file.root) or {}).get("args"))
    if not text:
        from_name = published.human_size_from_name(file.path.stem)
        return published.config_from_shapes(shapes, human_size_px or from_name)
    keywords = published.parse_model_text(text)
    stored = keywords.setdefault("mhmr_img_res", human_size_px)
    if human_size_px and stored != human_size_px:
        raise WeightsError(
            f"{file.path}: says that the side of the human branch's image is {stored}, not "
            f"{human_size_px}. Leave --human-size out, or name the network with --variant."
        )
    return published.config_from_keywords(keywords)


def _variant_name(config: NetworkConfig) -> str:
    return next((name for name, known in VARIANTS.items() if known == config), "custom")


def read_manifest(path: Path, variant: str = "") -> tuple[NetworkConfig, Shapes]:
    """Network and shapes of ``{"config": ..., "tensors": {key: {"shape": ...}}}`` or the latter.

    Args:
        path: a JSON file.
        variant: which of the known networks a manifest without ``config`` lists.

    Raises:
        WeightsError: no manifest, or of no network that we have.
    """
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise WeightsError(
                f"{path}: more than {_MAX_MANIFEST_BYTES} bytes; expected a manifest of names "
                "and shapes. Check the path."
            )
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path}: cannot be read as a manifest ({error}); expected one of "
            f"{', '.join(VARIANTS)}, or a JSON file of names and shapes. Check the name."
        ) from error
    listed = document.get("tensors", document) if isinstance(document, dict) else None
    shapes = _manifest_shapes(listed, path)
    if variant:
        return published.known_variant(variant), shapes
    if "config" not in document:
        return published.config_from_shapes(shapes), shapes
    if not isinstance(document["config"], dict):
        raise WeightsError(f"{path}: config is no mapping; expected constructor arguments.")
    config = published.config_from_keywords(document["config"])
    check_bounds(config, str(path))
    return config, shapes


def _manifest_shapes(listed: Any, path: Path) -> Shapes:
    try:
        return {key: tuple(int(n) for n in item["shape"]) for key, item in listed.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: lists no tensors ({type(error).__name__}: {error}); expected "
            '{"name": {"shape": [...], "dtype": "float32"}}. Check the file.'
        ) from error


def _write(
    target: Path, header: WeightsHeader, names: Iterable[str], read: Callable[[str], np.ndarray]
) -> WeightsReport:
    from safetensors.torch import save_file

    with whole_path(target) as partial:
        tensors, total = _collect(names, read, str(target))
        save_file(tensors, partial, metadata=encode_header(header))
    return WeightsReport(target, header, len(tensors), total)


def _collect(
    names: Iterable[str], read: Callable[[str], np.ndarray], target: str
) -> tuple[dict[str, Tensor], int]:
    """Tensors by name, and how many numbers they have with each alias pair counted once."""
    tensors: dict[str, Tensor] = {}
    total = 0
    for name in names:
        array = np.require(read(name), requirements=["C", "A"])
        partner = tensors.get(alias(name))
        if partner is None:
            total += array.size
        elif not np.array_equal(partner.numpy(), array):
            raise unequal_aliases(name, target)
        else:
            array = array.copy()  # safetensors refuses two names for one piece of memory
        tensors[name] = torch.from_numpy(array)
    return tensors, total


def _finite(array: np.ndarray, name: str, source: str) -> np.ndarray:
    if not np.isfinite(array).all():
        raise WeightsError(
            f"{source}: tensor {name} holds NaN or numbers beyond float32; expected finite ones. "
            "Download the checkpoint again."
        )
    return array
