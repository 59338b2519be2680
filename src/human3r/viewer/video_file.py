"""An H.264 video that appears under its name when it is complete."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from human3r.atomic import output_errors, part_path
from human3r.errors import OutputError

_TICKS_PER_S = 1000
_ENCODERS = ("libx264", "libopenh264", "mpeg4")


class VideoFile:
    """Frames with their stamps; a pause in the source is a pause in the video.

    Any player shows it: H.264, yuv420p, even sides, index at the front.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first_ns = 0
        self._last_tick = -1
        self.count = 0
        """Frames written so far."""
        with output_errors(path):
            try:
                self._container = av.open(
                    f"file:{part_path(path)}",
                    "w",
                    format="mp4",
                    options={"movflags": "+faststart"},
                )
            except FFmpegError as error:
                raise self._cannot_write(error) from error
        self._stream: av.VideoStream | None = None

    def add(self, image: np.ndarray, stamp_ns: int) -> None:
        """One more RGB frame (height, width, 3) uint8; all of one size.

        Raises:
            OutputError: the disk or the encoder refuses.
        """
        # Chroma is stored at half the size, which an odd side does not have.
        if min(image.shape[:2]) < 2:
            image = image.repeat(2, 0).repeat(2, 1)
        image = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        try:
            if self._stream is None:
                self._first_ns = stamp_ns
                self._stream = self._add_stream(image.shape[1], image.shape[0])
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            tick = round((stamp_ns - self._first_ns) * _TICKS_PER_S / 1e9)
            self._last_tick = max(tick, self._last_tick + 1)
            picture.pts, picture.time_base = self._last_tick, Fraction(1, _TICKS_PER_S)
            self._container.mux(self._stream.encode(picture))
        except (FFmpegError, OSError, ValueError) as error:
            raise self._cannot_write(error) from error
        self.count += 1

    def finish(self) -> None:
        """Complete the file and give it its name; nothing appears when no frame came.

        Raises:
            OutputError: the disk refuses.
        """
        if self._stream is None:
            self.abort()
            return
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            part_path(self._path).replace(self._path)
        except (FFmpegError, OSError) as error:
            self.abort()
            raise self._cannot_write(error) from error

    def abort(self) -> None:
        """Leave nothing behind; does nothing after ``finish``."""
        with suppress(FFmpegError, OSError, ValueError):
            self._container.close()
        with suppress(OSError):
            part_path(self._path).unlink(missing_ok=True)

    def _add_stream(self, width_px: int, height_px: int) -> av.VideoStream:
        encoder = next((name for name in _ENCODERS if name in av.codecs_available), None)
        if encoder is None:
            raise OutputError(
                f"{self._path}: this build of PyAV has none of the encoders "
                f"{', '.join(_ENCODERS)}; expected one. Install PyAV from its official wheel."
            )
        options = {"crf": "21", "preset": "veryfast"} if encoder == "libx264" else {}
        stream = self._container.add_stream(encoder, rate=30, options=options)
        assert isinstance(stream, av.VideoStream), "these encoders are of videos"
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)
        if encoder != "libx264":
            stream.bit_rate = 6 * width_px * height_px
        return stream

    def _cannot_write(self, error: Exception) -> OutputError:
        return OutputError(
            f"{self._path}: the video cannot be written ({error}); expected a writable disk with "
            "space. Free some space or write elsewhere."
        )
