"""Small pictures of a result's frames, for pages and recordings."""

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

IMAGE_WIDTH_PX = 256
MAX_IMAGES = 3000
"""Of one recording that are kept."""


def frame_images(folder: Path, num_frames: int) -> dict[int, np.ndarray]:
    """Small pictures of the frames out of ``overlay.mp4``; none where a run saved no such video."""
    video = folder / "overlay.mp4"
    if not video.is_file():
        return {}
    step = max(1, -(-num_frames // MAX_IMAGES))
    return {number: image for number, image in _decoded(video) if number % step == 0}


def _decoded(video: Path) -> Iterator[tuple[int, np.ndarray]]:
    with av.open(str(video)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            yield number, small_image(frame.to_ndarray(format="rgb24"))


def small_image(image: np.ndarray) -> np.ndarray:
    """An image (height, width, 3) reduced to the width of those on pages; a small one as it is."""
    height, width = image.shape[:2]
    if width <= IMAGE_WIDTH_PX:
        return image
    size = (IMAGE_WIDTH_PX, max(1, round(IMAGE_WIDTH_PX * height / width)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
