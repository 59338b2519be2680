"""The demonstration's result: put together out of sight, there only when complete."""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from human3r.atomic import ResultFolder, is_running, output_errors, whole_file
from human3r.errors import OutputError

MADE_BY = "human3r demo"
PAGE = "demo.html"
"""People, scene and camera in 3D, to open in a browser."""
_SUMMARY = "summary.json"


class DemoFolder(ResultFolder):
    """A result folder that takes the place of an earlier demonstration's.

    Until it is complete its content grows in a hidden folder beside it. A result of an earlier
    demonstration is removed at the start, so that it cannot pass for this one's; anything else
    there is refused.

    Attributes:
        work: for logs and other files that are no part of the result.
    """

    work: Path

    def __enter__(self) -> "DemoFolder":
        """Make room.

        Raises:
            OutputError: something else is there, or the place is not writable.
        """
        path = self.path = self._wanted
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(path)
            _make_way(path)
            prefix = f".{path.name}.{os.getpid()}."
            self.work = Path(tempfile.mkdtemp(prefix=prefix, suffix=".part", dir=path.parent))
            self.part = self.work / "result"
            self.part.mkdir(mode=0o755)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Raises where a complete result cannot get its name; it then stays where it is.
        super().__exit__(kind, error, trace)
        shutil.rmtree(self.work, ignore_errors=True)

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write ``summary.json``.

        Raises:
            OutputError: the disk refuses.
            ValueError: a number in it is not finite.
        """
        text = json.dumps({"made_by": MADE_BY, **summary}, indent=2, allow_nan=False) + "\n"
        with whole_file(self.part / _SUMMARY) as file:
            file.write(text.encode("utf-8"))


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
