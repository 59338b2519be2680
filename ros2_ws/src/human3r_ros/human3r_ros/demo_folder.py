"""The demonstration's result: put together out of sight, there only when complete."""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from human3r.atomic import is_running
from human3r.errors import OutputError

MADE_BY = "human3r demo"
_SUMMARY = "summary.json"


class DemoFolder:
    """A folder that appears at ``path`` when ``publish`` is called.

    Until then its content grows in a hidden folder beside it. A result of an earlier
    demonstration at ``path`` is removed at the start, so that it cannot pass for this one's;
    anything else there is refused.

    Raises:
        OutputError: something else is there, or the place is not writable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(path)
            _make_way(path)
            prefix = f".{path.name}.{os.getpid()}."
            self.work = Path(tempfile.mkdtemp(prefix=prefix, suffix=".part", dir=path.parent))
            self.result = self.work / "result"
            self.result.mkdir(mode=0o755)
        except OSError as error:
            raise _not_writable(path, error) from error

    def publish(self, summary: dict[str, Any]) -> None:
        """Write the summary, the last file, and give the folder its name.

        Raises:
            OutputError: the disk refuses, or the name was taken meanwhile.
        """
        content = {"made_by": MADE_BY, **summary}
        try:
            text = json.dumps(content, indent=2, allow_nan=False) + "\n"
            (self.result / _SUMMARY).write_text(text, encoding="utf-8")
            self.result.rename(self.path)
        except OSError as error:
            raise _not_writable(self.path, error) from error

    def discard(self) -> None:
        """Remove what is not part of a published result."""
        shutil.rmtree(self.work, ignore_errors=True)


def _make_way(path: Path) -> None:
    if not path.exists() and not path.is_symlink():
        return
    if path.is_dir() and not path.is_symlink():
        if not any(path.iterdir()):
            path.rmdir()
            return
        if _is_earlier_result(path):
            # Renamed first: removal takes time, and what is half removed must not look whole.
            doomed = path.with_name(f".{path.name}.{os.getpid()}.old.part")
            path.rename(doomed)
            shutil.rmtree(doomed)
            return
    raise OutputError(
        f"{path} exists and is no earlier result of the demo; expected a new name, an empty folder "
        "or such a result. Remove it or choose another --out."
    )


def _is_earlier_result(path: Path) -> bool:
    try:
        summary = json.loads((path / _SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(summary, dict) and summary.get("made_by") == MADE_BY


def _remove_leftovers(path: Path) -> None:
    """Hidden folders of demonstrations that were killed; those still running keep theirs."""
    for entry in path.parent.glob(f".{path.name}.*.part"):
        match = re.fullmatch(rf"\.{re.escape(path.name)}\.(\d+)\..+\.part", entry.name)
        if match and not is_running(int(match[1])):
            shutil.rmtree(entry, ignore_errors=True)


def _not_writable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: cannot be written ({error}); expected a writable place with about a gigabyte of "
        "space. Free some space or choose another --out."
    )
