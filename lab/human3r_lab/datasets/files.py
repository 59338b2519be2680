"""Images, depth maps, lists and poses of published datasets, read with bounds and plain errors."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from human3r.errors import InputError
from human3r.types import MAX_IMAGE_PIXELS, Intrinsics

_MAX_TEXT_BYTES = 64 * 2**20


def require(path: Path, layout: str) -> Path:
    """The path, when it is there.

    Args:
        path: file or folder.
        layout: what is expected where, and where the dataset is to be had.

    Raises:
        InputError: it is not.
    """
    if not path.exists():
        raise InputError(f"{path}: not there. {layout}")
    return path


def folders(root: Path, layout: str, pattern: str = "*") -> list[Path]:
    """The folders below one that fit a pattern, by name; at least one.

    Raises:
        InputError: none.
    """
    require(root, layout)
    found = sorted(path for path in root.glob(pattern) if path.is_dir())
    if not found:
        raise InputError(f"{root}: has no folder {pattern}. {layout}")
    return found


def read_rgb(path: Path) -> np.ndarray:
    """(height, width, 3) uint8 RGB.

    Raises:
        InputError: missing, damaged or too large.
    """
    return np.asarray(_opened(path).convert("RGB"))


def read_depth_png(path: Path, units_per_m: float) -> np.ndarray:
    """(height, width) float32 metres of a 16-bit PNG; 0 where there is none.

    Raises:
        InputError: missing, damaged, too large, or not of one channel.
    """
    pixels = np.asarray(_opened(path))
    if pixels.ndim != 2:
        raise InputError(f"{path}: has shape {pixels.shape}; expected one channel of 16 bits.")
    return (pixels / units_per_m).astype(np.float32)


def intrinsics_of(matrix: np.ndarray, image: np.ndarray) -> Intrinsics:
    """The camera of a 3x3 calibration matrix and an image (height, width, 3)."""
    return Intrinsics(
        float(matrix[0, 0]),
        float(matrix[1, 1]),
        float(matrix[0, 2]),
        float(matrix[1, 2]),
        image.shape[1],
        image.shape[0],
    )


def read_rows(path: Path, columns: int, layout: str) -> Iterator[list[str]]:
    """The words of each line of a table; ``#`` begins a comment.

    Args:
        path: text file.
        columns: words per line at least.
        layout: said when the file is missing.

    Raises:
        InputError: missing, damaged, or a line with fewer words.
    """
    require(path, layout)
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise InputError(f"{path}: more than {_MAX_TEXT_BYTES} bytes; expected a list.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}). Get it again.") from error
    for number, line in enumerate(lines, start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if len(words) < columns:
            raise InputError(
                f"{path}, line {number}: {line[:80]!r}; expected {columns} words. Get it again."
            )
        yield words


def nearest(wanted: np.ndarray, offered: np.ndarray, within: float) -> np.ndarray:
    """Per wanted number the index of the nearest offered one; -1 where none is near enough.

    Args:
        wanted: (n,).
        offered: (m,) in any order, not empty.
        within: largest distance.
    """
    order = np.argsort(offered)
    ranks = np.searchsorted(offered[order], wanted)
    candidates = np.stack([(ranks - 1).clip(0), ranks.clip(max=len(offered) - 1)])
    distance = np.abs(offered[order][candidates] - wanted)
    best = distance.argmin(axis=0)
    columns = np.arange(len(wanted))
    found = order[candidates[best, columns]]
    return np.where(distance[best, columns] <= within, found, -1)


def _opened(path: Path) -> Image.Image:
    """The image with its pixels read and its file closed."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise InputError(
                    f"{path}: {image.width}x{image.height} pixels; expected at most "
                    f"{MAX_IMAGE_PIXELS}."
                )
            image.load()
            return image
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: cannot be read as an image ({error}); expected a whole one. Get it again."
        ) from error
