"""ROS image and calibration messages to arrays; the messages may come from any library."""

import io
import math
from typing import Any

import cv2
import numpy as np

from human3r.errors import InputError
from human3r.io.encoded import decode_rgb
from human3r.io.frame_source import Selection
from human3r.types import Intrinsics

ENCODINGS = {
    # name: channels, OpenCV's conversion to RGB (None: already RGB)
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "bayer_rggb8": (1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": (1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": (1, cv2.COLOR_BayerGRBG2RGB),
    "8UC3": (3, cv2.COLOR_BGR2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
}
"""Image encodings that can be read; 8UC3 is BGR, as OpenCV writes it."""


def rgb_from_image(message: Any, what: str, selection: Selection) -> np.ndarray:
    """A ``sensor_msgs/Image`` as (height, width, 3) uint8 RGB.

    Raises:
        InputError: other encoding, or sizes that contradict each other.
    """
    height, width, step = int(message.height), int(message.width), int(message.step)
    selection.check_size(width, height, what)
    if message.encoding not in ENCODINGS:
        raise InputError(
            f"{what}: encoding {str(message.encoding)[:40]!r}; expected one of "
            f"{', '.join(ENCODINGS)}. Convert the topic, or choose the colour image."
        )
    channels, conversion = ENCODINGS[message.encoding]
    data = np.frombuffer(message.data, np.uint8)
    if step < width * channels or len(data) != step * height:
        raise InputError(
            f"{what}: step {step} and {len(data)} bytes; expected a step of at least "
            f"{width * channels} and step times height bytes for {width}x{height} "
            f"{message.encoding}. The publisher is at fault."
        )
    if message.encoding.startswith("bayer") and (width < 4 or height < 4):
        raise InputError(f"{what}: {width}x{height} is too small for a Bayer image; 4x4 at least.")
    rows = data.reshape(height, step)[:, : width * channels]
    pixels = np.ascontiguousarray(rows).reshape(height, width, channels)
    return pixels.copy() if conversion is None else cv2.cvtColor(pixels, conversion)


def rgb_from_compressed(message: Any, what: str, selection: Selection) -> np.ndarray:
    """A ``sensor_msgs/CompressedImage`` (JPEG or PNG) as (height, width, 3) uint8 RGB.

    Raises:
        InputError: other content, damaged, or too large.
    """
    if "compressedDepth" in message.format:
        raise InputError(
            f"{what}: format {message.format[:40]!r} is a depth image; expected a colour image. "
            "Choose another topic."
        )
    return decode_rgb(io.BytesIO(bytes(message.data)), what, selection)


def is_rectified_topic(topic: str) -> bool:
    """Whether a topic's name says that its images are rectified, as image_proc's names do.

    Args:
        topic: without the suffix of a transport, for example /camera/image_rect_color.
    """
    return topic.rpartition("/")[2].startswith("image_rect")


def intrinsics_from_camera_info(
    message: Any, width_px: int, height_px: int, *, is_rectified: bool = False
) -> Intrinsics | None:
    """Calibration of an image of this size from a ``sensor_msgs/CameraInfo``.

    The matrix belongs to the full sensor; region of interest and binning are applied to it, then
    it is scaled when the image has another size but the same shape.

    Args:
        message: comes with raw and with rectified images alike (REP 104).
        width_px: of the image.
        height_px: of the image.
        is_rectified: P describes the image, and not K.

    Returns:
        None where the message holds no usable calibration for such an image.
    """
    matrix = _matrix(message, is_rectified)
    full_width, full_height = int(message.width), int(message.height)
    if matrix is None:
        return None
    fx, fy, full_cx, full_cy = matrix
    roi = message.roi
    left, top = int(roi.x_offset), int(roi.y_offset)
    bin_x, bin_y = max(1, int(message.binning_x)), max(1, int(message.binning_y))
    region_width = (int(roi.width) or full_width) / bin_x
    region_height = (int(roi.height) or full_height) / bin_y
    if region_width < 1 or region_height < 1:
        return None
    scale_x, scale_y = width_px / region_width, height_px / region_height
    if not math.isclose(scale_x, scale_y, rel_tol=0.02):
        return None
    # Whole numbers are pixel centres, so corners scale and centres are half a pixel inside.
    cx = ((full_cx - left + 0.5) / bin_x) * scale_x - 0.5
    cy = ((full_cy - top + 0.5) / bin_y) * scale_y - 0.5
    if not (0 <= cx < width_px and 0 <= cy < height_px):
        return None
    return Intrinsics(
        # Plain floats: a numpy scalar would make float64 of float32 points, and other last digits
        # than the node's.
        fx=float(fx / bin_x * scale_x),
        fy=float(fy / bin_y * scale_y),
        cx=float(cx),
        cy=float(cy),
        width_px=width_px,
        height_px=height_px,
    )


def _matrix(message: Any, is_rectified: bool) -> tuple[float, float, float, float] | None:
    """fx, fy, cx, cy of the full sensor; None where they cannot be a camera's."""
    # ROS 1 bags write the names in capitals.
    d, k, r, p = (
        np.asarray(getattr(message, name if hasattr(message, name) else name.upper()), np.float64)
        for name in "dkrp"
    )
    is_straight = not d.any() and (not r.any() or np.array_equal(r, np.eye(3).ravel()))
    # Without P, K is as good where rectifying changes nothing.
    if is_rectified and not (is_straight and not p.any()):
        chosen, places = p, (0, 5, 2, 6)
    else:
        chosen, places = k, (0, 4, 2, 5)
    if len(chosen) <= places[-1] or not np.isfinite(chosen).all():
        return None
    fx, fy, cx, cy = (chosen[place] for place in places)
    return (fx, fy, cx, cy) if fx > 0 and fy > 0 else None
