import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from human3r.errors import InputError
from human3r.io import open_source
from tests.io.media import picture, write_video

CLIPS = sorted((Path(__file__).parents[3] / "shared" / "data").glob("*.mp4"))


def read(path, **options):
    with open_source(str(path), **{"max_pixels": 10**6, **options}) as source:
        return list(source)


def test_frames_come_in_order_as_rgb(tmp_path):
    frames = read(write_video(tmp_path / "a.mp4", 5))
    assert len(frames) == 5
    for number, frame in enumerate(frames):
        assert frame.image.dtype == np.uint8
        assert np.abs(frame.image.astype(int) - picture(number)).max() <= 12


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts"])
def test_stamps_are_those_of_the_file_even_when_uneven(tmp_path, name):
    stamps_ms = [0, 40, 170, 200, 1000]
    frames = read(write_video(tmp_path / name, 5, stamps_ms=stamps_ms))
    first = frames[0].stamp_ns
    assert [frame.stamp_ns - first for frame in frames] == [ms * 10**6 for ms in stamps_ms]


def test_rate_and_count_follow_the_selection(tmp_path):
    path = write_video(tmp_path / "a.mp4", 7)
    with open_source(str(path), every=3, max_frames=2, max_pixels=10**6) as source:
        assert source.num_frames == 2
        assert source.rate_hz == pytest.approx(10 / 3)
        assert [frame.stamp_ns for frame in source] == [0, 300_000_000]


def test_pixels_that_are_not_square_are_made_square(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.sample_aspect_ratio = Fraction(4, 3)
        image = av.VideoFrame.from_ndarray(picture(0), format="rgb24")
        out.mux(stream.encode(image))
        out.mux(stream.encode(None))
    (frame,) = read(path)
    assert frame.image.shape == (48, 85, 3)
    with open_source(path, max_side_px=40) as source:
        assert next(iter(source)).image.shape[1] == 40


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_a_turned_video_is_delivered_upright(tmp_path, degrees, turns):
    (frame,) = read(write_video(tmp_path / "a.mp4", 2, rotation=degrees), max_frames=1)
    expected = np.rot90(picture(0), turns)
    assert frame.image.shape == expected.shape
    assert np.abs(frame.image.astype(int) - expected).mean() < 6


def test_a_name_with_a_colon_is_a_file_name(tmp_path):
    assert len(read(write_video(tmp_path / "a:b.mp4", 2, container="mp4"))) == 2


@pytest.mark.parametrize("content", [b"", b"no video", b"\x00" * 5000])
def test_an_unreadable_video_is_refused(tmp_path, content):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.mp4.*expected"):
        read(path)


def test_a_video_without_its_index_is_refused(tmp_path):
    path = write_video(tmp_path / "a.mp4", 20)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InputError, match="cannot be opened"):
        read(path)


def test_a_truncated_video_delivers_what_is_whole_and_says_so(tmp_path, caplog):
    path = write_video(tmp_path / "a.mkv", 40)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with caplog.at_level(logging.WARNING):
        frames = read(path)
    assert 10 < len(frames) < 40
    assert "cut off" in caplog.text


def test_a_play_list_cannot_open_other_files(tmp_path):
    write_video(tmp_path / "secret.ts", 2)
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError, match="is a text file"):
        read(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"notes\n" * 20, "is a text file; expected a video"),
        (b"", "is an empty file"),
        (b"\x89MCAP0\r\n" + bytes(40), r"is a bag; .* end in .mcap"),
        (b"\x00\x01\x02" * 50, "cannot be opened as a video"),
    ],
)
def test_what_is_named_as_a_video_and_is_none_is_called_what_it_is(tmp_path, content, what):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=what):
        read(path)


def test_a_sound_file_is_refused(tmp_path):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video stream"):
        read(path)


def test_an_absurdly_large_video_is_refused_before_decoding(tmp_path):
    with pytest.raises(InputError, match=r"64x48 is 3072 pixels.*input\.max_pixels"):
        read(write_video(tmp_path / "a.mp4", 2), max_pixels=3000)


@pytest.mark.parametrize("options", [{"every": 0}, {"max_frames": -1}, {"max_pixels": 0}])
def test_a_senseless_selection_is_refused(tmp_path, options):
    with pytest.raises(InputError, match="expected"):
        read(write_video(tmp_path / "a.mp4", 1), **options)


@pytest.mark.skipif(not CLIPS, reason="the clips of real people are not beside the repository")
@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
def test_real_clips_are_read(path):
    frames = read(path, max_frames=5)
    assert len(frames) == 5
    assert all(frame.image.std() > 20 for frame in frames)
    assert np.ptp(np.diff([frame.stamp_ns for frame in frames])) <= 1
