"""The overlay of a run as a video, or as a picture where there is one frame only."""

import time
from collections.abc import Callable
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
_PAUSE_NS = 100_000_000
"""Between two sessions, and of a pause that is longer than the longest."""
_LONGEST_PAUSE_NS = 60 * 10**9
"""A clock that is set while the camera runs leaps by years, which no video can hold."""


class OverlayFiles:
    """``overlay.mp4``, or ``overlay.png`` when only one frame came, in a folder."""

    def __init__(
        self,
        folder: Path,
        faces: np.ndarray,
        note: str = "",
        *,
        side_px: int | None = None,
        rate_hz: float | None = None,
        number_of: Callable[[Frame], int] | None = None,
    ) -> None:
        """Begin an overlay.

        Args:
            folder: where the file goes.
            faces: triangles of the body mesh.
            note: words on every frame, for example that the weights are untrained.
            side_px: longer side of the pictures; None: as the images, 1280 at most.
            rate_hz: frames per second to show; None: as fast as frames come here.
            number_of: the number to show of a frame; None: its number here.
        """
        self._side_px = side_px
        self._fixed_rate_hz = rate_hz
        self._number_of = number_of
        self._folder = folder
        self._faces = faces
        self._note = note
        self._video = VideoFile(folder / "overlay.mp4")
        self._only: np.ndarray | None = None
        self._size_px: tuple[int, int] | None = None
        self._shift_ns = self._last_ns = 0
        self._clock_s = 0.0
        self._period_s: float | None = None

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        number = self._number_of(frame) if self._number_of else self._video.count
        caption = Caption(number, self._fixed_rate_hz or self._rate_hz(), self._note)
        image = draw_overlay(
            _sized(frame.image, self._side_px),
            estimate,
            self._faces,
            caption=caption,
            camera=frame.intrinsics,
        )
        self._only = image if self._video.count == 0 else None
        if self._size_px is None:
            self._size_px = image.shape[1], image.shape[0]
        self._video.add(_fitted(image, self._size_px), self._media_ns(frame))

    def _media_ns(self, frame: Frame) -> int:
        """Time in the video, which goes on where the clock of the source was set."""
        is_leap = frame.stamp_ns + self._shift_ns - self._last_ns > _LONGEST_PAUSE_NS
        if frame.begins_session or (is_leap and self._video.count):
            self._shift_ns = self._last_ns + _PAUSE_NS - frame.stamp_ns
        self._last_ns = frame.stamp_ns + self._shift_ns
        return self._last_ns

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


def _fitted(image: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """The image in the middle of one of this width and height: a video has one size."""
    if (image.shape[1], image.shape[0]) == size_px:
        return image
    scale = min(size_px[0] / image.shape[1], size_px[1] / image.shape[0])
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    whole = np.zeros((size_px[1], size_px[0], 3), np.uint8)
    left, top = (size_px[0] - size[0]) // 2, (size_px[1] - size[1]) // 2
    whole[top : top + size[1], left : left + size[0]] = cv2.resize(image, size)
    return whole


def _sized(image: np.ndarray, side_px: int | None) -> np.ndarray:
    height, width = image.shape[:2]
    scale = (side_px or min(_MAX_SIDE_PX, max(height, width))) / max(height, width)
    if scale == 1:
        return image
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
