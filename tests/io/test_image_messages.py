"""The decoder of image messages, with messages of no library."""

import io
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from human3r.errors import InputError
from human3r.io.image_messages import (
    ENCODINGS,
    family_of,
    rgb_from_compressed,
    rgb_from_image,
)

LIMIT = 1_000_000


def decode(message):
    return rgb_from_image(message, "image", LIMIT), family_of(message)


def decode_compressed(message):
    return rgb_from_compressed(message, "image", LIMIT)


def rgb_image(width=24, height=16, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (4, 4, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def raw(pixels, encoding, padding=0):
    rows = pixels.reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    return SimpleNamespace(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=rows.shape[1],
        data=rows.tobytes(),
        is_bigendian=0,
    )


ORDERS = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2, 0], "bgra8": [2, 1, 0, 0]}


@pytest.mark.parametrize("encoding", ORDERS)
@pytest.mark.parametrize("padding", [0, 8])
def test_colour_orders_and_padded_rows_come_out_as_rgb(encoding, padding):
    rgb = rgb_image()
    message = raw(rgb[..., ORDERS[encoding]], encoding, padding)
    decoded, family = decode(message)
    assert np.array_equal(decoded, rgb)
    assert family == "colour"


@pytest.mark.parametrize("padding", [0, 8])
def test_rgb_stays_in_the_memory_of_its_message(padding):
    message = raw(rgb_image(), "rgb8", padding)
    decoded, _ = decode(message)
    assert np.shares_memory(decoded, np.frombuffer(message.data, np.uint8))
    assert not decoded.flags.writeable
    assert decoded.flags.c_contiguous == (padding == 0)


def test_mono_becomes_three_equal_channels():
    gray = rgb_image()[..., 0]
    decoded, family = decode(raw(gray, "mono8"))
    assert np.array_equal(decoded, np.repeat(gray[..., None], 3, 2))
    assert family == "mono"


@pytest.mark.parametrize(
    ("encoding", "sites"),
    [
        ("bayer_rggb8", {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 2}),
        ("bayer_bggr8", {(0, 0): 2, (0, 1): 1, (1, 0): 1, (1, 1): 0}),
        ("bayer_gbrg8", {(0, 0): 1, (0, 1): 2, (1, 0): 0, (1, 1): 1}),
        ("bayer_grbg8", {(0, 0): 1, (0, 1): 0, (1, 0): 2, (1, 1): 1}),
    ],
)
def test_bayer_patterns_give_back_the_colours_they_sampled(encoding, sites):
    colour = np.array([200, 120, 40], np.uint8)
    mosaic = np.zeros((16, 24), np.uint8)
    for (row, col), channel in sites.items():
        mosaic[row::2, col::2] = colour[channel]
    decoded, family = decode(raw(mosaic, encoding))
    assert np.abs(decoded[4:-4, 4:-4].astype(int) - colour).max() <= 1
    assert family == "bayer"


