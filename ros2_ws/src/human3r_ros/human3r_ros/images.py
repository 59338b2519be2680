"""sensor_msgs/Image and CompressedImage to RGB, refusing what cannot be read without guessing.

Every check comes before the pixels are touched, so a hostile message costs neither memory nor time.
"""

import io

import cv2
import numpy as np
from cv_bridge import CvBridge
from PIL import Image as PilImage
from PIL import UnidentifiedImageError
from sensor_msgs.msg import CompressedImage, Image

from human3r.errors import InputError

_CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
_BAYER = ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")
SUPPORTED_ENCODINGS = (*_CHANNELS, *_BAYER)
_MAX_ASPECT = 3.0
_BRIDGE = CvBridge()
_JPEG_END = b"\xff\xd9"


def decode_image(message: Image, max_pixels: int) -> tuple[np.ndarray, str]:
    """The image as (height, width, 3) uint8 RGB, and its encoding family.

    rgb8 stays where it lies: the result is a read-only view of the message's data. Everything
    else is converted, in one pass.

    Raises:
        InputError: unsupported encoding, inconsistent or absurd size.
    """
    encoding = message.encoding
    if encoding not in SUPPORTED_ENCODINGS:
        raise InputError(
            f"image encoding is {encoding[:40]!r}; supported are {', '.join(SUPPORTED_ENCODINGS)}. "
            "Convert in the camera driver or with image_proc; scales of 16-bit and float images "
            "are not guessed."
        )
    check_size(message.width, message.height, max_pixels)
    row = message.width * _CHANNELS.get(encoding, 1)
    if message.step < row or message.step * message.height != len(message.data):
        raise InputError(
            f"image: step {message.step} and {len(message.data)} bytes of data; expected step of "
            f"at least {row} and step * height = {message.step * message.height} bytes for "
            f"{message.width}x{message.height} {encoding}. Fix the publisher."
        )
    if encoding == "rgb8":
        return _view(message), "colour"
    rgb = _BRIDGE.imgmsg_to_cv2(message, desired_encoding="rgb8")
    family = "mono" if encoding == "mono8" else "bayer" if encoding in _BAYER else "colour"
    return np.ascontiguousarray(rgb), family


def decode_compressed(message: CompressedImage, max_pixels: int) -> tuple[np.ndarray, str]:
    """A JPEG or PNG as (height, width, 3) uint8 RGB, and its encoding family.

    The size in the file's header is checked before anything is decoded. Orientation tags are
    ignored, since the camera's calibration belongs to the pixels as stored.

    Raises:
        InputError: another format, absurd size, or damaged data.
    """
    data = bytes(message.data)
    try:
        with PilImage.open(io.BytesIO(data), formats=("JPEG", "PNG")) as header:
            kind, (width, height), mode = header.format, header.size, header.mode
    except (UnidentifiedImageError, PilImage.DecompressionBombError, OSError, SyntaxError) as error:
        raise InputError(
            f"compressed image: {len(data)} bytes that are neither JPEG nor PNG ({error}); "
            f"format field says {message.format[:40]!r}. Publish jpeg or png."
        ) from error
    check_size(width, height, max_pixels)
    if mode.startswith(("I", "F")):
        raise InputError(_too_deep(kind, f"more than 8 bits per channel (mode {mode})"))
    if kind == "JPEG" and _JPEG_END not in data[-32:]:
        # The decoder would fill the missing part with grey and say nothing.
        raise InputError(_damaged(kind, len(data)))
    try:
        image = _BRIDGE.compressed_imgmsg_to_cv2(message, desired_encoding="passthrough")
    except Exception as error:  # cv_bridge wraps OpenCV's errors in its own and others.
        raise InputError(_damaged(kind, len(data))) from error
    # Colour with 16 bits has the same mode as with 8; only the decoded pixels tell.
    if image is not None and image.dtype != np.uint8:
        raise InputError(_too_deep(kind, f"{8 * image.dtype.itemsize} bits per channel"))
    if image is None or image.shape[:2] != (height, width):
        raise InputError(_damaged(kind, len(data)))
    return _rgb_from_opencv(image), "compressed"


def check_size(width_px: int, height_px: int, max_pixels: int) -> None:
    """Nothing, when an image of this size can be processed.

    Raises:
        InputError: empty, larger than ``max_pixels``, or too long and narrow.
    """
    size = f"{width_px}x{height_px}"
    if width_px < 1 or height_px < 1:
        raise InputError(f"image is {size}; expected at least one pixel. Fix the publisher.")
    if width_px * height_px > max_pixels:
        raise InputError(
            f"image is {size}, {width_px * height_px} pixels; input.max_pixels allows "
            f"{max_pixels}. Reduce the image, or raise the limit."
        )
    if max(width_px, height_px) > _MAX_ASPECT * min(width_px, height_px):
        raise InputError(
            f"image is {size}; expected an aspect ratio between 1:3 and 3:1, since the network's "
            "crop would lose people. Crop the image first."
        )


def _view(message: Image) -> np.ndarray:
    """Rows of three bytes per pixel, without the padding behind each."""
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    # Splitting an axis copies nothing, also where rows are apart.
    pixels = rows[:, : 3 * message.width].reshape(message.height, message.width, 3)
    pixels.flags.writeable = False
    return pixels


def _rgb_from_opencv(image: np.ndarray) -> np.ndarray:
    channels = 1 if image.ndim == 2 else image.shape[2]
    code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[channels]
    return cv2.cvtColor(image, code)


def _too_deep(kind: str | None, seen: str) -> str:
    return (
        f"compressed image: {kind} with {seen}; expected 8. Publish an 8-bit image; scales are not "
        "guessed."
    )


def _damaged(kind: str | None, num_bytes: int) -> str:
    return (
        f"compressed image: damaged {kind} of {num_bytes} bytes; expected a complete file. Check "
        "the link to the camera, or lower the rate."
    )
