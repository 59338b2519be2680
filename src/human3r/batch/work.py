"""One recording of a batch, in a process of its own, so that nothing of it can harm the others."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


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
    message = "was there already"
    steps = []
    if Path(task.source, "people.npz").is_file():
        live = Path(task.source)
    elif not is_complete(live):
        steps.append((live, ["run", task.source, "--out", str(live), *task.run_arguments]))
    if task.refine and not is_complete(out):
        steps.append((out, ["refine", str(live), "--out", str(out), *task.refine_arguments]))
    for folder, arguments in steps:
        _clear(folder)
        code, message = _command(arguments)
        if code:
            return Outcome(task.source, False, message, time.monotonic() - began_s)
    return Outcome(task.source, True, message, time.monotonic() - began_s)


def is_complete(folder: Path) -> bool:
    """A result folder gets its name when everything is in it."""
    return (folder / "summary.json").is_file() and (folder / "people.npz").is_file()


def _clear(folder: Path) -> None:
    """Remove what a killed process left of this folder."""
    import shutil

    shutil.rmtree(folder.with_name(folder.name + ".part"), ignore_errors=True)


def _command(arguments: list[str]) -> tuple[int, str]:
    command = [sys.executable, "-m", "human3r.batch.worker", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (ended.stderr if ended.returncode else ended.stdout).strip().splitlines()
    return ended.returncode, lines[-1] if lines else f"ended with {ended.returncode}"
