import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from human3r.camera.given_camera import LensAngle
from human3r.errors import InputError
from human3r.io import open_source
from human3r.types import Intrinsics
from tests.io.media import picture, write_images


def read(path, **options):
    with open_source(str(path), **{"max_pixels": 10**6, **options}) as source:
        return list(source)


def test_images_come_in_natural_order_at_ten_hertz(tmp_path):
    frames = read(write_images(tmp_path / "f", 12))
    assert [frame.stamp_ns for frame in frames] == [n * 100_000_000 for n in range(12)]
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(number))


def test_every_kind_of_image_is_read(tmp_path):
    for suffix in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm"):
        frame = read(write_images(tmp_path / suffix[1:], 1, suffix=suffix))[0]
        assert np.abs(frame.image.astype(int) - picture(0)).mean() < 12, suffix


def test_a_single_image_is_one_frame(tmp_path):
    path = write_images(tmp_path / "f", 1) / "frame0.png"
    with open_source(str(path), max_pixels=10**6) as source:
        assert source.num_frames == 1
        assert len(list(source)) == 1


def test_grey_palette_and_transparent_images_become_rgb(tmp_path):
    image = Image.fromarray(picture(3))
    for number, mode in enumerate(("L", "P", "RGBA", "1")):
        image.convert(mode).save(tmp_path / f"{number}.png")
    assert {frame.image.shape for frame in read(tmp_path)} == {(48, 64, 3)}


def test_exif_orientation_is_obeyed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to view
    Image.fromarray(picture(0)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path)[0].image, np.rot90(picture(0), -1))


def test_a_stamps_file_gives_exact_times(tmp_path):
    folder = write_images(tmp_path / "f", 3)
    (folder / "stamps.txt").write_text(
        "# s\n1700000000.123456789\n1700000000.2 x.png\n1700000001\n"
    )
    assert [frame.stamp_ns for frame in read(folder)] == [
        1700000000123456789,
        1700000000200000000,
        1700000001000000000,
    ]


@pytest.mark.parametrize(
    ("names", "stamps_ns"),
    [
        (
            ["1403636579763555584", "1403636579813555456"],
            [1403636579763555584, 1403636579813555456],
        ),
        (["1305031102.175304", "1305031102.211214"], [1305031102175304000, 1305031102211214000]),
        (["000001", "000002"], [0, 100_000_000]),
    ],
)
def test_names_that_are_times_are_stamps(tmp_path, names, stamps_ns):
    for name in names:
        Image.fromarray(picture(0)).save(tmp_path / f"{name}.png")
    assert [frame.stamp_ns for frame in read(tmp_path)] == stamps_ns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1\n2\n", "2 stamps for 3 images"),
        ("1\n3\n2\n", "strictly increasing"),
        ("1\ntwo\n3\n", "line 2"),
        ("1\nnan\n3\n", "line 2"),
        ("1\n1e999999999\n3\n", "line 2"),
        ("-1\n2\n3\n", "line 1"),
        ("\xff", "text|line 1"),
    ],
)
def test_a_bad_stamps_file_is_refused(tmp_path, text, reason):
    folder = write_images(tmp_path / "f", 3)
    (folder / "stamps.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=reason):
        read(folder)


def test_every_and_max_frames_choose(tmp_path):
    folder = write_images(tmp_path / "f", 9)
    stamps_ns = [frame.stamp_ns for frame in read(folder, every=4)]
    assert stamps_ns == [0, 400_000_000, 800_000_000]
    assert len(read(folder, max_frames=2)) == 2


def test_an_image_left_out_is_not_even_opened(tmp_path):
    folder = write_images(tmp_path / "f", 4)
    (folder / "frame1.png").write_bytes(b"broken")
    assert len(read(folder, every=2)) == 2


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="no image in this folder"):
        read(tmp_path)


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "nothing.mp4")


def test_another_size_that_lasts_begins_a_session(tmp_path):
    folder = write_images(tmp_path / "f", 4)
    for number in (2, 3):
        Image.fromarray(picture(0, 32, 32)).save(folder / f"frame{number}.png")
    assert [frame.begins_session for frame in read(folder)] == [False, False, True, False]


@pytest.mark.parametrize("number", [1, 3])
def test_a_lone_image_of_another_size_is_left_out_counted_and_said(tmp_path, caplog, number):
    folder = write_images(tmp_path / "f", 4)
    Image.fromarray(picture(0, 32, 32)).save(folder / f"frame{number}.png")
    with open_source(folder, max_pixels=10**6) as source:
        assert [frame.begins_session for frame in source] == [False] * 3
        assert (source.left_out.other_size, source.left_out.total) == (1, 1)
    assert "32x32; expected 64x48" in caplog.text


