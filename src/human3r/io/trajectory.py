"""The camera path in the format of the TUM RGB-D benchmark, which evo and others read."""

from decimal import Decimal
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.atomic import PartFile
from human3r.errors import InputError
from human3r.types import Frame, FrameEstimate

_HEADER = (
    b"# world_from_camera: stamp_s tx ty tz qx qy qz qw; metres; camera x right, y down, z forward;"
    b" world is the first camera\n"
)
_MAX_BYTES = 2**30


class TrajectoryFile:
    """``stamp tx ty tz qx qy qz qw`` per frame; stamps keep all nanoseconds."""

    def __init__(self, path: Path) -> None:
        self._file = PartFile(path)
        self._file.write(_HEADER)

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        pose = estimate.world_from_camera
        seconds, nanoseconds = divmod(estimate.stamp_ns, 1_000_000_000)
        numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
        text = " ".join(f"{number:.9f}" for number in numbers)
        self._file.write(f"{seconds}.{nanoseconds:09d} {text}\n".encode("ascii"))

    def finish(self) -> None:
        self._file.commit()

    def abort(self) -> None:
        self._file.discard()


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
