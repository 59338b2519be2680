"""Wavefront OBJ: one mesh per person and frame."""

from pathlib import Path
from typing import Any

from human3r.atomic import whole_file
from human3r.export.clip import Clip
from human3r.export.skin import Skin


def write(clip: Clip, skin: Skin, folder: Path) -> dict[str, Any]:
    """Write ``person_ID/000012.obj`` for every frame in which a person was seen.

    Raises:
        OutputError: not writable.
    """
    faces = "".join(f"f {a} {b} {c}\n" for a, b, c in (skin.faces + 1).tolist())
    for person in clip.people:
        (folder / person.name).mkdir()
        for frame, vertices in zip(person.frames, skin.vertices(person), strict=True):
            # One long format is ten times as fast as a line at a time.
            corners = "v %.6f %.6f %.6f\n" * len(vertices) % tuple(vertices.ravel().tolist())
            with whole_file(folder / person.name / f"{frame:06d}.obj") as file:
                file.write(f"# {clip.world.axes}\no {person.name}\n".encode())
                file.write((corners + faces).encode())
    return {"numbers_are": "frames of the run"}
