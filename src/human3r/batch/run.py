"""A batch from start to end: what is left to do, retries, the report."""

import glob
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from human3r.atomic import output_errors, whole_file
from human3r.batch.manifest import DONE, FAILED, STARTED, Manifest
from human3r.batch.work import TRIES, Outcome, Task, is_complete
from human3r.errors import InputError

_KINDS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"})
MANIFEST, REPORT = "manifest.jsonl", "report.json"

Workers = Callable[[Sequence[Task]], Iterator[Outcome]]


@dataclass(frozen=True)
class Summary:
    """What became of a batch."""

    num_done: int
    num_before: int
    """Of these, done by an earlier call."""
    failures: dict[str, str]
    """Why, by recording."""


def find_recordings(pattern: str) -> list[Path]:
    """Videos, bags and results in a folder, or what a pattern names, in order.

    Raises:
        InputError: nothing of that kind.
    """
    folder = Path(pattern)
    candidates = (
        sorted(folder.iterdir()) if folder.is_dir() else sorted(map(Path, glob.glob(pattern)))
    )
    if folder.is_dir() and _is_recording(folder):
        candidates = [folder]
    found = sorted(path for path in candidates if _is_recording(path))
    if not found:
        raise InputError(
            f"{pattern}: no recordings; expected videos, bags or results of `human3r run`, in a "
            "folder or by a pattern in quotes. Check the path."
        )
    return found


def _is_recording(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).is_file() for name in ("people.npz", "metadata.yaml"))
    return path.suffix.lower() in _KINDS | {".bag", ".mcap"}


def tasks_for(recordings: Sequence[Path], out: Path, like: Task) -> list[Task]:
    """A task per recording; recordings of one name get folders of different names."""
    names: dict[str, int] = {}
    for path in recordings:
        names[path.stem] = names.get(path.stem, 0) + 1
    tasks = []
    for path in recordings:
        name = path.stem
        if names[name] > 1:
            name += "-" + hashlib.sha256(str(path).encode()).hexdigest()[:8]
        tasks.append(replace(like, source=str(path), out=str(out / name)))
    return tasks


def run_batch(
    tasks: Sequence[Task],
    out: Path,
    workers: Workers,
    retries: int = 1,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> Summary:
    """Do what is left of a batch.

    What an earlier call finished is not done again; what failed then is tried anew. The manifest
    has every event on the disk before the next one.

    Args:
        tasks: all recordings.
        out: folder of manifest and report.
        workers: do tasks and yield their outcomes as they come.
        retries: how often a failure is tried again.
        tell: told every outcome.

    Raises:
        OutputError: the manifest cannot be written.
        InputError: the folder holds the manifest of something else.
    """
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    manifest = Manifest.open(out / MANIFEST)
    known = manifest.entries
    before = [
        task
        for task in tasks
        if task.source in known and known[task.source].state == DONE and is_complete(Path(task.out))
    ]
    left = [task for task in tasks if task not in before]
    for attempt in range(retries + 1):
        if not left:
            break
        for task in left:
            manifest.add(task.source, STARTED, f"try {attempt + 1}")
        by_source = {task.source: task for task in left}
        for outcome in workers(left):
            is_done = outcome.is_done and is_complete(Path(by_source[outcome.source].out))
            state = DONE if is_done else FAILED
            manifest.add(outcome.source, state, outcome.message, outcome.seconds)
            tell(outcome)
        left = [task for task in left if manifest.entries[task.source].state != DONE]
    summary = Summary(
        len(tasks) - len(left),
        len(before),
        {task.source: manifest.entries[task.source].message for task in left},
    )
    shutil.rmtree(out / TRIES, ignore_errors=True)
    write_report(out, tasks, manifest, summary)
    return summary


def write_report(out: Path, tasks: Sequence[Task], manifest: Manifest, summary: Summary) -> None:
    """report.json: all recordings with their state, what took how long, and what was refined."""
    rows = []
    for task in tasks:
        entry = manifest.entries[task.source]
        row = {
            "source": task.source,
            "out": task.out,
            "state": entry.state,
            "tries_failed": entry.tries,
            "seconds": entry.seconds,
            "message": entry.message,
        }
        refined = Path(task.out) / "refine.json"
        if refined.is_file():
            row["refine"] = json.loads(refined.read_text("utf-8"))
        rows.append(row)
    document = {
        "made_by": "human3r batch",
        "done": summary.num_done,
        "failed": len(summary.failures),
        "recordings": rows,
    }
    with whole_file(out / REPORT) as file:
        file.write((json.dumps(document, indent=2) + "\n").encode("utf-8"))
