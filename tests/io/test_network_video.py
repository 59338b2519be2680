"""Videos over a network, from servers of this process."""

import contextlib
import itertools
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from human3r.errors import InputError
from human3r.io import open_source
from human3r.io.sources import without_password
from tests.io.media import write_video
from tests.io.rtsp_camera import RtspCamera


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def copyfile(self, *arguments):
        # FFmpeg hangs up when it has what it wants.
        with contextlib.suppress(OSError):
            super().copyfile(*arguments)


@pytest.fixture
def site(tmp_path):
    """Address of a server of the files in ``tmp_path``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_file_behind_an_address_is_read_as_one_on_disk(tmp_path, site):
    path = write_video(tmp_path / "clip.mp4", 12, size=(64, 48))
    with open_source(path) as here, open_source(f"{site}/clip.mp4") as there:
        assert there.num_frames == here.num_frames == 12
        for ours, theirs in zip(here, there, strict=True):
            assert ours.stamp_ns == theirs.stamp_ns
            np.testing.assert_array_equal(ours.image, theirs.image)


def test_a_camera_is_read_with_the_time_of_arrival_and_only_its_newest_frame(caplog):
    before_ns = time.time_ns()
    with RtspCamera() as camera, open_source(camera.url, max_frames=4) as source:
        assert source.num_frames is None or source.num_frames <= 4
        frames = []
        for frame in source:
            frames.append(frame)
            time.sleep(0.3)
        assert "TCP" in camera.transport
    stamps_ns = [frame.stamp_ns for frame in frames]
    assert before_ns < stamps_ns[0]
    assert all(a < b for a, b in itertools.pairwise(stamps_ns))
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    # It sends brighter and brighter images; six or so pass while one is in use.
    steps = np.diff([float(frame.image.mean()) for frame in frames])
    assert (steps > 1.5).all()
    assert "secret" not in caplog.text
    assert "secret" not in source.name


def test_a_camera_that_goes_away_ends_the_stream(caplog):
    with RtspCamera(num_frames=15) as camera, open_source(camera.url) as source:
        assert len(list(source)) >= 1


@pytest.mark.parametrize("address", ["{}/nothing.mp4", "rtsp://127.0.0.1:9/x", "{}/notes.txt"])
def test_what_is_no_video_is_said_without_the_password(tmp_path, site, address):
    (tmp_path / "notes.txt").write_text("no video")
    address = address.format(site).replace("://", "://me:secret@")
    with pytest.raises(InputError, match="cannot be opened as a video") as caught:
        open_source(address)
    assert "secret" not in str(caught.value)


def test_a_play_list_does_not_open_files_of_this_machine(tmp_path, site):
    path = write_video(tmp_path / "clip.ts", 12, size=(64, 48))
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{path}\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(InputError):
        with open_source(f"{site}/list.m3u8") as source:
            list(source)


def test_addresses_are_shown_without_what_is_secret():
    assert without_password("rtsp://me:pw@host:554/a?token=1") == "rtsp://host:554/a"
