"""PLY: one mesh per person and frame, and the scene in the same axes."""

from pathlib import Path
from typing import Any

import numpy as np

from human3r.atomic import whole_file
from human3r.export.clip import Clip
from human3r.export.skin import Skin
from human3r.io.scene_file import write_ply


def write(clip: Clip, skin: Skin, folder: Path) -> dict[str, Any]:
    """Write ``person_ID/000012.ply`` for every sight, and ``scene.ply``.

    Raises:
        OutputError: not writable.
    """
    rows = np.empty(len(skin.faces), [("count", "u1"), ("corners", "<i4", 3)])
    rows["count"], rows["corners"] = 3, skin.faces
    for person in clip.people:
        (folder / person.name).mkdir()
        for frame, vertices in zip(person.frames, skin.vertices(person), strict=True):
            with whole_file(folder / person.name / f"{frame:06d}.ply") as file:
                file.write(_header(clip, len(vertices), len(rows)).encode("ascii"))
                file.write(vertices.astype("<f4").tobytes())
                file.write(rows.tobytes())
    write_ply(folder / "scene.ply", clip.points.astype(np.float32), clip.colors, clip.world.axes)
    return {"numbers_are": "frames of the run"}


def _header(clip: Clip, num_vertices: int, num_faces: int) -> str:
    return (
        "ply\nformat binary_little_endian 1.0\n"
        f"comment {clip.world.axes}\n"
        f"element vertex {num_vertices}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {num_faces}\nproperty list uchar int vertex_indices\nend_header\n"
    )
