"""RICH: people among things, SMPL-X from several static cameras.

Layout: ``images/test/SEQUENCE/cam_00/00001_00.jpeg``, ``bodies/test/SEQUENCE/00001/SUBJECT.pkl``,
``scan_calibration/SCENE/calibration/000.xml`` and ``gender.json`` (subject to male or female). A
sequence is called SCENE_SUBJECT_ACTION.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from human3r.errors import InputError
from human3r.geometry import invert
from human3r_lab.datasets.files import folders, intrinsics_of, read_rgb, require
from human3r_lab.datasets.pickled_annotations import array_of, read_pickled
from human3r_lab.datasets.recorded import RecordedPerson, RecordedSequence, RecordedView

LAYOUT = (
    "Expected images/test/SEQUENCE/cam_*/*.jpeg, bodies/test/SEQUENCE/FRAME/SUBJECT.pkl, "
    "scan_calibration/SCENE/calibration/*.xml and gender.json, as from https://rich.is.tue.mpg.de "
    "(registration required; gender.json is in its toolkit)."
)
_RATE_HZ = 30.0
_MAX_XML_BYTES = 1_000_000


class _Item(NamedTuple):
    number: int
    image: Path
    body: Path
    subject: str
    gender: str
    world_from_camera: np.ndarray
    matrix: np.ndarray


def open_rich(root: Path) -> list[RecordedSequence]:
    """Each camera of each test sequence with one person is a sequence.

    Raises:
        InputError: missing or damaged.
    """
    genders = _genders(root / "gender.json")
    found = []
    for folder in folders(root / "images" / "test", LAYOUT):
        subjects = {path.stem for path in (root / "bodies" / "test" / folder.name).glob("*/*.pkl")}
        if len(subjects) != 1:
            continue
        for camera in folders(folder, LAYOUT, "cam_*"):
            items = _items(root, camera, subjects.copy().pop(), genders)
            found.append(RecordedSequence(f"{folder.name}_{camera.name}", items, _read))
    if not found:
        raise InputError(f"{root}: no test sequence with one person's bodies. {LAYOUT}")
    return found


def _genders(path: Path) -> Mapping[str, str]:
    require(path, LAYOUT)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}). {LAYOUT}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: is no JSON object. {LAYOUT}")
    return {str(subject): str(gender) for subject, gender in content.items()}


def _items(root: Path, camera: Path, subject: str, genders: Mapping[str, str]) -> list[_Item]:
    sequence = camera.parent.name
    scene = sequence.split("_", 1)[0]
    number = camera.name.removeprefix("cam_")
    gender = genders.get(subject, "")
    if gender not in ("male", "female", "neutral"):
        raise InputError(f"{root / 'gender.json'}: no gender of subject {subject}. {LAYOUT}")
    calibration = root / "scan_calibration" / scene / "calibration" / f"{int(number):03d}.xml"
    matrix, camera_from_world = _calibration(calibration)
    items = []
    for image in sorted(camera.glob("*.jp*g")):
        frame = image.stem.split("_", 1)[0]
        body = root / "bodies" / "test" / sequence / frame / f"{subject}.pkl"
        # Bodies are given for every frame of the multi-view capture; images may be a part of it.
        if body.is_file() and frame.isdecimal():
            items.append(
                _Item(int(frame), image, body, subject, gender, invert(camera_from_world), matrix)
            )
    if not items:
        raise InputError(f"{camera}: no image with a body. {LAYOUT}")
    return items


def _calibration(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The 3x3 calibration matrix and camera_from_world (4, 4) of OpenCV's XML."""
    require(path, LAYOUT)
    try:
        if path.stat().st_size > _MAX_XML_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        text = path.read_text(encoding="utf-8")
        if "<!ENTITY" in text or "<!DOCTYPE" in text:
            raise ValueError("declares entities")
        tree = ElementTree.fromstring(text)
        camera_from_world = np.eye(4)
        camera_from_world[:3] = _matrix(tree, "CameraMatrix", (3, 4))
        return _matrix(tree, "Intrinsics", (3, 3)), camera_from_world
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise InputError(
            f"{path}: no calibration ({error}); expected CameraMatrix and Intrinsics. {LAYOUT}"
        ) from error


def _matrix(tree: ElementTree.Element, name: str, shape: tuple[int, int]) -> np.ndarray:
    values = np.array([float(word) for word in (tree.findtext(f"{name}/data") or "").split()])
    if values.size != shape[0] * shape[1] or not np.isfinite(values).all():
        raise ValueError(f"{name} has {values.size} numbers")
    return values.reshape(shape)


def _read(item: _Item) -> RecordedView:
    image = read_rgb(item.image)
    content = read_pickled(item.body, LAYOUT)
    root = array_of(content, item.body, "global_orient", (1, 3))
    body = array_of(content, item.body, "body_pose", (1, 63)).reshape(21, 3)
    person = RecordedPerson(
        person_id=1,
        model="smplx",
        gender=item.gender,
        rotation_vectors=np.concatenate([root, body]),
        betas=array_of(content, item.body, "betas", (1, -1))[0, :10],
        translation_m=array_of(content, item.body, "transl", (1, 3))[0],
    )
    return RecordedView(
        image=image,
        stamp_ns=round((item.number + 1) * 1e9 / _RATE_HZ),
        intrinsics=intrinsics_of(item.matrix, image),
        world_from_camera=item.world_from_camera,
        people=(person,),
    )
