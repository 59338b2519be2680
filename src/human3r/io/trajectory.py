"""The camera path in the format of the TUM RGB-D benchmark, which evo and others read."""

from decimal import Decimal
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from human3r.atomic import PartFile, whole_file
from human3r.errors import InputError
from human3r.types import Frame, FrameEstimate

_COLUMNS = "stamp_s tx ty tz qx qy qz qw; metres; camera x right, y down, z forward"
_HEADERS = {
    False: f"# world_from_camera: {_COLUMNS}; world is the first camera\n",
    True: f"# level_from_camera: {_COLUMNS}; level: x ahead of the first camera, y left, z up\n",
}
_UNKNOWN = "# up was not found, so this world is as tilted as its first camera: y down, z forward\n"
_NEW_WORLD = "# a new session, and a world of its own\n"
_MAX_BYTES = 2**30


class TrajectoryFile:
    """``stamp tx ty tz qx qy qz qw`` per frame; stamps keep all nanoseconds."""

    def __init__(self, path: Path, *, is_level: bool = False) -> None:
        """Begin a file.

        Args:
            path: the file to be.
            is_level: poses in the level frame, z up, instead of that of the first camera. Those
                of before up is known wait for it.
        """
        self._file = PartFile(path)
        self._is_level = is_level
        self._waiting: list[tuple[int, np.ndarray]] = []
        self._level: np.ndarray | None = None
        self._write(_HEADERS[is_level])

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        if frame.begins_session:
            self._let_go()
            self._level = None
            self._write(_NEW_WORLD)
        pose = estimate.world_from_camera
        if not self._is_level:
            self._write(_line(estimate.stamp_ns, pose))
            return
        self._waiting.append((estimate.stamp_ns, pose))
        if estimate.level_from_world is not None:
            self._level = estimate.level_from_world
            self._let_go()

    def _let_go(self) -> None:
        if self._waiting and self._level is None:
            self._write(_UNKNOWN)
        for stamp_ns, pose in self._waiting:
            self._write(_line(stamp_ns, pose if self._level is None else self._level @ pose))
        self._waiting.clear()

    def _write(self, text: str) -> None:
        self._file.write(text.encode("ascii"))

    def finish(self) -> None:
        self._let_go()
        self._file.commit()

    def abort(self) -> None:
        self._file.discard()


def write_trajectory(
    path: Path, stamps_ns: Int[np.ndarray, " frames"], poses: Float[np.ndarray, "frames 4 4"]
) -> None:
    """A whole path in the world frame at once, in the same format.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as file:
        file.write(_HEADERS[False].encode("ascii"))
        for stamp_ns, pose in zip(stamps_ns, poses, strict=True):
            file.write(_line(int(stamp_ns), pose).encode("ascii"))


def _line(stamp_ns: int, pose: np.ndarray) -> str:
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
    return f"{seconds}.{nanoseconds:09d} {' '.join(f'{number:.9f}' for number in numbers)}\n"


def read_trajectory(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Stamps (frames,) int64 nanoseconds and poses (frames, 4, 4) of a TUM file.

    Raises:
        InputError: unreadable, or a line without eight finite numbers.
    """
    stamps_ns, poses = [], []
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: larger than {_MAX_BYTES} bytes; expected a TUM trajectory.")
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); expected a TUM trajectory. Check the path."
        ) from error
    for number, line in enumerate(lines, start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            stamp_ns = int(Decimal(words[0]) * 1_000_000_000)
            values = np.array([float(word) for word in words[1:]])
            if values.shape != (7,) or not np.isfinite(values).all():
                raise ValueError(line)
            pose = np.eye(4)
            pose[:3, :3] = Rotation.from_quat(values[3:]).as_matrix()
            pose[:3, 3] = values[:3]
        except (ArithmeticError, ValueError) as error:
            raise InputError(
                f"{path}, line {number}: {line[:80]!r}; expected eight finite numbers: stamp tx "
                "ty tz qx qy qz qw. Correct the line."
            ) from error
        stamps_ns.append(stamp_ns)
        poses.append(pose)
    return np.array(stamps_ns, np.int64), np.array(poses, np.float64).reshape(-1, 4, 4)
