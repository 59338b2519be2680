"""The static scene of a run as a PLY file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from human3r.atomic import whole_file
from human3r.errors import InputError
from human3r.io.scene_cloud import SceneCloud
from human3r.types import Frame, FrameEstimate, PointSet

_ROW = np.dtype([("points", "<f4", 3), ("colors", "u1", 3)])
_PROPERTIES = (
    "property float x\nproperty float y\nproperty float z\n"
    "property uchar red\nproperty uchar green\nproperty uchar blue\n"
)
_MAX_HEADER_BYTES = 4096

_TURN = "level_from_world"

CAMERA_AXES = "metres; x right, y down, z forward of the first camera"
LEVEL_AXES = "metres; x ahead of the first camera, y left, z up; origin: the first camera"
"""The two worlds of a scene, in the words that go into the file."""

DEFAULT_VOXEL_M = 0.02
"""Voxel side of the accumulated scene where ``scene.voxel_m`` is 0 (frames keep all points)."""


class SceneFile:
    """Collects the points of every frame without its people, in the world frame.

    A source that begins a session begins a world; the file holds the last one.
    """

    def __init__(
        self,
        path: Path | None,
        scene_points: Callable[[FrameEstimate], PointSet],
        cloud: SceneCloud,
        *,
        is_level: bool = False,
    ) -> None:
        """Begin a scene.

        Args:
            path: the PLY file to be; None only collects.
            scene_points: an estimate's points without people, camera frame:
                ``Pipeline.scene_points``.
            cloud: collects them; may be shared with a picture.
            is_level: the file is in the level frame, z up, where that was found; else in the world
                frame. It says which.
        """
        self._is_level = is_level
        self._level_from_world: np.ndarray | None = None
        self._path = path
        self._scene_points = scene_points
        self._cloud = cloud

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        if frame.begins_session:
            self._cloud.clear()
        self._level_from_world = estimate.level_from_world if self._is_level else None
        seen = self._scene_points(estimate)
        pose = estimate.world_from_camera
        self._cloud.add(seen.points @ pose[:3, :3].T + pose[:3, 3], seen.colors)

    def finish(self) -> None:
        if self._path is not None:
            points, colors, _ = self._cloud.result()
            write_ply(self._path, points, colors, level_from_world=self._level_from_world)

    def abort(self) -> None:
        """Nothing to do: the file is written at the end, at once."""


def write_ply(
    path: Path,
    points: Float[np.ndarray, "points 3"],
    colors: UInt8[np.ndarray, "points 3"],
    axes: str = CAMERA_AXES,
    *,
    level_from_world: Float[np.ndarray, "4 4"] | None = None,
) -> None:
    """Coloured points as a binary little-endian PLY file.

    Args:
        path: the file to be.
        points: in the frame that ``axes`` names.
        colors: RGB.
        axes: one line that goes into the file as a comment.
        level_from_world: turns them into the level frame, which the file then names, with this
            rotation, so that ``read_ply`` can turn them back.

    Raises:
        OutputError: it cannot be written.
    """
    turned = ""
    if level_from_world is not None:
        points, axes = points @ level_from_world[:3, :3].T, LEVEL_AXES
        turned = f"comment {_TURN} {' '.join(f'{x:.9f}' for x in level_from_world[:3, :3].flat)}\n"
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"comment {axes}\n{turned}"
        f"element vertex {len(points)}\n"
        f"{_PROPERTIES}end_header\n"
    )
    rows = np.empty(len(points), _ROW)
    rows["points"], rows["colors"] = points, colors
    with whole_file(path) as file:
        file.write(header.encode("ascii"))
        file.write(rows.tobytes())


def read_ply(path: Path) -> tuple[Float[np.ndarray, "points 3"], UInt8[np.ndarray, "points 3"]]:
    """Points and colours of a file that ``write_ply`` wrote, always in the world frame.

    Raises:
        InputError: unreadable, or another kind of PLY file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_MAX_HEADER_BYTES)
            text, end, _ = head.partition(b"end_header\n")
            count = (path.stat().st_size - len(text) - len(end)) // _ROW.itemsize
            properties = f"element vertex {count}\n{_PROPERTIES}".encode("ascii")
            if not (text.startswith(b"ply\nformat binary_little_endian") and end):
                raise ValueError("no header of a binary PLY file")
            if not text.endswith(properties):
                raise ValueError(f"not {count} points with colours, as many as fit into the file")
            file.seek(len(text) + len(end))
            rows = np.fromfile(file, _ROW, count)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); expected the scene that `human3r run` wrote. "
            "Run again, or remove the file."
        ) from error
    return _in_world(rows["points"], text), rows["colors"].copy()


def _in_world(points: np.ndarray, header: bytes) -> np.ndarray:
    """Points as the header says, turned back from the level frame."""
    for line in header.decode("ascii", "replace").splitlines():
        words = line.split()
        if words[:2] == ["comment", _TURN] and len(words) == 11:
            level_from_world = np.array(words[2:], np.float64).reshape(3, 3)
            return (points @ level_from_world).astype(np.float32)
    return points.copy()
