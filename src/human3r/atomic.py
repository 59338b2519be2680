"""Result files and folders that are either whole or not there.

Everything is written under a name that ends in ``.part`` and renamed when complete, so a killed
process leaves nothing that looks like a result.
"""

import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from human3r.errors import OutputError

_ADVICE = {
    errno.ENOSPC: "The disk is full: free some space or write elsewhere.",
    errno.EDQUOT: "Your quota is used up: free some space or write elsewhere.",
    errno.EFBIG: "The file is larger than the system allows: write elsewhere or fewer frames.",
    errno.EACCES: "Choose a folder you may write to.",
    errno.EPERM: "Choose a folder you may write to.",
    errno.EROFS: "It is a read-only disk: choose another.",
}

_CLOCK_TICK_NS = 3 * 10**9
"""The coarsest a file system's clock is: two changes within it may have one time."""


def is_running(pid: int) -> bool:
    """Whether a process of this id exists; a zombie does."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def part_path(path: Path) -> Path:
    """Where this process writes the file ``path`` before it is complete."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _part_folder(path: Path) -> Path:
    # Visible, and the same for every process: making it is what keeps two from taking one name.
    return path.with_name(path.name + ".part")


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about writing ``path`` into an OutputError."""
    try:
        yield
    except Exception as error:
        is_of_system = isinstance(error, OSError)
        number = error.errno if is_of_system else _number_in(str(error))
        if not is_of_system and number is None:
            raise
        strerror = error.strerror if is_of_system else os.strerror(number or 0)
        advice = _ADVICE.get(number or 0, "Check the path and your rights.")
        raise OutputError(
            f"{path}: cannot be written ({strerror or error}); expected a writable place. {advice}"
        ) from error


def _number_in(text: str) -> int | None:
    """The system's error number, which safetensors, written in Rust, says in words only."""
    match = re.search(r"\(os error (\d+)\)", text)
    return int(match[1]) if match else None


class PartFile:
    """A file that is written over time and gets its name with ``commit``.

    Raises:
        OutputError: the system refused to make, write or rename it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with output_errors(path):
            self._file = part_path(path).open("wb")

    def write(self, data: bytes) -> None:
        with output_errors(self._path):
            self._file.write(data)

    def commit(self) -> None:
        """Complete: close it and give it its name."""
        with output_errors(self._path):
            self._file.close()
            os.replace(part_path(self._path), self._path)

    def discard(self) -> None:
        """Leave nothing behind; does nothing after ``commit``."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            part_path(self._path).unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """An open binary file that gets its name when the block ends without an error.

    Raises:
        OutputError: the system refused to write.
    """
    part = PartFile(path)
    try:
        with output_errors(path):
            yield part._file
        part.commit()
    except BaseException:
        part.discard()
        raise


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes ``path`` when the block ends without an error.

    Raises:
        OutputError: the system refused to write.
    """
    part = part_path(path)
    try:
        with output_errors(path):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a directory")
            part.touch()  # What cannot be written is reported before the work, not after it.
            yield part
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


class ResultFolder:
    """A folder that gets its name when everything in it is complete.

    ``path`` is the wanted name, or the next free ``name-2``, ``name-3``, ... when that is taken;
    nothing is overwritten. Write into ``part``. Leaving the ``with`` block renames it; leaving it
    by an error removes it.
    """

    path: Path
    part: Path

    def __init__(self, wanted: Path) -> None:
        self._wanted = wanted

    def __enter__(self) -> "ResultFolder":
        with output_errors(self._wanted):
            if self._wanted.exists() and not self._wanted.is_dir():
                raise OutputError(
                    f"{self._wanted}: is a file; expected a folder, or nothing yet. "
                    "Name another folder."
                )
            self._wanted.parent.mkdir(parents=True, exist_ok=True)
            for candidate in self._candidates():
                # Making the folder is also what keeps two runs from choosing the same name.
                with suppress(FileExistsError):
                    _part_folder(candidate).mkdir()
                    self.path, self.part = candidate, _part_folder(candidate)
                    return self
        raise OutputError(
            f"{self._wanted}: so are its first 9999 numbered names taken; expected a free one. "
            "Name another folder."
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            shutil.rmtree(self.part, ignore_errors=True)
            return
        for candidate in chain([self.path], self._candidates()):
            try:
                # Replaces an empty folder, and fails on one that was filled meanwhile.
                os.rename(self.part, candidate)
            except OSError as failed:
                if failed.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    continue
                raise OutputError(
                    f"{self.part}: complete, but cannot be renamed to {candidate.name} "
                    f"({failed.strerror}). The results stay where they are; rename it yourself, "
                    "and do not write straight into a mount point."
                ) from failed
            self.path = candidate
            return

    def _candidates(self) -> Iterator[Path]:
        for number in range(1, 10_000):
            name = self._wanted.name if number == 1 else f"{self._wanted.name}-{number}"
            candidate = self._wanted.with_name(name)
            if not candidate.exists() or (candidate.is_dir() and not any(candidate.iterdir())):
                yield candidate


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file as 64 hex digits; remembered while the file stays as it is."""
    path = Path(path).absolute()
    status = path.stat()
    changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
    if time.time_ns() - changed_ns < _CLOCK_TICK_NS:
        return _sha256(path)
    return _remembered_sha256(path, status.st_dev, status.st_ino, status.st_size, changed_ns)


@lru_cache(64)
def _remembered_sha256(path: Path, *_: int) -> str:
    return _sha256(path)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


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
