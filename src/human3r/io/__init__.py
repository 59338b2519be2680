"""Frames in, results out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from human3r.camera.given_camera import read_intrinsics
    from human3r.io.results import ResultFolder
    from human3r.io.sources import FrameSource, open_source

_LAZY = {
    "FrameSource": "human3r.io.sources",
    "ResultFolder": "human3r.io.results",
    "open_source": "human3r.io.sources",
    "read_intrinsics": "human3r.camera.given_camera",
}

__all__ = ["FrameSource", "ResultFolder", "open_source", "read_intrinsics"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'human3r.io' has no attribute {name!r}")