def yuv_planes(rgb, code):
    """Y, U, V as cv2 makes them for 4:2:0, chroma at half the size."""
    height, width = rgb.shape[:2]
    planes = cv2.cvtColor(rgb, code)
    quarter = height * width // 4
    flat = planes.ravel()
    shape = (height // 2, width // 2)
    u, v = (flat[height * width + k * quarter :][:quarter].reshape(shape) for k in range(2))
    return planes[:height], u, v


def smooth(width=32, height=24):
    """Colours that change slowly: what 4:2:0 takes away is little."""
    v, u = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return (np.stack([u, v, 1 - u], -1) * 200 + 20).astype(np.uint8)


def message_of(encoding, rgb):
    """The picture in an encoding: rows of bytes without padding."""
    height, width = rgb.shape[:2]
    y, u, v = yuv_planes(rgb, cv2.COLOR_RGB2YUV_I420)
    wide = [np.repeat(np.repeat(c, 2, 0), 2, 1) for c in (u, v)]
    name, depth = (encoding[:-2], 2) if encoding.endswith("16") else (encoding, 1)
    name = name.removesuffix("8")
    if name in ("nv12", "nv21"):
        order = (u, v) if name == "nv12" else (v, u)
        return np.concatenate([y, np.stack(order, -1).reshape(height // 2, width)])
    if name == "nv24":
        return np.concatenate([y, np.stack(wide, -1).reshape(2 * height, width)])
    if name in ("yuv422", "uyvy", "yuv422_yuy2", "yuyv"):
        chroma = np.where(np.arange(width) % 2 == 0, *wide)
        pair = (chroma, y) if name in ("yuv422", "uyvy") else (y, chroma)
        return np.stack(pair, -1).reshape(height, -1)
    if name.startswith("bayer_"):
        pixels = np.zeros((height, width), np.uint8)
        for place, colour in enumerate(name[6:]):
            site = (slice(place // 2, None, 2), slice(place % 2, None, 2))
            pixels[site] = rgb[site][..., "rgb".index(colour)]
    elif name in ("mono", "8UC1"):
        pixels = rgb[..., 1]
    else:
        meant = {"8UC3": "bgr", "8UC4": "bgra"}.get(name, name)
        pixels = np.stack([rgb[..., "rgba".index(c) % 3] for c in meant], -1)
    if depth == 2:
        pixels = pixels.astype("<u2") << 8 | 0x5A
    return np.ascontiguousarray(pixels).reshape(height, -1).view(np.uint8)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_picture_whatever_padding_its_rows_have(encoding):
    rgb = smooth()
    expected = rgb if encoding[:4] not in ("mono", "8UC1") else np.repeat(rgb[..., 1:2], 3, -1)
    rows = message_of(encoding, rgb)
    tolerance = 12 if encoding.startswith("bayer") else 20 if encoding[0] in "yun" else 0
    first = None
    for padding in range(17):
        if encoding == "nv24":
            pairs = np.pad(rows[24:].reshape(24, 64), ((0, 0), (0, 2 * padding)))
            padded = np.vstack([np.pad(rows[:24], ((0, 0), (0, padding))), pairs.reshape(48, -1)])
        else:
            padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
        message = SimpleNamespace(
            width=32,
            height=24,
            encoding=encoding,
            is_bigendian=0,
            step=padded.shape[1],
            data=padded.tobytes(),
        )
        decoded, _ = decode(message)
        first = decoded if first is None else first
        assert np.array_equal(decoded, first)
    assert first.dtype == np.uint8
    off = np.abs(first[2:-2, 2:-2].astype(int) - expected[2:-2, 2:-2])
    assert off.max() <= tolerance


@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bgra16", "bayer_grbg16"])
def test_the_order_of_bytes_is_obeyed(encoding):
    rows = message_of(encoding, smooth())
    little = raw_rows(rows, encoding)
    big = raw_rows(rows.reshape(24, -1, 2)[..., ::-1].reshape(24, -1), encoding, is_bigendian=1)
    assert np.array_equal(decode(little)[0], decode(big)[0])


def raw_rows(rows, encoding, is_bigendian=0):
    return SimpleNamespace(
        width=32,
        height=24,
        encoding=encoding,
        is_bigendian=is_bigendian,
        step=rows.shape[1],
        data=np.ascontiguousarray(rows).tobytes(),
    )


NUMBERS = [f"{bits}{kind}C{n}" for bits, kinds in ((8, "US"), (16, "US"), (32, "SF"), (64, "F"))
           for kind in kinds for n in (1, 2, 3, 4)]  # fmt: skip


@pytest.mark.parametrize(
    "encoding", [*sorted(set(NUMBERS) - set(ENCODINGS)), "", "jpeg", "nv42", "RGB8"]
)
def test_all_other_encodings_are_refused_by_name(encoding):
    with pytest.raises(InputError, match=f"'{encoding}' is.*rgb8, rgb16, bgr8"):
        decode(raw(rgb_image(), encoding))


@pytest.mark.parametrize(
    ("encoding", "width", "height"),
    [("yuyv", 5, 4), ("nv12", 5, 4), ("nv21", 4, 5), ("bayer_rggb8", 2, 2), ("bayer_grbg16", 3, 4)],
)
def test_sizes_an_encoding_cannot_have_are_refused(encoding, width, height):
    size = 3 * width * height
    message = SimpleNamespace(
        width=width, height=height, encoding=encoding, step=width, data=bytes(size), is_bigendian=0
    )
    with pytest.raises(InputError, match="expected"):
        decode(message)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step": 71}, "step 71"),
        ({"step": 24}, "16 rows of 72 = 1152 bytes"),
        ({"step": 73}, "1152 bytes"),
        ({"data": bytes(10)}, "10 bytes"),
        ({"height": 17}, "1152 bytes"),
        ({"width": 0}, "0x16"),
        ({"height": 0}, "24x0"),
        ({"width": 2**31, "height": 2**31}, "input.max_pixels"),
        ({"width": 100, "height": 10}, "aspect"),
        ({"width": 10, "height": 100}, "aspect"),
    ],
)
def test_sizes_that_cannot_be_true_are_refused(changes, words):
    message = raw(rgb_image(), "rgb8")
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(InputError, match=words):
        decode(message)


def encoded(pixels, kind="JPEG", mode="RGB", **options):
    buffer = io.BytesIO()
    PilImage.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def compressed(data, kind="jpeg"):
    return SimpleNamespace(format=kind, data=data)


@pytest.mark.parametrize(
    ("kind", "mode", "tolerance"),
    [
        ("JPEG", "RGB", 12),
        ("PNG", "RGB", 0),
        ("PNG", "RGBA", 0),
        ("JPEG", "L", 12),
        ("PNG", "L", 0),
    ],
)
def test_jpeg_and_png_come_out_as_rgb(kind, mode, tolerance):
    rgb = rgb_image()
    expected = np.asarray(PilImage.fromarray(rgb).convert(mode).convert("RGB")).astype(int)
    options = {"quality": 98, "subsampling": 0} if kind == "JPEG" else {}
    data = encoded(rgb, kind, mode, **options)
    decoded = decode_compressed(compressed(data))
    assert np.abs(decoded.astype(int) - expected).max() <= tolerance
    assert family_of(compressed(data)) == "compressed"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.97])
def test_truncated_files_are_refused(kind, share):
    data = encoded(rgb_image(120, 90), kind)
    with pytest.raises(InputError, match="damaged"):
        decode_compressed(compressed(data[: int(share * len(data))]))


def test_a_damaged_png_is_refused():
    data = bytearray(encoded(rgb_image(120, 90), "PNG"))
    middle = len(data) // 2
    data[middle : middle + 8] = bytes(8)
    with pytest.raises(InputError, match="damaged"):
        decode_compressed(compressed(bytes(data)))


def test_the_size_in_the_header_is_checked_before_decoding():
    data = bytearray(encoded(rgb_image(), "PNG"))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(InputError, match=r"max_pixels|damaged"):
        decode_compressed(compressed(bytes(data)))


def test_grey_with_sixteen_bits_is_refused_unless_the_format_says_that_it_is_no_depth():
    deep = np.full((20, 30), 40_000, np.uint16)
    for form in ("png", "16UC1; png compressed ", "16UC1; compressedDepth png"):
        with pytest.raises(InputError, match=r"8 bits|depth"):
            decode_compressed(compressed(encoded(deep, "PNG", "I;16"), form))


def test_other_formats_are_refused_with_what_they_say_they_are():
    with pytest.raises(InputError, match=r"cannot be read as an image \(of no known kind\).*'x-y'"):
        decode_compressed(compressed(bytes(range(200)), "x-y"))


@pytest.mark.parametrize(
    "form", ["h264", "hevc", "libx264;h264;yuv420p;bgr8", "H.265", "av1", "vp9"]
)
def test_a_video_stream_is_called_one(form):
    with pytest.raises(InputError, match=r"is a video stream.*Republish"):
        decode_compressed(compressed(bytes(range(200)), form))


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP", "PPM"])
def test_the_data_say_which_format_they_have(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(rgb_image(), kind, **options)
    assert np.array_equal(decode_compressed(compressed(data, "jpeg")), rgb_image())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_an_image_to_be_shown_turned_is_refused_because_calibration_is_of_its_pixels(kind):
    exif = PilImage.Exif()
    exif[0x0112] = 6
    data = encoded(rgb_image(24, 16), kind, exif=exif)
    with pytest.raises(InputError, match="EXIF orientation 6"):
        decode_compressed(compressed(data))


@pytest.mark.parametrize("channels", [3, 4])
def test_of_colour_with_sixteen_bits_the_upper_eight_are_taken(channels):
    deep = np.full((20, 30, channels), 40_000, np.uint16)
    data = cv2.imencode(".png", deep)[1].tobytes()
    decoded = decode_compressed(compressed(data, "rgb16; png compressed bgr16"))
    assert np.unique(decoded).tolist() == [40_000 >> 8]


@pytest.mark.parametrize("depth", [8, 16])
def test_a_compressed_mosaic_is_demosaiced_as_its_format_says(depth):
    mosaic = message_of("bayer_rggb8", smooth()).astype(np.uint16) << (depth - 8)
    data = cv2.imencode(".png", mosaic.astype(np.uint8 if depth == 8 else np.uint16))[1].tobytes()
    decoded = decode_compressed(compressed(data, f"bayer_rggb{depth}; png compressed "))
    assert np.abs(decoded[2:-2, 2:-2].astype(int) - smooth()[2:-2, 2:-2]).max() <= 12


@pytest.mark.parametrize("behind", [0, 1, 31, 64, 4096])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_whole_jpeg_may_have_bytes_behind_it(behind, progressive):
    data = encoded(rgb_image(120, 90), progressive=progressive)
    whole = decode_compressed(compressed(data))
    assert np.array_equal(decode_compressed(compressed(data + bytes(behind))), whole)


def test_the_end_mark_of_a_thumbnail_is_not_that_of_the_image():
    thumbnail = encoded(rgb_image(16, 12))
    data = encoded(rgb_image(120, 90))
    length = (len(thumbnail) + 2).to_bytes(2, "big")
    with_thumbnail = data[:2] + b"\xff\xe7" + length + thumbnail + data[2:]
    decode_compressed(compressed(with_thumbnail))
    with pytest.raises(InputError, match="damaged"):
        decode_compressed(compressed(with_thumbnail[:-2]))


def test_a_compressed_image_without_data_is_called_that():
    with pytest.raises(InputError, match=r"\(it has no data\)"):
        decode_compressed(SimpleNamespace(format="jpeg", data=b""))
