"""Pictures of results: overlays on the image, and the scene seen from outside."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from human3r.viewer.colors import colorize_depth, person_color
    from human3r.viewer.overlay import Caption, draw_overlay
    from human3r.viewer.render import Body, View, render_view
    from human3r.viewer.video_file import VideoFile

_LAZY = {
    "Body": "human3r.viewer.render",
    "Caption": "human3r.viewer.overlay",
    "VideoFile": "human3r.viewer.video_file",
    "View": "human3r.viewer.render",
    "colorize_depth": "human3r.viewer.colors",
    "draw_overlay": "human3r.viewer.overlay",
    "person_color": "human3r.viewer.colors",
    "render_view": "human3r.viewer.render",
}

__all__ = [
    "Body",
    "Caption",
    "VideoFile",
    "View",
    "colorize_depth",
    "draw_overlay",
    "person_color",
    "render_view",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'human3r.viewer' has no attribute {name!r}")
