"""What there is to see of several cameras at one moment: for pages and other views."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from human3r.multiview.fuser import FusedPerson
from human3r.types import FrameEstimate, Intrinsics


@dataclass(frozen=True)
class CameraSight:
    """One of several cameras at one moment."""

    name: str
    world_from_camera: Float[np.ndarray, "4 4"]
    """In the world that all cameras share, whose z is up."""
    lens: Intrinsics
    image: np.ndarray | None = None
    """(height, width, 3) uint8, which must not change any more; None: the one before stays."""
    estimate: FrameEstimate | None = None
    """What it knows by itself; its scene is shown."""
    age: str = "?"
    residual: str = "?"
    is_silent: bool = False
    trouble: str = ""
    """What is wrong with it in a sentence; empty while nothing is."""


@dataclass(frozen=True)
class RigSight:
    """One moment of several cameras."""

    stamp_ns: int
    people: Sequence[FusedPerson]
    cameras: Sequence[CameraSight]
    """At least one."""
