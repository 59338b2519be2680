"""Human3R: people, scene and camera from one RGB stream, one forward pass per frame.

The names below are the promised ones. Those that need torch or NumPy load them on first use, so
that ``import human3r`` and the command line's help stay instant, and a process may still say how
many threads NumPy is to have.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from human3r.errors import Human3RError

if TYPE_CHECKING:
    from human3r.config import Settings
    from human3r.pipeline import Pipeline
    from human3r.run_source import run
    from human3r.streaming.session import StreamSession
    from human3r.types import (
        BodyParameters,
        Frame,
        FrameEstimate,
        ImageGeometry,
        Intrinsics,
        PersonEstimate,
        PointSet,
        TrackedPerson,
    )

__version__ = "0.1.0"

_TYPES = (
    *("BodyParameters", "Frame", "FrameEstimate", "ImageGeometry"),
    *("Intrinsics", "PersonEstimate", "PointSet"),
)
_LAZY = {
    **dict.fromkeys(_TYPES, "human3r.types"),
    "Pipeline": "human3r.pipeline",
    "Settings": "human3r.config",
    "TrackedPerson": "human3r.types",
    "run": "human3r.run_source",
    "StreamSession": "human3r.streaming.session",
}

__all__ = [
    "BodyParameters",
    "Frame",
    "FrameEstimate",
    "Human3RError",
    "ImageGeometry",
    "Intrinsics",
    "PersonEstimate",
    "Pipeline",
    "PointSet",
    "Settings",
    "StreamSession",
    "TrackedPerson",
    "run",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'human3r' has no attribute {name!r}")
