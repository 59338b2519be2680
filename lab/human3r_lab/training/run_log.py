"""The log of a training: one line of JSON per step."""

import json
import math
from pathlib import Path
from typing import Any

from human3r.atomic import output_errors, whole_file


class RunLog:
    """Lines in ``log.jsonl``; a resumed training first drops those of steps it will repeat.

    Args:
        path: the file.
        done: steps done; lines about later ones are dropped.

    Raises:
        OutputError: not writable.
    """

    def __init__(self, path: Path, done: int) -> None:
        self._path = path
        kept = [line for line in read_log(path) if line.get("step", 0) <= done]
        with whole_file(path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in kept).encode())
        with output_errors(path):
            self._file = path.open("a", encoding="utf-8")

    def write(self, line: dict[str, Any]) -> None:
        """Add a line; it is on disk when this returns."""
        finite = {key: _plain(value) for key, value in line.items()}
        with output_errors(self._path):
            self._file.write(json.dumps(finite) + "\n")
            self._file.flush()

    def close(self) -> None:
        """No more lines."""
        self._file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log; a line that a killed process left unfinished is dropped."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def _plain(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, float):
        return round(value, 7) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
