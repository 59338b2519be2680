"""Encoded still images (JPEG, PNG, ...) to RGB, with the size checked before decoding."""

import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from human3r.errors import InputError
from human3r.io.frame_source import Selection

# Listed by hand: Pillow would start other programs for some formats (Ghostscript for EPS).
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM")
_EIGHT_BIT_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "CMYK", "YCbCr", "1", "RGBX")


def decode_rgb(data: Path | BinaryIO, what: str, selection: Selection) -> np.ndarray:
    """An encoded image as (height, width, 3) uint8 RGB, turned as its EXIF data say.

    Args:
        data: a file, or an open one.
        what: how to call it in an error message.
        selection: the largest size to accept.

    Raises:
        InputError: not an 8-bit image, damaged, or too large.
    """
    try:
        with warnings.catch_warnings():
            # The limit of ours below is stricter and has a message.
            warnings.simplefilter("ignore")
            with Image.open(data, formats=_FORMATS) as image:
                selection.check_size(*image.size, what)
                if image.mode not in _EIGHT_BIT_MODES:
                    raise InputError(
                        f"{what}: pixels are {image.mode}; expected 8 bits per channel. "
                        "Convert the image; the range of other pixels cannot be guessed."
                    )
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{what}: absurdly large ({error}); expected at most {selection.max_pixels} pixels "
            "(input.max_pixels). Reduce the image."
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(
            f"{what}: cannot be read as an image ({error}); expected a complete PNG, JPEG, BMP, "
            "WebP, TIFF or PPM. Check the file."
        ) from error
