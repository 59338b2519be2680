"""BEDLAM's files: labels, cameras of the game engine, and depth as EXR."""

import csv
import os
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from human3r.errors import InputError
from human3r.types import MAX_IMAGE_PIXELS

LAYOUT = (
    "Expected bedlam_labels/SCENE.npz and SCENE/png, SCENE/depth, SCENE/masks and "
    "SCENE/ground_truth/camera, as from https://bedlam.is.tue.mpg.de (registration required)."
)
_CM_PER_M = 100.0
_MAX_LABEL_BYTES = 2**31
_MAX_CSV_ROWS = 100_000
_NUM_POSE = 165
# SMPL-X's own order has jaw and eyes before the hands; ours has the jaw last and no eyes.
_ROTATION_ORDER = (*range(22), *range(25, 40), *range(40, 55), 22)
_EXR_MAGIC = b"\x76\x2f\x31\x01"
_EXR_HEAD_BYTES = 65_536
_EXR_BLOCK_LINES = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
"""Lines that are packed together, by kind of compression."""


@dataclass(frozen=True)
class SceneLabels:
    """The people of one scene, one row per person and image."""

    images: np.ndarray
    """(rows,) text: seq_000000/seq_000000_0000.png."""
    subjects: np.ndarray
    """(rows,) text: who."""
    rotation_vectors: np.ndarray
    """(rows, 53, 3) float64 radians, root in the camera frame."""
    betas: np.ndarray
    """(rows, 10) float64; the eleventh of BEDLAM is left out."""
    translations_m: np.ndarray
    """(rows, 3) float64 in the camera frame."""

    def rows_of(self, image: str) -> np.ndarray:
        """Rows of one image."""
        return np.flatnonzero(self.images == image)

    def subjects_of(self, sequence: str) -> set[str]:
        """Who is in a sequence."""
        return set(self.subjects[np.char.startswith(self.images, f"{sequence}/")].tolist())


@dataclass(frozen=True)
class CameraRow:
    """The camera of one frame."""

    world_from_camera: np.ndarray
    """(4, 4) metres; the world's z points up, right-handed."""
    focal_mm: float


