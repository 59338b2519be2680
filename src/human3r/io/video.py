"""Video files, decoded one after the other with their true time stamps."""

import logging
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError

from human3r.errors import InputError
from human3r.file_kind import BAGS, kind_of, refuse_other_kinds
from human3r.io.frame_source import FrameSource, Reduction, Selection
from human3r.types import Frame, check_image_size

log = logging.getLogger(__name__)

_DEFAULT_RATE_HZ = 30
# Play lists and concat scripts are left out on purpose: they make FFmpeg open other files.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,ogg,asf,flv,"
    "gif,mjpeg,ivf,mxf,yuv4mpegpipe,nut,obu,av1,vc1,wtv,rm,dv,swf,3g2,apng"
)
_MAX_PIXEL_ASPECT = 4.0
"""Width of a pixel over its height beyond which a file is not believed."""


class VideoSource(FrameSource):
    """One video file; the first video stream of it."""

    def __init__(self, path: Path, selection: Selection) -> None:
        self._begin(path.name, str(path), self._open(path), selection)

    def _open(self, path: Path) -> InputContainer:
        try:
            # The prefix keeps FFmpeg from reading a protocol out of a name such as "a:b.mp4".
            return av.open(
                f"file:{path}",
                options={"protocol_whitelist": "file", "format_whitelist": DEMUXERS},
            )
        except (FFmpegError, ValueError, UnicodeError) as error:
            _refuse_other_kinds(path)
            raise InputError(
                f"{path}: cannot be opened as a video ({reason(error)}); expected a complete "
                "file such as MP4, MKV, WebM or AVI. Check it with a player."
            ) from error

    def _begin(self, name: str, what: str, container: InputContainer, selection: Selection) -> None:
        super().__init__(name, selection)
        self._reduction = Reduction(selection, name)
        self._container = container
        try:
            self._stream = self._check_stream(what)
        except InputError:
            self._container.close()
            raise
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._nominal_hz = float(rate or _DEFAULT_RATE_HZ)
        self.rate_hz = self._nominal_hz / selection.every

    def close(self) -> None:
        self._container.close()

    def _check_stream(self, what: str) -> av.VideoStream:
        if not self._container.streams.video:
            raise InputError(
                f"{what}: has no video stream; expected one. Is it a sound file or a play list?"
            )
        stream = self._container.streams.video[0]
        if stream.codec_context is None:
            raise InputError(
                f"{what}: no decoder for its video codec; expected a common one such as H.264. "
                "Convert the file."
            )
        check_image_size(stream.width, stream.height, self.selection.max_pixels, what)
        stream.thread_type = "AUTO"
        return stream

    def _total(self) -> int | None:
        return self._stream.frames or None

    def _items(self) -> Iterator[tuple[av.VideoFrame, int]]:
        """Decoded frames with their stamps; ends early where the file does."""
        count = broken = 0
        clock = _VideoClock(self._nominal_hz)
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else None
            except (FFmpegError, ValueError) as error:
                broken += 1
                if broken > 1000:
                    break
                log.debug("%s: %s", self.name, error)
                continue
            if frames is None:
                break
            for frame in frames:
                yield frame, clock.stamp_ns(frame)
                count += 1
        self._report(count, broken, clock.span_s())

    def _report(self, count: int, broken: int, span_s: float) -> None:
        if count == 0:
            raise InputError(
                f"{self.name}: not a single frame could be decoded; expected at least one. "
                "The file is damaged or empty; check it with a player."
            )
        announced = self._stream.frames
        # Sound may go on a little after the last picture, hence the second of tolerance.
        missing_s = (self._container.duration or 0) / av.time_base - span_s
        if broken or count < announced or missing_s > 1.0:
            log.warning(
                "%s: damaged or cut off: %d frames read%s; going on with those",
                self.name,
                count,
                f" of {announced} announced" if announced else "",
            )

    def _decode(self, item: tuple[av.VideoFrame, int], number: int) -> Frame:
        picture, stamp_ns = item
        check_image_size(
            picture.width, picture.height, self.selection.max_pixels, f"{self.name}: frame {number}"
        )
        width, height = self._reduction.size(*self._square_size(picture))
        image = picture.to_ndarray(format="rgb24", width=width, height=height)
        return Frame(_turned(image, picture.rotation), stamp_ns)

    def _square_size(self, picture: av.VideoFrame) -> tuple[int, int]:
        """Width and height with square pixels, as a player shows the picture."""
        ratio = float(self._stream.sample_aspect_ratio or 1)
        if ratio == 1 or not 1 / _MAX_PIXEL_ASPECT < ratio < _MAX_PIXEL_ASPECT:
            return picture.width, picture.height
        return max(1, round(picture.width * ratio)), picture.height


def _refuse_other_kinds(path: Path) -> None:
    """Say what a file that cannot be opened as a video is, where that can be told."""
    kind = kind_of(path)
    if kind is not None and kind.name in BAGS:
        raise InputError(
            f"{path}: is {kind.what}; expected a name that says so. Let it end in .mcap, .db3 or "
            ".bag, as it was recorded."
        )
    expected = "a video such as MP4, MKV, WebM or AVI, an image, a folder of images or a bag"
    refuse_other_kinds(path, ("video", "picture"), expected, InputError)


class _VideoClock:
    """Presentation times in nanoseconds, from 0 upwards even where a file starts below."""

    def __init__(self, nominal_hz: float) -> None:
        self._period_ns = round(1e9 / nominal_hz)
        self._shift_ns = 0
        self._first_ns: int | None = None
        self._last_ns: int | None = None

    def stamp_ns(self, frame: av.VideoFrame) -> int:
        if frame.pts is None or frame.time_base is None:
            stamp_ns = 0 if self._last_ns is None else self._last_ns + self._period_ns
        else:
            base = frame.time_base
            stamp_ns = round(frame.pts * base.numerator * 1_000_000_000 / base.denominator)
            if self._last_ns is None:
                self._shift_ns = max(0, -stamp_ns)
            stamp_ns += self._shift_ns
        if self._first_ns is None:
            self._first_ns = stamp_ns
        self._last_ns = stamp_ns
        return stamp_ns

    def span_s(self) -> float:
        """From the start of the first frame to the end of the last."""
        if self._first_ns is None or self._last_ns is None:
            return 0.0
        return (self._last_ns - self._first_ns + self._period_ns) / 1e9


def _turned(image: np.ndarray, rotation_deg: float) -> np.ndarray:
    """The image as a player shows it; the file says how far to turn it counter-clockwise."""
    quarter_turns = round(rotation_deg / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image


def reason(error: Exception) -> str:
    """What FFmpeg says about a failure."""
    return getattr(error, "strerror", None) or str(error)
