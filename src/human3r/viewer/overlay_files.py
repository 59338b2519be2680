"""The overlay of a run as a video, or as a picture where there is one frame only."""

import time
from pathlib import Path

import cv2
import numpy as np

from human3r.atomic import whole_file
from human3r.types import Frame, FrameEstimate
from human3r.viewer.overlay import Caption, draw_overlay
from human3r.viewer.video_file import VideoFile

_MAX_SIDE_PX = 1280
_RATE_SHARE = 0.1
"""Weight of the newest frame in the running mean of the rate."""


class OverlayFiles:
    """``overlay.mp4``, or ``overlay.png`` when only one frame came, in a folder."""

    def __init__(self, folder: Path, faces: np.ndarray, note: str = "") -> None:
        """Begin an overlay.

        Args:
            folder: where the file goes.
            faces: triangles of the body mesh.
            note: words on every frame, for example that the weights are untrained.
        """
        self._folder = folder
        self._faces = faces
        self._note = note
        self._video = VideoFile(folder / "overlay.mp4")
        self._only: np.ndarray | None = None
        self._clock_s = 0.0
        self._period_s: float | None = None

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        caption = Caption(self._video.count, self._rate_hz(), self._note)
        image = draw_overlay(
            _reduced(frame.image),
            estimate,
            self._faces,
            caption=caption,
            camera=frame.intrinsics,
        )
        self._only = image if self._video.count == 0 else None
        self._video.add(image, estimate.stamp_ns)

    def finish(self) -> None:
        if self._only is None:
            self._video.finish()
            return
        self._video.abort()
        write_png(self._folder / "overlay.png", self._only)

    def abort(self) -> None:
        self._video.abort()

    def _rate_hz(self) -> float | None:
        now_s = time.perf_counter()
        if self._clock_s:
            period_s = now_s - self._clock_s
            before_s = self._period_s or period_s
            self._period_s = before_s + _RATE_SHARE * (period_s - before_s)
        self._clock_s = now_s
        return 1 / self._period_s if self._period_s else None


def write_png(path: Path, image: np.ndarray) -> None:
    """An RGB image (height, width, 3) uint8 as a PNG file.

    Raises:
        OutputError: it cannot be written.
    """
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    with whole_file(path) as file:
        file.write(encoded.tobytes())


def _reduced(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    scale = _MAX_SIDE_PX / max(height, width)
    if scale >= 1:
        return image
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
