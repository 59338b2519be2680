"""Loads a network from a weights file: safetensors only, checked before anything is built."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from human3r.errors import DeviceError, WeightsError
from human3r.model import published
from human3r.model.hollow import hollow
from human3r.model.variants import NetworkConfig
from human3r.model.weights_file import WeightsIndex, read_index, sha256_of
from human3r.model.weights_schema import alias, compare, unequal_aliases

if TYPE_CHECKING:
    from human3r.model.network import Human3R

KNOWN_SHA256: dict[str, str] = {}
"""Variant -> SHA-256 of its converted weights file. Empty until a published file was converted
and checked; seeded weights are not compared."""


_DTYPES = ("F32", "F16")


def load_network(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    rope_dtype: str = "float32",
    sha256: str = "",
    variant: str = "",
) -> "Human3R":
    """The network with the weights of a file, ready to run: float32, eval mode, no gradients.

    Args:
        path: a safetensors file.
        device: where the weights go; on the CPU those in float32 stay in the mapped file.
        rope_dtype: see ``Human3R``.
        sha256: expected SHA-256 of the file; empty: known files only are compared.
        variant: key of ``VARIANTS``; needed only for files that do not say it themselves.

    Raises:
        WeightsError: missing, damaged, a pickle, another checksum, or tensors that do not fit.
        DeviceError: the device cannot be used.
    """
    from safetensors.torch import load_file

    from human3r.model.network import Human3R

    target = _usable_device(device)
    index = read_index(path)
    config = _stored_config(index, variant, str(path))
    _check_sha256(path, index, sha256)
    with hollow():
        network = Human3R(config, rope_dtype=rope_dtype)
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    difference = compare(expected, index.shapes)
    difference.require_harmless(str(path))
    _check_dtypes(index, str(path))
    try:
        tensors = load_file(path, device=str(target))
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceError(
            f"{path}: does not fit into the memory of {target}; expected at least "
            f"{Path(path).stat().st_size / 1e9:.1f} GB free. Choose another device or variant."
        ) from error
    _check_aliases(tensors, str(path))
    tensors = {key: tensor.float() for key, tensor in tensors.items()}
    tensors.update({key: tensors[alias(key)] for key in difference.missing_aliases})
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.requires_grad_(False).eval()


def _stored_config(index: WeightsIndex, variant: str, source: str) -> NetworkConfig:
    named = published.known_variant(variant) if variant else None
    if index.header is not None:
        config = index.header.config
        if named not in (None, config):
            raise WeightsError(
                f"{source}: was written for {index.header.variant}, not for {variant}. "
                "Name the right variant or none."
            )
        return config
    if named is not None:
        return named
    try:
        named_size_px = published.human_size_from_name(Path(source).stem)
        return published.config_from_shapes(index.shapes, named_size_px)
    except WeightsError as error:
        raise WeightsError(
            f"{source}: does not say which network it is for, and {error} A file by "
            "`human3r weights seeded MANIFEST` says it too."
        ) from error


def _check_aliases(tensors: dict[str, Tensor], source: str) -> None:
    for name, tensor in tensors.items():
        partner = tensors.get(alias(name))
        if partner is not None and not torch.equal(tensor, partner):
            raise unequal_aliases(name, source)


def _check_dtypes(index: WeightsIndex, source: str) -> None:
    other = [f"{key} {dtype}" for key, dtype in index.dtypes.items() if dtype not in _DTYPES]
    if other:
        raise WeightsError(
            f"{source}: {len(other)} tensors have another type than float32 or float16, for "
            f"example {other[0]}; expected {' or '.join(_DTYPES)}. Write the weights again."
        )


def _check_sha256(path: str | Path, index: WeightsIndex, expected: str) -> None:
    """Compares with what the user expects, else with what is known of a converted variant."""
    if not expected and index.header is not None and index.header.seed is None:
        expected = KNOWN_SHA256.get(index.header.variant, "")
    if not expected:
        return
    if not re.fullmatch(r"[0-9a-fA-F]{64}", expected):
        raise WeightsError(f"sha256 is {expected[:80]!r}; expected 64 hex digits. Correct it.")
    seen = sha256_of(path)
    if seen != expected.lower():
        raise WeightsError(
            f"{path}: SHA-256 is {seen}; expected {expected.lower()}. Get the weights again, or "
            "correct the setting model.sha256."
        )


def _usable_device(device: str | torch.device) -> torch.device:
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"device {str(device)!r} cannot be used ({str(error).splitlines()[0]}); expected cpu, "
            "cuda or cuda:N of this machine. Choose another device."
        ) from error
    return target
