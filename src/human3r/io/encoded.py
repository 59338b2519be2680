"""Encoded still images (JPEG, PNG, ...) to RGB, with the size checked before decoding."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from human3r.errors import InputError
from human3r.file_kind import kind_of
from human3r.io.frame_source import Reduction, Selection
from human3r.types import check_image_size

log = logging.getLogger(__name__)

# Listed by hand: Pillow would start other programs for some formats (Ghostscript for EPS).
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM")
_EIGHT_BIT_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "CMYK", "YCbCr", "1", "RGBX")
_DEEP_GRAY_MODES = ("I;16", "I;16L", "I;16B")
_GRAY_DEPTHS = (8, 10, 12, 14, 16)
_ORIENTATION = 0x0112
_AS_STORED = (0, 1)
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"


class ImageFiles:
    """Reads the image files of one stream as (height, width, 3) uint8 RGB.

    Images are turned as their EXIF data say, and reduced where the selection asks for it. Of grey
    images with 16 bits the upper 8 of those in use are taken: as many as the first image shows.
    """

    def __init__(self, selection: Selection, name: str) -> None:
        self._selection = selection
        self._reduction = Reduction(selection, name)
        self._gray_bits: int | None = None

    def read(self, path: Path) -> np.ndarray:
        """One file.

        Raises:
            InputError: no image, damaged, too large, or pixels whose range cannot be guessed.
        """
        what = str(path)
        with _opened(path, what, self._selection.max_pixels) as image:
            upright = image
            if image.mode in _DEEP_GRAY_MODES or image.mode == "I":
                upright = Image.fromarray(self._eight_bits(np.asarray(image), what))
                upright.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
            else:
                _check_depth(image, what)
            size = self._reduction.size(*image.size)  # pyright: ignore[reportCallIssue]
            if size != image.size:
                upright = upright.convert("RGB") if upright.mode in ("P", "1", "PA") else upright
                # Decodes a JPEG at a fraction of its size, where that is enough.
                upright.thumbnail(size)
            return np.array(ImageOps.exif_transpose(upright).convert("RGB"))

    def _eight_bits(self, gray: np.ndarray, what: str) -> np.ndarray:
        largest = int(gray.max())
        if largest > 0xFFFF or int(gray.min()) < 0:
            raise InputError(
                f"{what}: grey values from {gray.min()} to {largest}; expected 8 or 16 bits. "
                "Convert the image; the range of other pixels cannot be guessed."
            )
        if self._gray_bits is None:
            self._gray_bits = next(bits for bits in _GRAY_DEPTHS if largest < 1 << bits)
            log.warning(
                "%s: grey with 16 bits, of which it uses %d; the upper 8 of those are taken from "
                "every image",
                what,
                self._gray_bits,
            )
        return np.clip(gray.astype(np.int64) >> (self._gray_bits - 8), 0, 255).astype(np.uint8)


def decode_stored(
    data: bytes, what: str, max_pixels: int, *, deep_gray: bool = False
) -> tuple[np.ndarray, bool]:
    """An encoded image as (height, width, 3) uint8 RGB, as its pixels are stored; and is it grey.

    Args:
        data: of the whole image; more bytes may follow its end, as USB cameras send them.
        what: how to call it in an error message.
        max_pixels: the largest size to accept.
        deep_gray: take the upper 8 bits of a grey image with 16; otherwise it is refused, since
            most of them are depth.

    Raises:
        InputError: not an 8-bit image, damaged, too large, or to be shown turned.
    """
    with _opened(io.BytesIO(data), what, max_pixels) as image:
        _check_upright(image, what)
        if deep_gray and image.mode in _DEEP_GRAY_MODES:
            gray = (np.array(image) >> 8).astype(np.uint8)
            return np.repeat(gray[..., None], 3, axis=2), True
        _check_depth(image, what)
        is_gray = image.mode in ("L", "1")
        if image.format == "JPEG" and image.mode in ("RGB", "L"):
            return _decoded_jpeg(data, image.size, what), is_gray
        return np.array(image.convert("RGB")), is_gray


@contextmanager
def _opened(data: Path | BinaryIO, what: str, max_pixels: int) -> Iterator[Image.Image]:
    """An image whose header has been read; what goes wrong with it becomes an InputError."""
    try:
        with warnings.catch_warnings():
            # The limit of ours below is stricter and has a message.
            warnings.simplefilter("ignore")
            with Image.open(data, formats=_FORMATS) as image:
                width, height = image.size
                check_image_size(width, height, max_pixels, what)
                yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{what}: absurdly large ({error}); expected at most {max_pixels} pixels "
            "(input.max_pixels). Reduce the image."
        ) from error
    # Damaged data make Pillow's decoders raise nearly everything.
    except Exception as error:
        said = _in_words(error, data)
        raise InputError(
            f"{what}: damaged, or cannot be read as an image ({said}); expected a "
            "complete PNG, JPEG, BMP, WebP, TIFF or PPM. Check the file, or the link to the camera."
        ) from error


def _in_words(error: Exception, data: Path | BinaryIO) -> str:
    """Pillow names the object it could not identify, which tells a user nothing."""
    if not isinstance(error, UnidentifiedImageError):
        return str(error)
    if isinstance(data, Path):
        kind = kind_of(data)
        return "of no known kind" if kind is None else f"it is {kind.what}"
    return "of no known kind" if data.seek(0, io.SEEK_END) else "it has no data"


def _check_depth(image: Image.Image, what: str) -> None:
    if image.mode not in _EIGHT_BIT_MODES:
        raise InputError(
            f"{what}: pixels are {image.mode}; expected 8 bits per channel. Convert the image; the "
            "range of other pixels cannot be guessed."
        )


def _check_upright(image: Image.Image, what: str) -> None:
    orientation = image.getexif().get(_ORIENTATION, 1)
    if orientation not in _AS_STORED:
        raise InputError(
            f"{what}: to be shown turned (EXIF orientation {orientation!r}); expected upright "
            "pixels, to which calibration and TF belong. Turn the image in the camera driver, or "
            "leave the tag out."
        )


def _decoded_jpeg(data: bytes, size: tuple[int, int], what: str) -> np.ndarray:
    """By OpenCV, which takes half of Pillow's time and answers the same."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = None
    # Without its end the decoder would fill the missing part with grey and say nothing.
    if _is_whole_jpeg(data):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None or image.shape[1::-1] != size:
        raise InputError(
            f"{what}: damaged JPEG of {len(data)} bytes; expected a complete file. Check the link "
            "to the camera, or lower the rate."
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether the end mark follows the first scan; one in a thumbnail before it does not count."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _JPEG_SCAN:
            return _JPEG_END in data[place:]
        # Fill bytes may come before a marker.
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        place += 1 if marker == 0xFF else 2 + length
    return False