def read_labels(path: Path) -> SceneLabels:
    """The labels of a scene; nothing pickled is read.

    Raises:
        InputError: missing, damaged, or without what is needed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MAX_LABEL_BYTES:
                raise ValueError(f"more than {_MAX_LABEL_BYTES} bytes")
        with np.load(path, allow_pickle=False) as file:
            images = file["imgname"].astype(str)
            rows = len(images)
            subjects = file["sub"].astype(str)
            arrays = {
                name: np.asarray(file[name], np.float64).reshape(shape)
                for name, shape in (
                    ("pose_cam", (rows, _NUM_POSE)),
                    ("shape", (rows, -1)),
                    ("trans_cam", (rows, 3)),
                    ("cam_ext", (rows, 4, 4)),
                )
            }
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: no readable labels ({error}); expected imgname, sub, pose_cam, shape, "
            f"trans_cam and cam_ext. {LAYOUT}"
        ) from error
    if len(subjects) != rows or arrays["shape"].shape[1] < 10:  # pyright: ignore[reportGeneralTypeIssues]
        raise InputError(
            f"{path}: {rows} images, {len(subjects)} subjects, shapes of "
            f"{arrays['shape'].shape[1]} numbers; expected as many, and 10 or more."  # pyright: ignore[reportGeneralTypeIssues]
        )
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise InputError(f"{path}: holds numbers that are not finite. Get it again.")
    vectors = arrays["pose_cam"].reshape(rows, _NUM_POSE // 3, 3)
    return SceneLabels(
        images=images,
        subjects=subjects,
        rotation_vectors=vectors[:, list(_ROTATION_ORDER)],
        betas=arrays["shape"][:, :10],
        translations_m=arrays["trans_cam"] + arrays["cam_ext"][:, :3, 3],
    )


def read_cameras(path: Path) -> dict[str, CameraRow]:
    """The cameras of a sequence by the name of the frame, without ending.

    Raises:
        InputError: missing, damaged, or a row without finite numbers.
    """
    cameras: dict[str, CameraRow] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                values = {
                    name: float(row[name])
                    for name in ("x", "y", "z", "yaw", "pitch", "roll", "focal_length")
                }
                if not np.isfinite(list(values.values())).all() or values["focal_length"] <= 0:
                    raise ValueError(f"row {row['name']!r} has {values}")
                focal_mm = values.pop("focal_length")
                cameras[Path(row["name"]).stem] = CameraRow(engine_camera(**values), focal_mm)
                if len(cameras) > _MAX_CSV_ROWS:
                    raise ValueError(f"more than {_MAX_CSV_ROWS} rows")
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            f"{path}: no readable cameras ({error}); expected name, x, y, z, yaw, pitch, roll and "
            f"focal_length. {LAYOUT}"
        ) from error
    return cameras


def engine_camera(
    x: float, y: float, z: float, yaw: float, pitch: float, roll: float
) -> np.ndarray:
    """world_from_camera (4, 4) in metres of a camera of Unreal Engine.

    The engine counts centimetres with x ahead, y to the right, z up (left-handed) and degrees:
    yaw turns x to y, pitch lifts the view, roll tilts it to the right. Our world mirrors its y.

    Args:
        x: place, centimetres.
        y: place, centimetres.
        z: place, centimetres.
        yaw: degrees.
        pitch: degrees.
        roll: degrees.
    """
    (cy, sy), (cp, sp), (cr, sr) = (
        (np.cos(angle), np.sin(angle)) for angle in np.radians([yaw, pitch, roll])
    )
    ahead = np.array([cp * cy, cp * sy, sp])
    right = np.array([sr * sp * cy - cr * sy, sr * sp * sy + cr * cy, -sr * cp])
    up = np.array([-(cr * sp * cy + sr * sy), cy * sr - cr * sp * sy, cr * cp])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, -up, ahead], axis=1)
    pose[:3, 3] = np.array([x, y, z]) / _CM_PER_M
    pose[1] *= -1
    return pose


def read_exr_depth(path: Path) -> np.ndarray:
    """The first channel of an EXR image, (height, width) float32, in the file's own unit.

    OpenCV reads EXR only when asked to by ``OPENCV_IO_ENABLE_OPENEXR``, which is set here.

    Raises:
        InputError: missing, damaged, too large, or an OpenCV without EXR.
    """
    try:
        _check_exr(path)
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise InputError(
            f"{path}: no whole EXR image ({error}); expected scan lines. Get it again. {LAYOUT}"
        ) from error
    os.environ.setdefault("OPENCV_IO_ENABLE_OPENEXR", "1")
    try:
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError(
            f"{path}: OpenCV cannot read EXR here ({error.err}); expected a build with OpenEXR "
            "and OPENCV_IO_ENABLE_OPENEXR=1 in the environment. Set it before starting human3r."
        ) from error
    if pixels is None:
        raise InputError(f"{path}: cannot be read as EXR. Get it again.")
    pixels = pixels.astype(np.float32)
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., -1])


def _check_exr(path: Path) -> None:
    """Nothing, when the file is of sane size and whole: OpenCV fills up what is cut off.

    Raises:
        ValueError, KeyError, struct.error: it is not.
    """
    with path.open("rb") as file:
        head = file.read(_EXR_HEAD_BYTES)
        if not head.startswith(_EXR_MAGIC):
            raise ValueError("begins with other bytes")
        values, place = _exr_attributes(head, 8)
        left, top, right, bottom = struct.unpack("<4i", values["dataWindow"])
        width, height = right - left + 1, bottom - top + 1
        if min(width, height) < 1 or width * height > MAX_IMAGE_PIXELS:
            raise ValueError(f"{width}x{height} pixels")
        num_blocks = -(-height // _EXR_BLOCK_LINES[values["compression"][0]])
        file.seek(place)
        starts = struct.unpack(f"<{num_blocks}Q", file.read(8 * num_blocks))
        file.seek(max(starts) + 4)
        (size,) = struct.unpack("<i", file.read(4))
        if file.tell() + size > path.stat().st_size:
            raise ValueError("is cut off")


def _exr_attributes(head: bytes, place: int) -> tuple[dict[str, bytes], int]:
    """Names and bytes of the header's attributes, and where the header ends."""
    values = {}
    while head[place : place + 1] not in (b"\0", b""):
        name, kind, _ = head[place : place + 600].split(b"\0", 2)
        place += len(name) + len(kind) + 2
        (size,) = struct.unpack("<i", head[place : place + 4])
        if not 0 <= size <= len(head):
            raise ValueError(f"attribute of {size} bytes")
        values[name.decode("latin1")] = head[place + 4 : place + 4 + size]
        place += 4 + size
    return values, place + 1
