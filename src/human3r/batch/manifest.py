"""The manifest of a batch: one line of JSON per event, appended, so that nothing is ever lost."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from human3r.atomic import output_errors
from human3r.errors import InputError

DONE, FAILED, STARTED = "done", "failed", "started"


@dataclass
class Entry:
    """What is known of one recording."""

    source: str
    state: str = ""
    """Of the last event; empty: nothing happened yet."""
    tries: int = 0
    """Failures so far."""
    message: str = ""
    """Of the last event: what was found, or what went wrong."""
    seconds: float = 0.0


@dataclass
class Manifest:
    """Events of all recordings, as they were written."""

    path: Path
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> "Manifest":
        """The manifest at a path; a new one when there is none.

        A last line that was cut off by a crash does not count.

        Raises:
            InputError: something else than a manifest.
        """
        manifest = cls(path)
        if not path.exists():
            return manifest
        lines = path.read_text("utf-8", errors="replace").split("\n")
        for number, line in enumerate(lines):
            try:
                if line:
                    manifest._take(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                if number == len(lines) - 1:
                    break
                raise InputError(
                    f"{path}, line {number + 1}: {line[:80]!r} is no event; expected the manifest "
                    "of a batch. Name another output folder, or remove the line."
                ) from error
        # Whatever was cut off is removed, so that the next event begins a line.
        whole = "".join(line + "\n" for line in lines[:-1])
        if lines[-1]:
            with output_errors(path):
                path.write_text(whole, "utf-8")
        return manifest

    def add(self, source: str, state: str, message: str = "", seconds: float = 0.0) -> None:
        """Write an event, on the disk when this returns.

        Raises:
            OutputError: it cannot be written.
        """
        event = {"source": source, "state": state, "message": message, "seconds": round(seconds, 3)}
        with output_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(event)

    def _take(self, event: dict) -> None:
        entry = self.entries.setdefault(event["source"], Entry(event["source"]))
        entry.state, entry.message = event["state"], event["message"]
        entry.seconds = float(event["seconds"])
        entry.tries += event["state"] == FAILED
