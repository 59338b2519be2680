"""A camera at this machine, through OpenCV."""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from human3r.errors import InputError
from human3r.io.frame_source import FrameSource, Selection
from human3r.types import Frame, check_image_size


class CameraSource(FrameSource):
    """Frames as the camera delivers them, stamped with the time of their arrival."""

    def __init__(self, spec: str, selection: Selection) -> None:
        super().__init__(f"camera {spec}", selection)
        device = int(spec.removeprefix("/dev/video"))
        found = sorted(str(path) for path in Path("/dev").glob("video*"))
        if Path("/dev").is_dir() and f"/dev/video{device}" not in found and _is_linux():
            raise InputError(
                f"{self.name}: not there; this machine has {', '.join(found) or 'no camera'}. "
                "Plug it in, or name another."
            )
        self._capture = cv2.VideoCapture(device)
        if not self._capture.isOpened():
            self._capture.release()
            raise InputError(
                f"{self.name}: cannot be opened; expected a free video device. Close other "
                "programs that use it, and check your rights (group video)."
            )
        # The newest picture matters, not a queue of old ones.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        rate_hz = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate_hz = rate_hz / selection.every if 0 < rate_hz < 1000 else None

    def close(self) -> None:
        self._capture.release()

    def _items(self) -> Iterator[tuple[np.ndarray, int]]:
        while True:
            arrived, image = self._capture.read()
            stamp_ns = time.time_ns()
            if not arrived:
                return
            yield image, stamp_ns

    def _decode(self, item: tuple[np.ndarray, int], number: int) -> Frame:
        image, stamp_ns = item
        check_image_size(
            image.shape[1],
            image.shape[0],
            self.selection.max_pixels,
            f"{self.name}: frame {number}",
        )
        return Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), stamp_ns)


def _is_linux() -> bool:
    return Path("/proc/version").exists()
