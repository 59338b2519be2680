"""What the readers of published datasets give: images with the truth that the dataset has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from human3r.types import Intrinsics


@dataclass(frozen=True)
class RecordedPerson:
    """One annotated person as parameters of a licensed body model, in the world frame."""

    person_id: int
    """From 1, stable over the sequence."""
    model: str
    """smpl or smplx."""
    gender: str
    """male, female or neutral."""
    rotation_vectors: np.ndarray
    """(joints, 3) radians, root first, child in parent: 24 joints of SMPL, 22 of SMPL-X."""
    betas: np.ndarray
    """(shapes,) coefficients."""
    translation_m: np.ndarray
    """(3,) as the body model takes it: added to every posed vertex."""


@dataclass(frozen=True)
class RecordedView:
    """One image; what is None is unknown."""

    image: np.ndarray
    """(height, width, 3) uint8, RGB."""
    stamp_ns: int
    intrinsics: Intrinsics | None = None
    depth_m: np.ndarray | None = None
    """(height, width) float32, 0 where there is none."""
    world_from_camera: np.ndarray | None = None
    """(4, 4) float64."""
    people: tuple[RecordedPerson, ...] | None = None


@dataclass(frozen=True)
class RecordedSequence:
    """A sequence of a dataset; images are read when asked for."""

    name: str
    items: Sequence[Any]
    """One per frame, whatever ``read`` needs."""
    read: Callable[[Any], RecordedView]
    """Raises InputError for a damaged frame."""

    def __len__(self) -> int:
        return len(self.items)

    def view(self, index: int) -> RecordedView:
        """One frame.

        Raises:
            InputError: missing or damaged.
        """
        return self.read(self.items[index])
