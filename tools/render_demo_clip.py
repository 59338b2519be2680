"""Renders the clip of `make demo` and its truth: a sequence of the test split, never trained on.

Run: python tools/render_demo_clip.py --seed 2 --out src/human3r/data
"""

import argparse
from pathlib import Path

from human3r_lab.datasets import ViewTruth
from human3r_lab.datasets.clip_truth import write_clip_truth
from human3r_lab.synth.generator import render_sequence

from human3r.viewer.video_file import VideoFile

RATE_HZ, SECONDS = 10, 10
WIDTH_PX, HEIGHT_PX = 640, 480
TRUTH_WIDTH_PX, TRUTH_HEIGHT_PX = 112, 84


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--difficulty", default="easy")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    common = {
        "split": "test",
        "difficulty": options.difficulty,
        "frames": RATE_HZ * SECONDS,
        "rate_hz": RATE_HZ,
    }
    large = list(render_sequence(options.seed, **common, width_px=WIDTH_PX, height_px=HEIGHT_PX))
    small = list(
        render_sequence(options.seed, **common, width_px=TRUTH_WIDTH_PX, height_px=TRUTH_HEIGHT_PX)
    )
    options.out.mkdir(parents=True, exist_ok=True)
    write_video(options.out / "demo_clip.mp4", large)
    write_clip_truth(options.out / "demo_clip_truth.npz", small)


def write_video(path: Path, views: list[ViewTruth]) -> None:
    """The images of the views as H.264."""
    video = VideoFile(path)
    for view in views:
        video.add(view.image, view.stamp_ns)
    video.finish()


if __name__ == "__main__":
    main()
