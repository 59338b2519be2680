import io

import cv2
import numpy as np
import pytest
from human3r_ros import images
from PIL import Image as PilImage
from sensor_msgs.msg import CompressedImage, Image

from human3r.errors import InputError

LIMIT = 1_000_000


def rgb_image(width=24, height=16, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (4, 4, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def raw(pixels, encoding, padding=0):
    rows = pixels.reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    return Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=rows.shape[1],
        data=rows.tobytes(),
    )


ORDERS = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2, 0], "bgra8": [2, 1, 0, 0]}


@pytest.mark.parametrize("encoding", ORDERS)
@pytest.mark.parametrize("padding", [0, 8])
def test_colour_orders_and_padded_rows_come_out_as_rgb(encoding, padding):
    rgb = rgb_image()
    message = raw(rgb[..., ORDERS[encoding]], encoding, padding)
    decoded, family = images.decode_image(message, LIMIT)
    assert np.array_equal(decoded, rgb)
    assert family == "colour"


@pytest.mark.parametrize("padding", [0, 8])
def test_rgb_stays_in_the_memory_of_its_message(padding):
    message = raw(rgb_image(), "rgb8", padding)
    decoded, _ = images.decode_image(message, LIMIT)
    assert np.shares_memory(decoded, np.asarray(message.data))
    assert not decoded.flags.writeable
    assert decoded.flags.c_contiguous == (padding == 0)


def test_mono_becomes_three_equal_channels():
    gray = rgb_image()[..., 0]
    decoded, family = images.decode_image(raw(gray, "mono8"), LIMIT)
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
    decoded, family = images.decode_image(raw(mosaic, encoding), LIMIT)
    assert np.abs(decoded[4:-4, 4:-4].astype(int) - colour).max() <= 1
    assert family == "bayer"


@pytest.mark.parametrize(
    "encoding", ["mono16", "32FC1", "16UC1", "yuv422", "rgb16", "", "bayer_rggb16"]
)
def test_other_encodings_are_refused_with_the_supported_ones(encoding):
    with pytest.raises(InputError, match="rgb8, bgr8"):
        images.decode_image(raw(rgb_image(), encoding), LIMIT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step": 71}, "step 71"),
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
        images.decode_image(message, LIMIT)


def encoded(pixels, kind="JPEG", mode="RGB", **options):
    buffer = io.BytesIO()
    PilImage.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def compressed(data, kind="jpeg"):
    return CompressedImage(format=kind, data=data)


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
    decoded, family = images.decode_compressed(compressed(data), LIMIT)
    assert np.abs(decoded.astype(int) - expected).max() <= tolerance
    assert family == "compressed"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.97])
def test_truncated_files_are_refused(kind, share):
    data = encoded(rgb_image(120, 90), kind)
    with pytest.raises(InputError, match=r"damaged|neither"):
        images.decode_compressed(compressed(data[: int(share * len(data))]), LIMIT)


def test_a_damaged_png_is_refused():
    data = bytearray(encoded(rgb_image(120, 90), "PNG"))
    middle = len(data) // 2
    data[middle : middle + 8] = bytes(8)
    with pytest.raises(InputError, match="damaged"):
        images.decode_compressed(compressed(bytes(data)), LIMIT)


def test_the_size_in_the_header_is_checked_before_decoding():
    data = bytearray(encoded(rgb_image(), "PNG"))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(InputError, match=r"max_pixels|neither"):
        images.decode_compressed(compressed(bytes(data)), LIMIT)


def test_more_than_eight_bits_are_refused():
    deep = np.full((20, 30), 40_000, np.uint16)
    with pytest.raises(InputError, match="8 bits"):
        images.decode_compressed(compressed(encoded(deep, "PNG", "I;16")), LIMIT)


def test_other_formats_are_refused():
    with pytest.raises(InputError, match="neither JPEG nor PNG"):
        images.decode_compressed(compressed(encoded(rgb_image(), "BMP")), LIMIT)


def test_orientation_tags_are_ignored_because_the_calibration_is_of_the_stored_pixels():
    exif = PilImage.Exif()
    exif[0x0112] = 6
    data = encoded(rgb_image(24, 16), "JPEG", exif=exif)
    assert images.decode_compressed(compressed(data), LIMIT)[0].shape == (16, 24, 3)


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_with_sixteen_bits_is_not_called_damaged(channels):
    deep = np.full((20, 30, channels), 40_000, np.uint16)
    data = cv2.imencode(".png", deep)[1].tobytes()
    with pytest.raises(InputError, match="16 bits per channel; expected 8"):
        images.decode_compressed(compressed(data, "png"), LIMIT)
