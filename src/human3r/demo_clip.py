"""The clip that demonstrations play: a held-out sequence of the synthetic world.

Made by tools/render_demo_clip.py; ``human3r_lab.clip_errors`` has the truth about it.
"""

from pathlib import Path

from human3r.types import Intrinsics

_FOLDER = Path(__file__).resolve().parent / "data"

DEMO_CLIP_CAMERA = Intrinsics(484.3319490828541, 484.3319490828541, 319.5, 239.5, 640, 480)
"""The camera that drew it."""


def demo_clip_path() -> Path:
    """The video."""
    return _FOLDER / "demo_clip.mp4"
