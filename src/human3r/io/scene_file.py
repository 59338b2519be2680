"""The static scene of a run as a PLY file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from human3r.atomic import whole_file
from human3r.io.scene_cloud import SceneCloud
from human3r.types import Frame, FrameEstimate, PointSet

DEFAULT_VOXEL_M = 0.02
"""Cube side of the accumulated scene where ``scene.voxel_m`` is 0 (frames keep all points)."""


class SceneFile:
    """Collects the points of every frame without its people, in the world frame."""

    def __init__(
        self,
        path: Path | None,
        scene_points: Callable[[FrameEstimate], PointSet],
        cloud: SceneCloud,
    ) -> None:
        """Begin a scene.

        Args:
            path: the PLY file to be; None only collects.
            scene_points: an estimate's points without people, camera frame:
                ``Pipeline.scene_points``.
            cloud: collects them; may be shared with a picture.
        """
        self._path = path
        self._scene_points = scene_points
        self._cloud = cloud

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        seen = self._scene_points(estimate)
        pose = estimate.world_from_camera
        self._cloud.add(seen.points @ pose[:3, :3].T + pose[:3, 3], seen.colors)

    def finish(self) -> None:
        if self._path is not None:
            points, colors, _ = self._cloud.result()
            write_ply(self._path, points, colors)

    def abort(self) -> None:
        """Nothing to do: the file is written at the end, at once."""


def write_ply(
    path: Path,
    points: Float[np.ndarray, "points 3"],
    colors: UInt8[np.ndarray, "points 3"],
    axes: str = "metres; x right, y down, z forward of the first camera",
) -> None:
    """Coloured points as a binary little-endian PLY file.

    Args:
        path: the file to be.
        points: in the frame that ``axes`` names.
        colors: RGB.
        axes: one line that goes into the file as a comment.

    Raises:
        OutputError: it cannot be written.
    """
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"comment {axes}\n"
        f"element vertex {len(points)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n"
    )
    rows = np.empty(len(points), [("points", "<f4", 3), ("colors", "u1", 3)])
    rows["points"], rows["colors"] = points, colors
    with whole_file(path) as file:
        file.write(header.encode("ascii"))
        file.write(rows.tobytes())
