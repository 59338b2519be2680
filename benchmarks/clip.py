"""The demonstration's clip at other sizes and rates, for measuring."""

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

from human3r.demo_clip import demo_clip_path
from human3r.io import open_source
from human3r.viewer.video_file import VideoFile


def clip_images(width_px: int, height_px: int) -> Iterator[np.ndarray]:
    """Its frames, (height, width, 3) uint8 RGB each."""
    with open_source(str(demo_clip_path())) as source:
        for frame in source:
            yield cv2.resize(frame.image, (width_px, height_px), interpolation=cv2.INTER_LINEAR)


def write_clip(
    path: Path, *, width_px: int, height_px: int, rate_hz: int, duration_s: float
) -> Path:
    """A video of its frames, over and over."""
    images = cycle(list(clip_images(width_px, height_px)))
    video = VideoFile(path)
    for number, image in enumerate(islice(images, round(rate_hz * duration_s))):
        video.add(image, round(number * 1e9 / rate_hz))
    video.finish()
    return path
