"""The accumulated map: grown by the worker, published at intervals, saved on request."""

import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
from std_msgs.msg import Header

from human3r.config import Settings
from human3r.errors import InputError, OutputError
from human3r.io.scene_file import write_ply
from human3r.mapping.map_files import write_occupancy, write_pcd
from human3r.mapping.occupancy import OccupancyGrid, occupancy_grid
from human3r.mapping.voxel_map import VoxelMap
from human3r.types import Intrinsics, PointSet
from human3r_ros import convert, scene_messages
from human3r_ros.outputs import Outputs

_MAX_POINTS = 200_000
_MAX_NAME_BYTES = 200
_SWEEP_FRAMES = 10
"""Looking for what is too far away goes over the whole map, and the camera moves slowly."""
_NOTHING = (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.float32))
_ENDINGS = (".ply", ".pcd", ".yaml")
_AXES = "metres; level frame: z up, x along the first camera's heading, y left"


class MapOutput:
    """The voxel map of one stream in its level frame.

    ``clear`` and ``save`` may be called from another thread than the worker's.

    Attributes:
        stamp_ns: of the last frame taken in.
    """

    def __init__(self, outputs: Outputs) -> None:
        """An empty map, made with the settings of its first frame.

        Args:
            outputs: where its messages go.
        """
        self._outputs = outputs
        self._door = threading.Lock()
        self._saving = threading.Lock()
        self._voxels: VoxelMap | None = None
        self._frames = 0
        self._is_changed = False
        self._sent_ns: int | None = None
        self._camera_m = 0.0
        self.stamp_ns = 0
        self._has_sent_points = False

    def update(
        self,
        points: PointSet,
        depth: np.ndarray,
        is_sure: np.ndarray,
        depth_camera: Intrinsics,
        level_from_camera: np.ndarray,
        stamp_ns: int,
        settings: Settings,
    ) -> None:
        """Take in one frame.

        Args:
            points: of the static scene alone, camera frame.
            depth: (height, width) metres.
            is_sure: (height, width) bool, where depth can be relied on.
            depth_camera: of the depth.
            level_from_camera: (4, 4) finite.
            stamp_ns: of the frame.
            settings: of the map.
        """
        rotation, origin = level_from_camera[:3, :3], level_from_camera[:3, 3]
        points_level = points.points @ rotation.T.astype(np.float32) + origin.astype(np.float32)
        with self._door:
            if self._voxels is None:
                self._voxels = VoxelMap(settings.map.voxel_m, settings.map.max_voxels)
            # First, so that nothing is taken from what this frame brings.
            self._voxels.clear_seen_through(depth, is_sure, depth_camera, level_from_camera)
            self._voxels.add(points_level, points.colors, stamp_ns)
            if self._frames % _SWEEP_FRAMES == 0:
                self._voxels.forget_far(origin, settings.map.radius_m)
            self._frames += 1
            self._camera_m = float(origin[2])
            self.stamp_ns, self._is_changed = stamp_ns, True

    def publish_if_due(self, now_ns: int, settings: Settings) -> None:
        """Send the map when it has changed and the last message is a period old."""
        period_ns = round(1e9 * settings.map.publish_period_s)
        is_early = self._sent_ns is not None and 0 <= now_ns - self._sent_ns < period_ns
        if not is_early:
            self.publish(now_ns, settings)

    def publish(self, now_ns: int, settings: Settings) -> None:
        """Send the map when it has changed since the last message."""
        if not self._is_changed:
            return
        with self._door:
            found = self._find(settings.map.min_observations, _MAX_POINTS)
            self._is_changed = False
            stamp_ns = self.stamp_ns
        # Without an earlier map, an empty one is not worth a message.
        if len(found[0]) or self._has_sent_points:
            self._sent_ns, self._has_sent_points = now_ns, len(found[0]) > 0
            header = convert.header(stamp_ns, settings.frames.level)
            self._outputs.send("map", scene_messages.map_cloud(*found, header))
            self._send_grid(found[0], header, settings)

    def _send_grid(self, points: np.ndarray, header: Header, settings: Settings) -> None:
        """The map from above, where it has a subscriber and the map shows a floor."""
        if self._outputs.is_wanted("map_grid"):
            with suppress(InputError):
                grid = self._grid(points, settings)
                self._outputs.send("map_grid", scene_messages.occupancy_grid(grid, header))

    def clear(self) -> int:
        """Forget everything; the empty map is sent with the next frame or idle report.

        Returns:
            How many voxels there were.
        """
        with self._door:
            count = 0 if self._voxels is None else len(self._voxels)
            self._voxels = None
            self._is_changed, self._sent_ns = True, None
            return count

    def save(self, name: str, settings: Settings) -> tuple[Path, int]:
        """Write what would be published, all of it, below ``map.directory``.

        A name's ending says as what: .ply (also without an ending) or .pcd for points, .yaml for
        an occupancy grid with its image beside it, as Nav2's map_server reads them.

        Returns:
            The file and how many points it holds.

        Raises:
            InputError: a name that is none, or saving is not allowed; a grid of a map without
                floor.
            OutputError: the file exists, or cannot be written.
        """
        path = map_path(name, settings.map.directory)
        with self._saving:
            for file in _files(path):
                if file.exists() or file.is_symlink():
                    raise OutputError(f"{file} exists; expected a new name. Choose another one.")
            with self._door:
                points, colors, _ = self._find(settings.map.min_observations, None)
            kind = path.suffix.lower()
            if kind == ".yaml":
                write_occupancy(path, self._grid(points, settings))
            elif kind == ".pcd":
                write_pcd(path, points, colors, _AXES)
            else:
                write_ply(path, points, colors, axes=_AXES)
        return path, len(points)

    def _grid(self, points: np.ndarray, settings: Settings) -> OccupancyGrid:
        chosen = settings.map
        return occupancy_grid(
            points, self._camera_m, chosen.voxel_m, chosen.obstacle_min_m, chosen.obstacle_max_m
        )

    def _find(
        self, min_observations: int, limit: int | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _NOTHING if self._voxels is None else self._voxels.points(min_observations, limit)


def map_path(name: str, directory: str) -> Path:
    """Where a map of this name goes.

    Raises:
        InputError: the name is no plain file name, or ``map.directory`` no folder.
    """
    if not directory:
        raise InputError(
            "map.directory is empty; expected a folder, so nothing may be saved. Set it while the "
            "node is unconfigured."
        )
    folder = Path(directory).expanduser()
    if not folder.is_dir():
        raise InputError(f"map.directory is {directory!r}; expected an existing folder. Make it.")
    is_plain = name.isprintable() and not set("/\\") & set(name) and not name.startswith(".")
    if not name or not is_plain or len(name.encode()) > _MAX_NAME_BYTES:
        raise InputError(
            f"the map's name is {name[:80]!r}; expected a file name without separators, not "
            f"starting with a dot, of at most {_MAX_NAME_BYTES} bytes. It is written below "
            "map.directory."
        )
    return folder / (name if name.lower().endswith(_ENDINGS) else f"{name}.ply")


def _files(path: Path) -> list[Path]:
    is_grid = path.suffix.lower() == ".yaml"
    return [path, path.with_suffix(".pgm")] if is_grid else [path]
