"""TUM RGB-D and Bonn RGB-D Dynamic: colour, Kinect depth and a measured camera path.

Layout of both: a folder per sequence with ``rgb.txt``, ``depth.txt`` (stamp, file) and
``groundtruth.txt`` (stamp tx ty tz qx qy qz qw).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.errors import InputError
from human3r.types import Intrinsics
from human3r_lab.datasets.files import folders, nearest, read_depth_png, read_rgb, read_rows
from human3r_lab.datasets.recorded import RecordedSequence, RecordedView

TUM_LAYOUT = (
    "Expected folders rgbd_dataset_freiburg3_* with rgb.txt, rgb/, depth.txt, depth/ and "
    "groundtruth.txt, as from https://cvg.cit.tum.de/data/datasets/rgbd-dataset."
)
BONN_LAYOUT = (
    "Expected folders rgbd_bonn_* with rgb.txt, rgb/, depth.txt, depth/ and groundtruth.txt, as "
    "from https://www.ipb.uni-bonn.de/data/rgbd-dynamic-dataset."
)
TUM_DYNAMICS = ("sitting", "walking")
"""Words in the names of the freiburg3 sequences with people in motion."""
BONN_SEQUENCES = ("balloon2", "crowd2", "crowd3", "person_tracking2", "synchronous")
_UNITS_PER_M = 5000.0
_WITHIN_S = 0.02
_FREIBURG3 = (535.4, 539.2, 320.1, 247.6)
_BONN = (542.822841, 542.576870, 315.593520, 237.756098)


class _Item(NamedTuple):
    stamp_s: float
    image: Path
    depth: Path | None
    world_from_camera: np.ndarray
    intrinsics: tuple[float, float, float, float]


def open_tum_dynamics(root: Path) -> list[RecordedSequence]:
    """The sequences of freiburg3 in which people sit and walk.

    Raises:
        InputError: missing or damaged lists.
    """
    found = [
        folder
        for folder in folders(root, TUM_LAYOUT, "rgbd_dataset_freiburg3_*")
        if any(word in folder.name for word in TUM_DYNAMICS)
    ]
    if not found:
        raise InputError(f"{root}: no sequence with {' or '.join(TUM_DYNAMICS)}. {TUM_LAYOUT}")
    return [_sequence(folder, _FREIBURG3, TUM_LAYOUT) for folder in found]


def open_bonn(root: Path) -> list[RecordedSequence]:
    """The five sequences of the benchmark, those of them that are there.

    Raises:
        InputError: none there, missing or damaged lists.
    """
    wanted = {f"rgbd_bonn_{name}" for name in BONN_SEQUENCES}
    found = [f for f in folders(root, BONN_LAYOUT, "rgbd_bonn_*") if f.name in wanted]
    if not found:
        raise InputError(f"{root}: none of {', '.join(sorted(wanted))}. {BONN_LAYOUT}")
    return [_sequence(folder, _BONN, BONN_LAYOUT) for folder in found]


def _sequence(
    folder: Path, intrinsics: tuple[float, float, float, float], layout: str
) -> RecordedSequence:
    """Images with a pose within 20 ms, and depth where there is one as near."""
    colour, depth = (_listed(folder, name, layout) for name in ("rgb.txt", "depth.txt"))
    stamps_s, poses = _poses(folder / "groundtruth.txt", layout)
    wanted = np.array([stamp_s for stamp_s, _ in colour])
    pose_of = nearest(wanted, stamps_s, _WITHIN_S)
    depth_of = nearest(wanted, np.array([stamp_s for stamp_s, _ in depth]), _WITHIN_S)
    items = [
        _Item(stamp_s, path, depth[d][1] if d >= 0 else None, poses[p], intrinsics)
        for (stamp_s, path), p, d in zip(colour, pose_of, depth_of, strict=True)
        if p >= 0
    ]
    if not items:
        raise InputError(
            f"{folder}: no image has a pose within {_WITHIN_S} s; expected stamps of one clock in "
            "rgb.txt and groundtruth.txt. Get them again."
        )
    return RecordedSequence(folder.name, items, _read)


def _read(item: _Item) -> RecordedView:
    image = read_rgb(item.image)
    return RecordedView(
        image=image,
        stamp_ns=round(item.stamp_s * 1e9),
        intrinsics=Intrinsics(*item.intrinsics, image.shape[1], image.shape[0]),
        depth_m=read_depth_png(item.depth, _UNITS_PER_M) if item.depth else None,
        world_from_camera=item.world_from_camera,
    )


def _listed(folder: Path, name: str, layout: str) -> list[tuple[float, Path]]:
    listed = []
    for words in read_rows(folder / name, 2, layout):
        path = folder / words[1]
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{folder / name}: {words[1]!r} lies outside. Get the list again.")
        listed.append((_numbers(folder / name, words[:1])[0], path))
    if not listed:
        raise InputError(f"{folder / name}: is empty. {layout}")
    return listed


def _poses(path: Path, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Stamps (frames,) in seconds and world_from_camera (frames, 4, 4)."""
    rows = np.array([_numbers(path, words[:8]) for words in read_rows(path, 8, layout)])
    if not len(rows) or (np.linalg.norm(rows[:, 4:], axis=1) == 0).any():
        raise InputError(f"{path}: no poses, or one without a rotation. Get the file again.")
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(rows[:, 4:]).as_matrix()
    poses[:, :3, 3] = rows[:, 1:4]
    return rows[:, 0], poses


def _numbers(path: Path, words: list[str]) -> list[float]:
    try:
        values = [float(word) for word in words]
        if not np.isfinite(values).all():
            raise ValueError("not finite")
    except ValueError as error:
        raise InputError(
            f"{path}: {' '.join(words)[:80]!r}; expected finite numbers. Get the file again."
        ) from error
    return values
