"""Human3R: people, scene and camera from one RGB stream, one forward pass per frame.

The names below are the promised ones. Those that need torch load it on first use, so that
``import human3r`` and the command line's help stay instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from human3r.errors import Human3RError
from human3r.types import (
    BodyParameters,
    Frame,
    FrameEstimate,
    ImageGeometry,
    Intrinsics,
    PersonEstimate,
    PointSet,
)

if TYPE_CHECKING:
    from human3r.config import Settings
    from human3r.pipeline import Pipeline
    from human3r.streaming.session import StreamSession

__version__ = "0.1.0"

_LAZY = {
    "Pipeline": "human3r.pipeline",
    "Settings": "human3r.config",
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
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'human3r' has no attribute {name!r}")
