"""Joints as a table: one row per person and frame, three columns per joint."""

import csv
import io
from pathlib import Path

import numpy as np

from human3r.atomic import whole_file
from human3r.export.clip import Clip


def write(clip: Clip, path: Path) -> None:
    """Write joints and landmarks as the frames say them; the first line, a comment, has the axes.

    Raises:
        OutputError: not writable.
    """
    names = [f"{name}_{axis}_m" for name in clip.joint_names for axis in "xyz"]
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        text.write(f"# joints; {clip.world.axes}\n")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["frame", "stamp_ns", "time_s", "track_id", "score", *names])
        for row in _rows(clip):
            table.writerow(row)
        text.detach()


def _rows(clip: Clip):
    """In the order of the frames, people by identity."""
    sights = sorted(
        (frame, person.track_id, person, index)
        for person in clip.people
        for index, frame in enumerate(person.frames.tolist())
    )
    for frame, track_id, person, index in sights:
        places = np.char.mod("%.6f", person.joints[index].reshape(-1)).tolist()
        head = [frame, int(clip.stamps_ns[frame]), f"{clip.times_s[frame]:.9f}", track_id]
        yield [*head, f"{person.scores[index]:.4f}", *places]
