"""Image folders, lists of images and single images."""

import itertools
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from human3r.errors import InputError
from human3r.io.encoded import ImageFiles
from human3r.io.frame_source import FrameSource, Selection
from human3r.types import Frame

DEFAULT_RATE_HZ = 10.0
"""Rate assumed for images that say nothing about time."""
STAMPS_FILE = "stamps.txt"
"""Optional file in the folder: one time in seconds per image, in the order of the images."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""Names of image files end so."""
PHONE_SUFFIXES = (".heic", ".heif", ".avif")
"""Images that phones take and human3r cannot read."""
_MAX_STAMPS_BYTES = 64 * 2**20


class ImageFolderSource(FrameSource):
    """Images of one folder in the natural order of their names, images in the order given, or one.

    Stamps come from the selection's rate; else from ``stamps.txt`` beside the images of a folder;
    else from the names, where all of them are times (seconds with a decimal point, or nanoseconds
    of 16 digits and more); else images are 0.1 s apart. One image that cannot be read, or is of
    another size, is left out with a warning.
    """

    skips_damaged = True
    skips_odd_sizes = True

    def __init__(self, given: Path | Sequence[Path], selection: Selection) -> None:
        paths = [given] if isinstance(given, Path) else list(given)
        folder = paths[0] if len(paths) == 1 else paths[0].parent
        super().__init__(folder.resolve().name or str(folder), selection)
        self._paths = paths if len(paths) > 1 else _image_paths(folder)
        self._files = ImageFiles(selection, self.name)
        self._stamps_ns = _stamps_ns(folder, self._paths, selection.rate_hz)
        span_ns = self._stamps_ns[-1] - self._stamps_ns[0]
        rate_hz = (len(self._paths) - 1) * 1e9 / span_ns if span_ns > 0 else DEFAULT_RATE_HZ
        self.rate_hz = rate_hz / selection.every

    def _total(self) -> int:
        return len(self._paths)

    def _items(self) -> Iterator[tuple[Path, int]]:
        return zip(self._paths, self._stamps_ns, strict=True)

    def _decode(self, item: tuple[Path, int], number: int) -> Frame:
        path, stamp_ns = item
        if path.suffix.lower() in PHONE_SUFFIXES:
            raise InputError(_to_be_converted(path))
        return Frame(self._files.read(path), stamp_ns)


def _to_be_converted(path: Path) -> str:
    kind = path.suffix[1:].upper()
    return (
        f"{path}: a picture of the kind {kind}, as phones take them; expected JPEG, PNG or another "
        "kind that needs no further decoder. Convert it (Linux: heif-convert IN OUT.jpg; macOS: "
        "sips -s format jpeg IN --out OUT.jpg), or let the phone save JPEG (iPhone: Settings, "
        "Camera, Formats, Most Compatible)."
    )


def _image_paths(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    entries = [e for e in path.iterdir() if not e.name.startswith(".") and e.is_file()]
    # Those of phones too: they are left out and counted as others that cannot be read.
    paths = [entry for entry in entries if entry.suffix.lower() in (*SUFFIXES, *PHONE_SUFFIXES)]
    if not paths:
        raise InputError(
            f"{path}: no image in this folder; expected files such as {', '.join(SUFFIXES[:3])}. "
            "Check the path, and whether the images lie in a folder below."
        )
    return sorted(paths, key=natural_order)


def natural_order(path: str | Path) -> list[tuple[int, int, str]]:
    """Key for sorting by name, frame9 before frame10."""
    parts = re.split(r"([0-9]+)", Path(path).name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


def _stamps_ns(path: Path, paths: list[Path], rate_hz: float | None) -> list[int]:
    if rate_hz is not None:
        return [round(number * 1e9 / rate_hz) for number in range(len(paths))]
    listed = path / STAMPS_FILE
    if path.is_dir() and listed.is_file():
        stamps_ns, origin = _read_stamps(listed), str(listed)
        if len(stamps_ns) != len(paths):
            raise InputError(
                f"{listed}: {len(stamps_ns)} stamps for {len(paths)} images; expected one line "
                "per image, in the order of their names. Correct or remove the file."
            )
    else:
        named = [_stamp_from_name(entry.stem) for entry in paths]
        if any(stamp is None for stamp in named):
            period_ns = round(1e9 / DEFAULT_RATE_HZ)
            return [number * period_ns for number in range(len(paths))]
        stamps_ns, origin = [stamp for stamp in named if stamp is not None], f"names in {path}"
    for before, after in itertools.pairwise(stamps_ns):
        if after <= before:
            raise InputError(
                f"{origin}: stamp {after} ns follows {before} ns; expected strictly increasing "
                "times. Sort them or rename the images."
            )
    return stamps_ns


def _read_stamps(path: Path) -> list[int]:
    if path.stat().st_size > _MAX_STAMPS_BYTES:
        raise InputError(
            f"{path}: {path.stat().st_size} bytes; expected at most {_MAX_STAMPS_BYTES}, one time "
            "per line. Is it another file?"
        )
    stamps_ns = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as text ({error}); expected one time in seconds per line. "
            "Correct or remove it."
        ) from error
    for number, line in enumerate(lines, start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            stamps_ns.append(_nanoseconds(words[0]))
        except (InvalidOperation, ValueError) as error:
            raise InputError(
                f"{path}, line {number}: {line[:60]!r} does not begin with a time; expected "
                "seconds such as 12.345. Correct the line."
            ) from error
    return stamps_ns


def _nanoseconds(seconds: str) -> int:
    """Exactly, unlike through a float; limited to what a signed 64-bit number of ns can hold."""
    value = Decimal(seconds)
    if not value.is_finite() or not 0 <= value < 9_000_000_000:
        raise ValueError(seconds)
    return int(value * 1_000_000_000)


def _stamp_from_name(stem: str) -> int | None:
    if re.fullmatch(r"[0-9]{16,18}|[1-8][0-9]{18}", stem):
        return int(stem)
    if re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}|[1-8][0-9]{9}\.[0-9]{1,9}", stem):
        return _nanoseconds(stem)
    return None