def test_strict_ends_at_what_is_otherwise_left_out(tmp_path):
    folder = write_images(tmp_path / "f", 4)
    Image.fromarray(picture(0, 32, 32)).save(folder / "frame1.png")
    with pytest.raises(InputError, match="32x32; expected 64x48"):
        read(folder, strict=True)
    (folder / "frame1.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"frame1\.png"):
        read(folder, strict=True)


def test_several_images_and_patterns_are_one_stream(tmp_path):
    folder = write_images(tmp_path / "f", 12)
    named = [folder / f"frame{number}.png" for number in (3, 0)]
    frames = read_all(named)
    np.testing.assert_array_equal(frames[0].image, picture(3))
    assert len(read_all(str(folder / "frame1*.png"))) == 3
    with pytest.raises(InputError, match="no file fits"):
        read_all(str(folder / "*.jpg"))
    with pytest.raises(InputError, match="not all are image files"):
        read_all([str(folder / "frame0.png"), "clip.mp4"])


def test_a_rate_gives_the_stamps_of_images_and_of_nothing_else(tmp_path):
    folder = write_images(tmp_path / "f", 3)
    (folder / "stamps.txt").write_text("1\n2\n3\n")
    assert [frame.stamp_ns for frame in read(folder, rate_hz=25)] == [0, 40_000_000, 80_000_000]
    with pytest.raises(InputError, match="above 0"):
        read(folder, rate_hz=0)
    with pytest.raises(InputError, match="says itself"):
        read(tmp_path / "clip.mp4", rate_hz=25)


def test_large_images_are_reduced_when_they_are_read(tmp_path):
    Image.fromarray(picture(0, 400, 300)).save(tmp_path / "a.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(0, 400, 300)).save(tmp_path / "b.jpg", exif=exif)
    frames = read_all([tmp_path / "a.jpg"], max_side_px=100)
    assert frames[0].image.shape == (75, 100, 3)
    assert read_all([tmp_path / "b.jpg"], max_side_px=100)[0].image.shape == (100, 75, 3)
    small = np.asarray(Image.fromarray(picture(0, 400, 300)).resize((100, 75)))
    assert np.abs(frames[0].image.astype(int) - small).mean() < 12


@pytest.mark.parametrize("suffix", [".HEIC", ".heif"])
def test_pictures_of_phones_say_how_to_convert_them(tmp_path, suffix):
    (tmp_path / f"IMG_1{suffix}").write_bytes(b"\0\0\0\x18ftypheic")
    for spec in (tmp_path, tmp_path / f"IMG_1{suffix}"):
        with pytest.raises(InputError, match="heif-convert"):
            read(spec)


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"", "an empty file"), (b"<html>no", "a web page"), (b"GIF89a" + bytes(9), "no known kind")],
)
def test_a_file_that_is_no_image_is_called_what_it_is(tmp_path, content, what):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.jpg: damaged, or cannot be read .*{what}"):
        read(tmp_path / "a.jpg")


def test_pictures_of_phones_among_others_are_left_out_and_counted(tmp_path):
    folder = write_images(tmp_path / "f", 3)
    (folder / "frame1.png").rename(folder / "frame1.HEIC")
    named = [str(folder / name) for name in ("frame0.png", "frame1.HEIC", "frame2.png")]
    for spec in (folder, named):
        with open_source(spec) as source:
            assert len(list(source)) == 2
            assert (source.left_out.unreadable, source.left_out.total) == (1, 1)
        with pytest.raises(InputError, match="heif-convert"):
            read_all(spec, strict=True)
    with pytest.raises(InputError, match=r"none of 2 frames can be used; .*heif-convert"):
        read_all([named[1], named[1]])


def test_a_camera_that_is_known_is_that_of_every_image(tmp_path):
    folder = write_images(tmp_path / "f", 2)
    for frame in read(folder, camera=LensAngle(90.0)):
        assert frame.intrinsics.fx == pytest.approx(32.0)
    given = Intrinsics(64.0, 64.0, 63.5, 47.5, 128, 96)
    assert read(folder, camera=given)[0].intrinsics.fx == pytest.approx(32.0)


def read_all(source, **options):
    with open_source(source, max_pixels=10**6, **options) as opened:
        return list(opened)


@pytest.mark.parametrize("keep", [0, 20, 60])
def test_a_truncated_image_is_refused(tmp_path, keep):
    path = write_images(tmp_path / "f", 1) / "frame0.png"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"frame0\.png.*cannot be read as an image"):
        read(path)


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [5000, 12_000, 60_000])
def test_an_absurdly_large_image_is_refused_before_decoding(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(InputError, match=r"input\.max_pixels"):
        read(path, max_pixels=8_294_400)


def test_an_image_without_pixels_is_refused(tmp_path):
    path = tmp_path / "zero.ppm"
    path.write_bytes(b"P6\n0 5\n255\n")
    with pytest.raises(InputError, match=r"at least one pixel|cannot be read"):
        read(path)


def test_of_grey_with_sixteen_bits_the_upper_eight_in_use_are_taken(tmp_path, caplog):
    ramp = np.linspace(0, 4095, 48 * 64).reshape(48, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "0.png")
    # Darker, and still by the range of the first, so that a stream does not flicker.
    Image.fromarray(ramp // 8).save(tmp_path / "1.png")
    bright, dark = read(tmp_path)
    np.testing.assert_array_equal(bright.image[..., 1], ramp >> 4)
    np.testing.assert_array_equal(dark.image[..., 0], (ramp // 8) >> 4)
    assert caplog.text.count("uses 12") == 1


def test_postscript_is_never_interpreted(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(InputError, match="cannot be read as an image"):
        read(path)


def test_a_topic_makes_no_sense_without_a_bag(tmp_path):
    with pytest.raises(InputError, match="this is no bag"):
        read(write_images(tmp_path / "f", 1), topic="/image")


def test_a_camera_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="camera 250"):
        open_source("250", max_pixels=10**6)


def test_a_folder_named_by_a_number_is_no_camera(tmp_path, monkeypatch):
    write_images(tmp_path / "00", 2)
    monkeypatch.chdir(tmp_path)
    assert len(read("00")) == 2
