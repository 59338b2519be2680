"""EMDB: one person followed by a moving camera, SMPL from electromagnetic sensors.

Layout: ``P0/SEQUENCE/P0_SEQUENCE_data.pkl`` and ``P0/SEQUENCE/images/00000.jpg``.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from human3r.errors import InputError
from human3r.geometry import invert
from human3r_lab.datasets.files import intrinsics_of, read_rgb, require
from human3r_lab.datasets.pickled_annotations import array_of, read_pickled
from human3r_lab.datasets.recorded import RecordedPerson, RecordedSequence, RecordedView

LAYOUT = (
    "Expected P*/SEQUENCE/*_data.pkl and P*/SEQUENCE/images/00000.jpg, as from "
    "https://eth-ait.github.io/emdb (registration required)."
)
_RATE_HZ = 30.0


class _Item(NamedTuple):
    number: int
    image: Path
    world_from_camera: np.ndarray
    matrix: np.ndarray
    person: RecordedPerson | None
    """None in frames that are not good."""


def open_emdb(root: Path, part: int) -> list[RecordedSequence]:
    """The sequences that the dataset assigns to a part.

    Args:
        root: folder with P0, P1, ...
        part: 1 (camera frame, 17 sequences) or 2 (world frame, 25 sequences).

    Raises:
        InputError: missing or damaged.
    """
    require(root, LAYOUT)
    paths = sorted(root.glob("P*/*/*_data.pkl"))
    if not paths:
        raise InputError(f"{root}: no P*/*/*_data.pkl below it. {LAYOUT}")
    found = []
    for path in paths:
        content = read_pickled(path, LAYOUT)
        flag = content.get(f"emdb{part}")
        if isinstance(flag, np.ndarray) and flag.size == 1:
            flag = bool(flag)
        if flag is True:
            name = path.stem.removesuffix("_data")
            found.append(RecordedSequence(name, _items(path, content), _read))
    if not found:
        raise InputError(f"{root}: none of {len(paths)} sequences is of EMDB-{part}. {LAYOUT}")
    return found


def _items(path: Path, content) -> list[_Item]:
    camera, smpl = content.get("camera"), content.get("smpl")
    if not isinstance(camera, dict) or not isinstance(smpl, dict):
        raise InputError(f"{path}: has no camera or no smpl; expected both. Get the file again.")
    world_from_camera = invert(array_of(camera, path, "extrinsics", (-1, 4, 4)))
    frames = len(world_from_camera)
    matrix = array_of(camera, path, "intrinsics", (3, 3))
    root = array_of(smpl, path, "poses_root", (frames, 3))
    body = array_of(smpl, path, "poses_body", (frames, 69))
    translations = array_of(smpl, path, "trans", (frames, 3))
    betas = array_of(smpl, path, "betas", (-1,))[:10]
    is_good = array_of(content, path, "good_frames_mask", (frames,)) > 0
    gender = str(content.get("gender"))
    if gender not in ("male", "female", "neutral"):
        raise InputError(f"{path}: gender {gender!r}; expected male, female or neutral.")
    vectors = np.concatenate([root, body], axis=1).reshape(frames, 24, 3)
    return [
        _Item(
            number,
            path.parent / "images" / f"{number:05d}.jpg",
            world_from_camera[number],
            matrix,
            RecordedPerson(1, "smpl", gender, vectors[number], betas, translations[number])
            if is_good[number]
            else None,
        )
        for number in range(frames)
    ]


def _read(item: _Item) -> RecordedView:
    image = read_rgb(item.image)
    return RecordedView(
        image=image,
        stamp_ns=round((item.number + 1) * 1e9 / _RATE_HZ),
        intrinsics=intrinsics_of(item.matrix, image),
        world_from_camera=item.world_from_camera,
        people=None if item.person is None else (item.person,),
    )
