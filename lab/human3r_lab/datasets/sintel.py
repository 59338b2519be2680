"""MPI Sintel: a film with exact depth and camera path.

Layout: ``training/final/SEQUENCE/frame_0001.png``, ``training/depth/SEQUENCE/frame_0001.dpt`` and
``training/camdata_left/SEQUENCE/frame_0001.cam``.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from human3r.errors import InputError
from human3r.types import MAX_IMAGE_PIXELS
from human3r_lab.datasets.files import folders, intrinsics_of, read_rgb, require
from human3r_lab.datasets.recorded import RecordedSequence, RecordedView

LAYOUT = (
    "Expected training/final, training/depth and training/camdata_left with a folder per sequence "
    "each, as from http://sintel.is.tue.mpg.de (main archive, depth, camera motion)."
)
CAMERA_SEQUENCES = (
    *("alley_2", "ambush_4", "ambush_5", "ambush_6", "cave_2", "cave_4", "market_2"),
    *("market_5", "market_6", "shaman_3", "sleeping_1", "sleeping_2", "temple_2", "temple_3"),
)
"""Those on which the camera's path is evaluated; in the others it hardly moves."""
_TAG = 202021.25
_RATE_HZ = 24.0


class _Item(NamedTuple):
    number: int
    image: Path
    depth: Path
    camera: Path
    has_path: bool


def open_sintel(root: Path) -> list[RecordedSequence]:
    """All training sequences in the final rendering.

    Raises:
        InputError: folders or files are missing.
    """
    training = root / "training"
    return [
        RecordedSequence(folder.name, _items(training, folder), _read)
        for folder in folders(training / "final", LAYOUT)
    ]


def read_dpt(path: Path) -> np.ndarray:
    """(height, width) float32 metres.

    Raises:
        InputError: missing or damaged.
    """
    data = _bytes(path, 12 + 4 * MAX_IMAGE_PIXELS)
    head = np.frombuffer(data[:12], "<i4") if len(data) >= 12 else np.zeros(3, np.int32)
    width, height = int(head[1]), int(head[2])
    is_right = np.frombuffer(data[:4], "<f4").tolist() == [_TAG] and min(width, height) > 0
    if not is_right or len(data) != 12 + 4 * width * height:
        raise InputError(f"{path}: no whole .dpt file; expected {_TAG}, sizes and float32 depth.")
    return np.frombuffer(data[12:], "<f4").reshape(height, width)


def read_cam(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The 3x3 calibration matrix, and world_from_camera (4, 4).

    Raises:
        InputError: missing or damaged.
    """
    data = _bytes(path, 4 + 21 * 8)
    values = np.frombuffer(data[4:], "<f8") if len(data) == 4 + 21 * 8 else np.zeros(0)
    if len(values) != 21 or np.frombuffer(data[:4], "<f4")[0] != _TAG:
        raise InputError(f"{path}: no whole .cam file; expected {_TAG}, K and a 3x4 matrix.")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: holds numbers that are not finite. Get it again.")
    camera_from_world = np.eye(4)
    camera_from_world[:3] = values[9:].reshape(3, 4)
    if abs(np.linalg.det(camera_from_world[:3, :3]) - 1) > 1e-3:
        raise InputError(f"{path}: its 3x4 matrix is no rigid motion. Get it again.")
    return values[:9].reshape(3, 3), np.linalg.inv(camera_from_world)


def _items(training: Path, folder: Path) -> list[_Item]:
    images = sorted(folder.glob("frame_*.png"))
    if not images:
        raise InputError(f"{folder}: no frame_*.png in it. {LAYOUT}")
    return [
        _Item(
            number,
            image,
            require(training / "depth" / folder.name / f"{image.stem}.dpt", LAYOUT),
            require(training / "camdata_left" / folder.name / f"{image.stem}.cam", LAYOUT),
            folder.name in CAMERA_SEQUENCES,
        )
        for number, image in enumerate(images)
    ]


def _read(item: _Item) -> RecordedView:
    image, depth = read_rgb(item.image), read_dpt(item.depth)
    matrix, world_from_camera = read_cam(item.camera)
    return RecordedView(
        image=image,
        stamp_ns=math.ceil((item.number + 1) * 1e9 / _RATE_HZ),
        intrinsics=intrinsics_of(matrix, image),
        depth_m=np.where(np.isfinite(depth), depth, 0).astype(np.float32),
        world_from_camera=world_from_camera if item.has_path else None,
    )


def _bytes(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise InputError(f"{path}: {path.stat().st_size} bytes; expected at most {most}.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}). {LAYOUT}") from error
