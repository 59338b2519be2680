"""Video from a network: RTSP cameras, streams and files over HTTP, through FFmpeg."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.error import FFmpegError

from human3r.errors import InputError
from human3r.io.frame_source import Selection
from human3r.io.video import DEMUXERS, VideoSource, reason

log = logging.getLogger(__name__)

_LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "srt")
# No file: what a server sends must not make FFmpeg read this machine's files.
_PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,httpproxy,crypto,rtmp,rtmps,rtmpt,srt"
_TIMEOUT_S = 10.0


class NetworkVideoSource(VideoSource):
    """A video at an address.

    Of one that is live, the newest frame is taken, with the time of its arrival; a file is read
    from its first frame to its last, as one on disk.
    """

    def __init__(self, url: str, name: str, selection: Selection) -> None:
        """Connect, which may take seconds.

        Args:
            url: with user and password, where the camera wants them.
            name: the same as it may be shown.
            selection: which frames are wanted.

        Raises:
            InputError: no answer, or what comes is no video.
        """
        self._begin(name, name, _connected(url, name), selection)
        is_endless = self._container.duration is None and not self._stream.frames
        self._is_live = urlsplit(url).scheme.lower() in _LIVE or is_endless
        # From now on: cameras hang up on who does not read while networks are loaded.
        self._newest = _Newest(super()._items()) if self._is_live else None

    def close(self) -> None:
        if self._newest is not None:
            missed = self._newest.stop()
            if missed:
                log.info("%s: %d frames passed while others were at work", self.name, missed)
        super().close()

    def _total(self) -> int | None:
        return None if self._is_live else super()._total()

    def _items(self) -> Iterator[tuple[av.VideoFrame, int]]:
        if self._newest is None:
            yield from super()._items()
            return
        yield from self._newest

    def _report(self, count: int, broken: int, span_s: float) -> None:
        if count == 0 or not self._is_live:
            super()._report(count, broken, span_s)
        elif broken:
            log.warning("%s: %d damaged packets left out", self.name, broken)


class _Newest:
    """The newest video frame of a stream that a thread reads, with the time it arrived.

    The thread runs from the beginning, until the stream ends or ``stop``.
    """

    def __init__(self, frames: Iterator[tuple[av.VideoFrame, int]]) -> None:
        self.num_missed = 0
        self._frames = frames
        self._condition = threading.Condition()
        self._waiting: tuple[av.VideoFrame, int] | None = None
        self._has_ended = self._is_stopped = False
        self._error: Exception | None = None
        self._last_ns = 0
        self._thread = threading.Thread(target=self._read, name="human3r-video", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[tuple[av.VideoFrame, int]]:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting is not None or self._has_ended)
                taken, self._waiting = self._waiting, None
            if taken is None:
                if self._error is not None:
                    raise self._error
                return
            yield taken

    def stop(self) -> int:
        """Read no further; how many frames were not taken since the last call."""
        self._is_stopped = True
        if self._thread.is_alive():
            self._thread.join(2 * _TIMEOUT_S)
        missed, self.num_missed = self.num_missed, 0
        return missed

    def _read(self) -> None:
        try:
            for frame, _ in self._frames:
                if self._is_stopped:
                    return
                stamp_ns = max(time.time_ns(), self._last_ns + 1)
                self._last_ns = stamp_ns
                with self._condition:
                    self.num_missed += self._waiting is not None
                    self._waiting = (frame, stamp_ns)
                    self._condition.notify()
        except Exception as error:  # Raised again where the frames are used.
            self._error = error
        finally:
            with self._condition:
                self._has_ended = True
                self._condition.notify()


def _connected(url: str, name: str) -> InputContainer:
    options: dict[str, Any] = {
        "protocol_whitelist": _PROTOCOLS,
        "format_whitelist": f"{DEMUXERS},rtsp,rtp,sdp,hls,mpjpeg,live_flv,webvtt,aac,mp3",
    }
    if url.lower().startswith("rtsp"):
        # One connection, which passes firewalls and loses no packets.
        options["rtsp_transport"] = "tcp"
    try:
        return av.open(url, options=options, timeout=_TIMEOUT_S)
    except (FFmpegError, ValueError, UnicodeError, OSError) as error:
        raise InputError(
            f"{name}: cannot be opened as a video ({reason(error)}); expected a "
            "camera or server that answers with one within "
            f"{_TIMEOUT_S:g} s. Check address, user and password with a player such as VLC or "
            "ffplay."
        ) from error
