"""Readable checks for the public edge: what was seen, what was expected, what to do."""

from pathlib import Path

import numpy as np

from human3r.errors import OutputError, ShapeError

MAX_IMAGE_PIXELS = 67_108_864
"""Absolute bound on one image; front ends usually set a lower one."""


def check_rgb_image(image: object, name: str = "image") -> np.ndarray:
    """The image itself, when it is a uint8 array of shape (height, width, 3) of sane size.

    Raises:
        ShapeError: anything else.
    """
    expected = "uint8 with shape (height, width, 3)"
    if not isinstance(image, np.ndarray):
        raise ShapeError(
            f"{name}: expected {expected}, got {type(image).__name__}. "
            "Convert with numpy.asarray(image.convert('RGB')) or similar.",
            expected,
            type(image).__name__,
        )
    seen = f"{image.dtype} {image.shape}"
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ShapeError(
            f"{name}: expected {expected}, got {seen}. Convert to 8-bit RGB first.", expected, seen
        )
    height, width = image.shape[:2]
    if height == 0 or width == 0:
        raise ShapeError(
            f"{name}: got an empty image {seen}; expected at least one pixel. Check the source.",
            expected,
            seen,
        )
    if height * width > MAX_IMAGE_PIXELS:
        raise ShapeError(
            f"{name}: {width}x{height} is more than {MAX_IMAGE_PIXELS} pixels. "
            "Reduce the image before passing it on.",
            expected,
            seen,
        )
    return image


def check_output_path(output: str | Path, *inputs: str | Path) -> Path:
    """The path of a file to write, when it is none of the files that are read for it.

    Raises:
        OutputError: writing would replace an input.
    """
    for given in inputs:
        if Path(output).resolve() == Path(given).resolve():
            raise OutputError(
                f"{output}: is also read; expected another file to write to. "
                "Name an output of its own."
            )
    return Path(output)
