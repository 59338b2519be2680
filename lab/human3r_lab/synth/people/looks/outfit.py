"""What a person wears: pieces, their textures, and what they hide of the skin."""

from dataclasses import dataclass, field

import numpy as np

from human3r_lab.synth.people.looks.garment import Cloth, ClothedBody, grow
from human3r_lab.synth.people.looks.piece import Piece
from human3r_lab.synth.people.template import body_template

_HIDDEN_M = 0.03
"""Skin further than this under a hem is left out."""
_LAYER_M = 0.006
"""Least distance between layers."""


@dataclass
class Outfit:
    """Clothes as they are put on, from the inside outwards."""

    body: ClothedBody
    sole_m: float
    pieces: list[Piece] = field(default_factory=list)
    textures: list[np.ndarray] = field(default_factory=list)
    covered_m: np.ndarray = field(init=False)
    """(V,) depth under cloth behind the nearest hem; negative where bare."""
    outer_m: np.ndarray = field(init=False)
    """(V,) offset of the outermost layer."""

    def __post_init__(self) -> None:
        count = body_template().num_vertices
        self.covered_m = np.full(count, -1.0)
        self.outer_m = np.zeros(count)

    def add_texture(self, texture: np.ndarray) -> int:
        """Its number."""
        self.textures.append(texture)
        return len(self.textures) - 1

    def wear(
        self,
        covers: np.ndarray,
        offset_m: np.ndarray | float,
        texture: int,
        wrap: str,
        tiles_per_m: float = 2.0,
    ) -> None:
        """Put a shell over everything worn so far.

        Args:
            covers: (V,) positive where the cloth is, metres to its hem.
            offset_m: (V,) distance from the body, more where that is needed.
            texture: from ``add_texture``.
            wrap: how the texture goes around, one of ``garment.WRAPS``.
            tiles_per_m: of the texture.
        """
        self.wear_parts(offset_m, [(covers, texture, wrap, tiles_per_m)])

    def wear_parts(
        self,
        offset_m: np.ndarray | float,
        parts: list[tuple[np.ndarray, int, str, float]],
    ) -> None:
        """Put on one layer of several parts: what each covers, its texture, wrap and tiles."""
        over = np.where(self.covered_m > -0.03, self.outer_m + _LAYER_M, 0.0)
        offset_m = np.maximum(offset_m, over)
        for covers, texture, wrap, tiles_per_m in parts:
            cloth = Cloth(offset_m, texture, tiles_per_m, wrap)
            self.pieces.append(grow(self.body, covers, cloth))
        covers = np.maximum.reduce([part[0] for part in parts])
        self.outer_m = np.where(covers > -0.03, offset_m, self.outer_m)
        self.covered_m = np.maximum(self.covered_m, covers)

    def add(self, piece: Piece, covers: np.ndarray | None = None) -> None:
        """Put on a piece of its own form that hides skin where ``covers`` (V,) is positive."""
        self.pieces.append(piece)
        if covers is not None:
            self.covered_m = np.maximum(self.covered_m, covers)

    @property
    def hidden(self) -> np.ndarray:
        """(V,) bool: skin that is covered."""
        return self.covered_m > _HIDDEN_M
