"""One recording of a batch, in a process of its own, so that nothing of it can harm the others.

A worker that counts as dead may still be at work, behind a network that failed: each writes into
a folder of its own, and the first one to finish gives it the wanted name.
"""

import errno
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from human3r.atomic import output_errors
from human3r.errors import Human3RError, OutputError

TRIES = ".tries"
"""Beside the results: what is not finished, or what workers that died have left."""


@dataclass(frozen=True)
class Task:
    """A recording, and where its results go."""

    source: str
    out: str
    """Folder of the final result; it is whole or not there."""
    run_arguments: tuple[str, ...] = ()
    """More of ``human3r run``."""
    refine_arguments: tuple[str, ...] = ()
    """More of ``human3r refine``."""
    refine: bool = True


@dataclass(frozen=True)
class Outcome:
    """How it went."""

    source: str
    is_done: bool
    message: str
    """The last line of the command: what was found, or what went wrong."""
    seconds: float


def do_task(task: Task) -> Outcome:
    """Run and refine a recording; steps whose folders are there already are not done again."""
    began_s = time.monotonic()
    out = Path(task.out)
    live = out.with_name(out.name + "-live") if task.refine else out
    is_done, message = True, "was there already"
    if Path(task.source, "people.npz").is_file():
        live = Path(task.source)
    elif not is_complete(live):
        is_done, message = _made(live, ["run", task.source, *task.run_arguments])
    if is_done and task.refine and not is_complete(out):
        is_done, message = _made(out, ["refine", str(live), *task.refine_arguments])
    return Outcome(task.source, is_done, message, time.monotonic() - began_s)


def is_complete(folder: Path) -> bool:
    """A result folder gets its name when everything is in it."""
    return (folder / "summary.json").is_file() and (folder / "people.npz").is_file()


@contextmanager
def written_once(wanted: Path) -> Iterator[Path]:
    """A path for a folder that becomes ``wanted``; what another worker finished first stays.

    Raises:
        OutputError: the system refused, or something else than a result has the name.
    """
    own = wanted.parent / TRIES / uuid.uuid4().hex
    with output_errors(own):
        own.mkdir(parents=True)
    try:
        yield own / wanted.name
        with output_errors(wanted):
            _hand_over(own / wanted.name, wanted)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _hand_over(made: Path, wanted: Path) -> None:
    try:
        made.rename(wanted)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if not is_complete(wanted):
            raise OutputError(
                f"{wanted}: is there but no complete result; expected nothing yet. Remove it, or "
                "name another output folder."
            ) from error


def _made(folder: Path, arguments: list[str]) -> tuple[bool, str]:
    """Whether a command made a folder, and the last line that it said."""
    try:
        with written_once(folder) as own:
            code, message = _command([*arguments, "--out", str(own)])
            message = message.replace(os.fspath(own), os.fspath(folder))
            if code:
                raise Human3RError(message)
    except Human3RError as error:
        return False, str(error)
    return True, message


def _command(arguments: list[str]) -> tuple[int, str]:
    command = [sys.executable, "-m", "human3r.batch.worker", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (ended.stderr if ended.returncode else ended.stdout).strip().splitlines()
    return ended.returncode, lines[-1] if lines else f"ended with {ended.returncode}"
