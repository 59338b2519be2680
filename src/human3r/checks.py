"""Readable checks for the public edge: what was seen, what was expected, what to do."""

from pathlib import Path

import numpy as np

from human3r.errors import OutputError, ShapeError

MAX_IMAGE_PIXELS = 67_108_864
"""Absolute bound on one image; front ends usually set a lower one."""


def _way_to_rgb(image: np.ndarray) -> str:
    """What to do with an array that is no 8-bit RGB image, as far as its shape tells."""
    channels_first = image.ndim == 3 and image.shape[0] in (1, 3, 4) and image.shape[2] > 4
    if image.ndim == 4:
        return "Give one image at a time, for example images[0]; human3r.run takes all of them."
    if channels_first:
        return "Its channels come first: image.transpose(1, 2, 0)."
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return "A grey image: numpy.stack([image] * 3, axis=-1) of its two axes, as uint8."
    if image.ndim == 3 and image.shape[2] == 4:
        return "Without its fourth channel: image[..., :3], or image[..., 2::-1] where it is BGRA."
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype.kind == "f":
        return "Where its values go from 0 to 1: (255 * image).round().astype(numpy.uint8)."
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint16:
        return "Where all 16 bits are in use: (image >> 8).astype(numpy.uint8)."
    return "Convert it to 8-bit RGB."


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
            f"{name}: expected {expected}, got {seen}. {_way_to_rgb(image)}", expected, seen
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


def check_output_path(output: str | Path, *inputs: str | Path, may_replace: bool = False) -> Path:
    """The path of a file to write, when nothing is lost by writing it.

    Args:
        output: the file to write.
        inputs: files that are read for it.
        may_replace: the user said that an existing file may go.

    Raises:
        OutputError: writing would replace an input, or a file that is there already.
    """
    for given in inputs:
        if Path(output).resolve() == Path(given).resolve():
            raise OutputError(
                f"{output}: is also read; expected another file to write to. "
                "Name an output of its own."
            )
    if not may_replace and Path(output).exists():
        raise OutputError(
            f"{output}: is there already; expected a new file, so that nothing is lost. Name "
            "another, or add --force to replace it."
        )
    return Path(output)
