"""A camera that speaks RTSP, as far as a player needs it: FFmpeg makes the RTP packets."""

import contextlib
import re
import socket
import threading
import time
from fractions import Fraction

import av
import numpy as np

_DESCRIPTION = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
    "a=control:track\r\n"
)


class RtspCamera:
    """Sends moving grey images of 64x48 to whoever asks, over the connection itself (TCP)."""

    def __init__(self, rate_hz: int = 20, num_frames: int = 200) -> None:
        self._rate_hz, self._num_frames = rate_hz, num_frames
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://user:secret@127.0.0.1:{self._server.getsockname()[1]}/stream"
        self.transport = ""
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "RtspCamera":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._server.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._server.accept()
            with connection:
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        lines = connection.makefile("rb")
        while True:
            request = []
            while (line := lines.readline().decode()).strip():
                request.append(line.strip())
            if not request:
                return
            method = request[0].split()[0]
            number = next(r.split(":")[1].strip() for r in request if r.startswith("CSeq"))
            head, body = f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 1\r\n", ""
            if method == "OPTIONS":
                head += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            if method == "DESCRIBE":
                body = _DESCRIPTION
                head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            if method == "SETUP":
                self.transport = next(r for r in request if r.startswith("Transport"))
                channels = re.search(r"interleaved=\d+-\d+", self.transport)
                head += f"Transport: RTP/AVP/TCP;unicast;{channels[0]}\r\n"
            connection.sendall(f"{head}\r\n{body}".encode())
            if method == "PLAY":
                self._play(connection)
                return

    def _play(self, connection: socket.socket) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
            packets.bind(("127.0.0.1", 0))
            packets.settimeout(0.05)
            place = f"rtp://127.0.0.1:{packets.getsockname()[1]}?pkt_size=1200"
            with av.open(place, "w", format="rtp") as sink:
                stream = _encoder(sink, self._rate_hz)
                for number in range(self._num_frames):
                    image = np.full((48, 64, 3), 20 + number % 200, np.uint8)
                    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                    frame.pts = number
                    sink.mux(stream.encode(frame))
                    while (packet := _received(packets)) is not None:
                        connection.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)
                    if self._is_over.wait(1 / self._rate_hz):
                        return
        time.sleep(0.1)


def _encoder(sink: av.container.OutputContainer, rate_hz: int) -> av.VideoStream:
    options = {"tune": "zerolatency", "x264-params": "repeat-headers=1:keyint=5"}
    stream = sink.add_stream("libx264", rate=rate_hz, options=options)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.codec_context.time_base = Fraction(1, rate_hz)
    return stream


def _received(packets: socket.socket) -> bytes | None:
    try:
        return packets.recv(65536)
    except TimeoutError:
        return None
