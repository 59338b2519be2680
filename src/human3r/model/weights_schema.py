"""Which tensors a network has, and how those of a file differ from them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from human3r.errors import WeightsError
from human3r.model.variants import NetworkConfig

Shapes = Mapping[str, tuple[int, ...]]

_SHOWN = 8
"""Names listed per kind of difference; the rest is counted."""


@dataclass(frozen=True)
class SchemaDifference:
    """How the tensors of a file differ from those of a network."""

    missing: tuple[str, ...]
    missing_aliases: tuple[str, ...]
    """Missing second names of tensors whose first name is there; they can be filled in."""
    unexpected: tuple[str, ...]
    misshaped: tuple[str, ...]
    """Name, shape seen and shape expected, in words."""

    @property
    def is_harmless(self) -> bool:
        """Whether nothing but aliases is missing."""
        return not (self.missing or self.unexpected or self.misshaped)

    def require_harmless(self, source: str) -> None:
        """Nothing, when the file fits.

        Raises:
            WeightsError: naming what is missing, unexpected or of another shape.
        """
        if self.is_harmless:
            return
        parts = [
            f"{len(names)} {what}: {_listed(names)}"
            for what, names in (
                ("missing", self.missing),
                ("unexpected", self.unexpected),
                ("of another shape", self.misshaped),
            )
            if names
        ]
        raise WeightsError(
            f"{source}: tensors do not fit the network: {'; '.join(parts)}. Expected exactly the "
            "network's own tensors. Check that file and variant belong together."
        )


def network_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a network, in state-dict order, aliases included."""
    from human3r.model.hollow import hollow
    from human3r.model.network import Human3R

    with hollow():
        network = Human3R(config)
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


def compare(expected: Shapes, found: Shapes) -> SchemaDifference:
    """What ``found`` lacks, has too much, or has in another shape."""
    missing = [key for key in expected if key not in found]
    aliases = [key for key in missing if alias(key) in found and alias(key) in expected]
    misshaped = [
        f"{key} {found[key]} instead of {shape}"
        for key, shape in expected.items()
        if key in found and tuple(found[key]) != shape
    ]
    return SchemaDifference(
        missing=tuple(key for key in missing if key not in aliases),
        missing_aliases=tuple(aliases),
        unexpected=tuple(key for key in found if key not in expected),
        misshaped=tuple(misshaped),
    )


def alias(key: str) -> str:
    """The other name of a tensor that has two in the DPT heads; empty for all others."""
    numbered = re.fullmatch(r"(.*\.scratch\.)layer([1-4])_rn\.(.*)", key)
    if numbered:
        return f"{numbered[1]}layer_rn.{int(numbered[2]) - 1}.{numbered[3]}"
    listed = re.fullmatch(r"(.*\.scratch\.)layer_rn\.([0-3])\.(.*)", key)
    return f"{listed[1]}layer{int(listed[2]) + 1}_rn.{listed[3]}" if listed else ""


def unequal_aliases(name: str, source: str) -> WeightsError:
    """The error for two names of one tensor that hold different numbers."""
    return WeightsError(
        f"{source}: {name} and {alias(name)} differ; expected equal numbers, as both name one "
        "tensor. Get the weights again."
    )


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(name[:120] for name in names[:_SHOWN])
    rest = len(names) - _SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown
