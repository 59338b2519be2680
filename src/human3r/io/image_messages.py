"""ROS image messages to RGB: one decoder for the node, ``run`` and ``play``.

Messages may come from any library (rclpy, rosbags, ...): only their fields are used. What cannot
be read without guessing is refused by name. Every check comes before the pixels are touched, so a
hostile message costs neither memory nor time.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np

from human3r.errors import InputError
from human3r.io.encoded import decode_stored
from human3r.types import check_image_size

_Planes = Callable[[np.ndarray, int, int], np.ndarray]
"""Rows of bytes (rows, bytes), width and height to RGB."""


class _Layout(NamedTuple):
    """How the pixels of one encoding lie in memory."""

    family: str
    """colour, mono or bayer."""
    row_bytes: int
    """Bytes per pixel of one row."""
    to_rgb: _Planes
    rows_per_two: int = 2
    """Rows of data for two rows of the image; planes of chroma come after those of luma."""
    least_px: int = 1
    """Smallest width and height."""
    even_width: bool = False
    even_height: bool = False
    depth: int = 1
    """Bytes per number. Of two the upper one is taken: 65535 is white, as cv_bridge has it."""


def _channels(count: int, code: int | None) -> _Planes:
    def convert(rows: np.ndarray, width: int, height: int) -> np.ndarray:
        # Splitting an axis copies nothing, also where rows lie apart.
        pixels = rows.reshape(height, width, count)
        return pixels if code is None else cv2.cvtColor(pixels, code)

    return convert


def _two_planes(code: int) -> _Planes:
    """Luma, then chroma of a quarter of the pixels, both parts of it side by side."""

    def convert(rows: np.ndarray, width: int, height: int) -> np.ndarray:
        return cv2.cvtColor(np.ascontiguousarray(rows), code)

    return convert


def _full_chroma(rows: np.ndarray, width: int, height: int) -> np.ndarray:
    """nv24: luma, then two numbers of chroma for every pixel, on twice as many rows of data."""
    luma, chroma = rows[:height], rows[height:].reshape(height, width, 2)
    # As 4:2:2 of twice the width, where each pair of pixels is one pixel of ours.
    pairs = np.stack([luma, chroma[..., 0], luma, chroma[..., 1]], axis=-1)
    wide = cv2.cvtColor(pairs.reshape(height, 2 * width, 2), cv2.COLOR_YUV2RGB_YUY2)
    return np.ascontiguousarray(wide[:, ::2])


_COLOURS: dict[str, tuple[int, int | None]] = {
    "rgb": (3, None),
    "bgr": (3, cv2.COLOR_BGR2RGB),
    "rgba": (4, cv2.COLOR_RGBA2RGB),
    "bgra": (4, cv2.COLOR_BGRA2RGB),
    "mono": (1, cv2.COLOR_GRAY2RGB),
    "bayer_rggb": (1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr": (1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg": (1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg": (1, cv2.COLOR_BayerGRBG2RGB),
}
_CV_TYPES = {"8UC1": "mono8", "8UC3": "bgr8", "8UC4": "bgra8"}
"""OpenCV's names of types say nothing of colours; these are the orders in which it keeps them."""


def _layouts() -> dict[str, _Layout]:
    table = {}
    for name, (count, code) in _COLOURS.items():
        family = "bayer" if name.startswith("bayer") else "mono" if name == "mono" else "colour"
        least = 4 if family == "bayer" else 1
        for depth in (1, 2):
            table[f"{name}{8 * depth}"] = _Layout(
                family, depth * count, _channels(count, code), least_px=least, depth=depth
            )
    table |= {name: table[meant] for name, meant in _CV_TYPES.items()}
    for names, code in (
        (("yuv422", "uyvy"), cv2.COLOR_YUV2RGB_UYVY),
        (("yuv422_yuy2", "yuyv"), cv2.COLOR_YUV2RGB_YUY2),
    ):
        table |= dict.fromkeys(names, _Layout("colour", 2, _channels(2, code), even_width=True))
    for name, code in (("nv12", cv2.COLOR_YUV2RGB_NV12), ("nv21", cv2.COLOR_YUV2RGB_NV21)):
        table[name] = _Layout("colour", 1, _two_planes(code), 3, 2, True, True)
    table["nv24"] = _Layout("colour", 1, _full_chroma, 6)
    return table


_LAYOUTS = _layouts()
ENCODINGS = tuple(_LAYOUTS)
"""Encodings of ``sensor_msgs/image_encodings`` that can be read. 8UC3 is BGR and 8UC4 BGRA, as
OpenCV keeps them; of 16 bits the upper 8 are taken; YUV is BT.601, as cv_bridge has it."""
_DEPTHS = ("16UC1", "32FC1")
_VIDEO = re.compile(r"\b(lib)?(x?h\.?26[45]|x26[45]|hevc|avc|av1|vp[89])", re.IGNORECASE)
"""Formats of ffmpeg_image_transport and of foxglove_msgs/CompressedVideo."""


def family_of(message: Any) -> str:
    """colour, mono, bayer or compressed: a change of it is a change of the stream."""
    layout = _LAYOUTS.get(getattr(message, "encoding", ""))
    return layout.family if layout else "compressed"


def rgb_from_message(message: Any, what: str, max_pixels: int) -> np.ndarray:
    """A ``sensor_msgs/Image`` or ``CompressedImage`` as (height, width, 3) uint8 RGB.

    Args and errors as for ``rgb_from_image`` and ``rgb_from_compressed``.
    """
    read = rgb_from_image if hasattr(message, "encoding") else rgb_from_compressed
    return read(message, what, max_pixels)


def rgb_from_image(message: Any, what: str, max_pixels: int) -> np.ndarray:
    """A ``sensor_msgs/Image`` as (height, width, 3) uint8 RGB.

    rgb8 stays where it lies: the result is a read-only view of the message's data. Everything
    else is converted, in one pass.

    Args:
        message: any object with the fields of the message.
        what: how to call it in an error message.
        max_pixels: the largest size to accept.

    Raises:
        InputError: an encoding that cannot be read, or sizes that cannot be true.
    """
    height, width = int(message.height), int(message.width)
    layout = _layout(message.encoding, what)
    check_image_size(width, height, max_pixels, what)
    _check_pixels(layout, message.encoding, width, height, what)
    rows = _rows(message, layout, width, height, what)
    if layout.depth == 2:
        rows = np.ascontiguousarray(rows[:, 0 if message.is_bigendian else 1 :: 2])
    image = layout.to_rgb(rows, width, height)
    if np.may_share_memory(image, rows):
        image.flags.writeable = False
    return image


def _layout(encoding: str, what: str) -> _Layout:
    if encoding in _LAYOUTS:
        return _LAYOUTS[encoding]
    kind = (
        "a depth image"
        if encoding in _DEPTHS
        else "numbers whose scale is not said"
        if encoding[:1].isdigit()
        else "not known"
    )
    raise InputError(
        f"{what}: encoding {encoding[:40]!r} is {kind}; expected one of {', '.join(ENCODINGS)}. "
        "Convert in the camera driver or with image_proc, or choose the colour image; scales of "
        "other numbers are not guessed."
    )


def _check_pixels(layout: _Layout, encoding: str, width: int, height: int, what: str) -> None:
    if min(width, height) < layout.least_px:
        raise InputError(
            f"{what}: {width}x{height} {encoding}; expected at least "
            f"{layout.least_px}x{layout.least_px}. Check the driver."
        )
    if (layout.even_width and width % 2) or (layout.even_height and height % 2):
        raise InputError(
            f"{what}: {width}x{height} {encoding}; expected even sides where pixels share their "
            "chroma. Check the driver."
        )


def _rows(message: Any, layout: _Layout, width: int, height: int, what: str) -> np.ndarray:
    """Rows of bytes as a view, without the padding behind each."""
    row, step = width * layout.row_bytes, int(message.step)
    data = np.frombuffer(message.data, np.uint8)
    num_rows = height * layout.rows_per_two // 2
    if step < row or len(data) != step * num_rows:
        least = max(step, row)
        raise InputError(
            f"{what}: step {step} and {len(data)} bytes of data; expected a step of at least {row} "
            f"and {num_rows} rows of {least} = {least * num_rows} bytes for {width}x{height} "
            f"{message.encoding}. Fix the publisher: step is the length of a row in bytes."
        )
    rows = data.reshape(num_rows, step)
    if layout.rows_per_two == 6:
        # A row of chroma is as long as two rows of luma, padding included.
        chroma = rows[height:].reshape(height, 2 * step)[:, : 2 * row]
        return np.concatenate([rows[:height, :row], chroma.reshape(2 * height, row)])
    return rows[:, :row]


def rgb_from_compressed(message: Any, what: str, max_pixels: int) -> np.ndarray:
    """A ``sensor_msgs/CompressedImage`` as (height, width, 3) uint8 RGB.

    The data say what they are: JPEG, PNG, WebP, TIFF, BMP or PPM. Of ``format`` the encoding
    before the compression counts, as image_transport writes it: a Bayer mosaic is demosaiced,
    depth is refused.

    Args:
        message: any object with the fields of the message.
        what: how to call it in an error message.
        max_pixels: the largest size to accept.

    Raises:
        InputError: other content, depth, damaged, too large, or to be shown turned: calibration
            and TF belong to the pixels as they are stored.
    """
    form = str(message.format)
    declared = form.split(";")[0].strip()
    is_known = declared in _LAYOUTS
    if "compressedDepth" in form or (declared[:1].isdigit() and not is_known):
        raise InputError(
            f"{what}: format {form[:60]!r} is a depth image or of another scale; expected a colour "
            "image. Choose another topic."
        )
    layout = _LAYOUTS[declared] if is_known else None
    try:
        is_deep = layout is not None and layout.depth == 2
        image, is_gray = decode_stored(bytes(message.data), what, max_pixels, deep_gray=is_deep)
    except InputError as error:
        if _VIDEO.search(form):
            raise InputError(
                f"{what}: format {form[:60]!r} is a video stream, of which no message alone is an "
                "image; expected JPEG or PNG. Republish it as raw or JPEG, for example with "
                "image_transport."
            ) from error
        raise InputError(f"{error} The format field says {form[:40]!r}.") from error
    if layout is not None and layout.family == "bayer" and is_gray:
        height, width = image.shape[:2]
        _check_pixels(layout, declared, width, height, what)
        return layout.to_rgb(np.ascontiguousarray(image[..., 0]), width, height)
    return image
