"""The clip that demonstrations play: a held-out sequence of the synthetic world, with its truth.

Made by tools/render_demo_clip.py.
"""

from pathlib import Path

from human3r.datasets import ViewTruth
from human3r.datasets.clip_truth import read_clip_truth

_FOLDER = Path(__file__).resolve().parent / "data"


def demo_clip_path() -> Path:
    """The video."""
    return _FOLDER / "demo_clip.mp4"


def demo_truth_path() -> Path:
    """The truth about it, see ``datasets.clip_truth``."""
    return _FOLDER / "demo_clip_truth.npz"


def demo_truth() -> list[ViewTruth]:
    """What is true in each frame, at a smaller size than the video's; images are black."""
    return read_clip_truth(demo_truth_path())
