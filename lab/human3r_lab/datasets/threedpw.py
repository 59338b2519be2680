"""3DPW: people in the wild, SMPL from inertial sensors and a moving phone.

Layout: ``sequenceFiles/test/SEQUENCE.pkl`` and ``imageFiles/SEQUENCE/image_00000.jpg``.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from human3r.errors import InputError
from human3r.geometry import invert
from human3r_lab.datasets.files import intrinsics_of, read_rgb, require
from human3r_lab.datasets.pickled_annotations import array_of, read_pickled
from human3r_lab.datasets.recorded import RecordedPerson, RecordedSequence, RecordedView

LAYOUT = (
    "Expected sequenceFiles/test/*.pkl and imageFiles/SEQUENCE/image_00000.jpg, as from "
    "https://virtualhumans.mpi-inf.mpg.de/3DPW (registration required)."
)
_RATE_HZ = 30.0
_GENDERS = {"m": "male", "f": "female", "male": "male", "female": "female"}


class _Item(NamedTuple):
    number: int
    image: Path
    world_from_camera: np.ndarray
    matrix: np.ndarray
    people: tuple[RecordedPerson, ...]


def open_threedpw(root: Path) -> list[RecordedSequence]:
    """The sequences of the test part; people only where their camera pose is valid.

    Raises:
        InputError: missing or damaged.
    """
    folder = require(root / "sequenceFiles" / "test", LAYOUT)
    paths = sorted(folder.glob("*.pkl"))
    if not paths:
        raise InputError(f"{folder}: no *.pkl in it. {LAYOUT}")
    return [RecordedSequence(path.stem, _items(root, path), _read) for path in paths]


def _items(root: Path, path: Path) -> list[_Item]:
    content = read_pickled(path, LAYOUT)
    images = require(root / "imageFiles" / path.stem, LAYOUT)
    camera_from_world = array_of(content, path, "cam_poses", (-1, 4, 4))
    matrix = array_of(content, path, "cam_intrinsics", (3, 3))
    people = [_person(content, path, index) for index in range(_count(content, path))]
    for frames in [len(poses) for poses, *_ in people]:
        if frames != len(camera_from_world):
            raise InputError(
                f"{path}: {frames} poses of a person for {len(camera_from_world)} cameras; "
                "expected as many. Get the file again."
            )
    return [
        _Item(
            number,
            images / f"image_{number:05d}.jpg",
            world_from_camera,
            matrix,
            tuple(
                RecordedPerson(
                    index + 1, "smpl", gender, poses[number], betas, translations[number]
                )
                for index, (poses, translations, betas, gender, is_valid) in enumerate(people)
                if is_valid[number]
            ),
        )
        for number, world_from_camera in enumerate(invert(camera_from_world))
    ]


def _count(content: Any, path: Path) -> int:
    names = ("poses", "trans", "betas", "genders", "campose_valid")
    entries = [content.get(name) for name in names]
    lengths = {len(entry) if isinstance(entry, list) else -1 for entry in entries}
    if len(lengths) != 1 or -1 in lengths:
        raise InputError(
            f"{path}: expected one entry per person in each of {', '.join(names)}. "
            "Get the file again."
        )
    return lengths.pop()


def _person(content: Any, path: Path, index: int) -> tuple[np.ndarray, ...]:
    """Poses (frames, 24, 3), translations, betas, gender, validity of one person."""
    one = {name: content[name][index] for name in ("poses", "trans", "betas", "campose_valid")}
    poses = array_of(one, path, "poses", (-1, 72)).reshape(-1, 24, 3)
    gender = _GENDERS.get(str(content["genders"][index]))
    if gender is None:
        raise InputError(f"{path}: gender {content['genders'][index]!r}; expected m or f.")
    return (
        poses,
        array_of(one, path, "trans", (len(poses), 3)),
        array_of(one, path, "betas", (-1,))[:10],
        gender,  # pyright: ignore[reportReturnType]
        array_of(one, path, "campose_valid", (len(poses),)) > 0,
    )


def _read(item: _Item) -> RecordedView:
    image = read_rgb(item.image)
    return RecordedView(
        image=image,
        stamp_ns=round((item.number + 1) * 1e9 / _RATE_HZ),
        intrinsics=intrinsics_of(item.matrix, image),
        world_from_camera=item.world_from_camera,
        people=item.people,
    )
