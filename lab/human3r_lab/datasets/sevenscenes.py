"""Microsoft 7-Scenes: rooms seen by a Kinect in a hand, with depth and a measured camera path.

Layout: ``SCENE/seq-01/frame-000000.color.png``, ``.depth.png`` and ``.pose.txt``; a folder of such
frames on its own is taken too, and colour as ``.jpg``.

Depth and path are those of the depth camera; its images are not registered to colour. Here both are
brought to the colour camera: a Kinect's focal length in colour is 525 px and the camera sits 25 mm
beside that of depth. With the depth camera's 585 px the epipolar lines of features in colour miss
them by 2.3 px at the given poses, with 525 px by 1.3 px.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from human3r.errors import InputError
from human3r.types import Intrinsics
from human3r_lab.datasets.files import read_depth_png, read_rgb, read_rows, require
from human3r_lab.datasets.recorded import RecordedSequence, RecordedView

LAYOUT = (
    "Expected SCENE/seq-*/frame-000000.color.png (or .jpg), .depth.png and .pose.txt of each "
    "frame, as from https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes."
)
_UNITS_PER_M = 1000.0
_NO_DEPTH = 65535
_RATE_HZ = 30.0
_COLOUR_FOCAL_PX, _DEPTH_FOCAL_PX = 525.0, 585.0
_CENTRE_PX = (320.0, 240.0)
"""Of both cameras, as the dataset says of depth."""
_DEPTH_FROM_COLOUR_M = np.array([0.025, 0.0, 0.0])


class _Item(NamedTuple):
    number: int
    image: Path
    depth: Path
    pose: Path


def open_seven_scenes(root: Path) -> list[RecordedSequence]:
    """Every sequence of the scenes; of a scene with ``TestSplit.txt`` those that it lists.

    Args:
        root: folder of scenes, of one scene's sequences, or of one sequence's frames.

    Raises:
        InputError: no frames, or files of a frame are missing.
    """
    require(root, LAYOUT)
    found = [
        RecordedSequence("-".join(folder.relative_to(root).parts) or root.name, items, _read)
        for folder in _folders(root)
        if (items := _items(folder))
    ]
    if not found:
        raise InputError(f"{root}: no frame-*.color.png or .jpg in it. {LAYOUT}")
    return found


def registered(depth_m: np.ndarray) -> np.ndarray:
    """A depth image (height, width) float32 as the colour camera sees it, 0 where it knows nothing.

    Every pixel goes where the colour camera sees its point; of several the nearest stays.
    """
    height, width = depth_m.shape
    rows, columns = np.nonzero(depth_m > 0)
    z = depth_m[rows, columns]
    places = [columns, rows]
    for axis in range(2):
        offset = (places[axis] - _CENTRE_PX[axis]) / _DEPTH_FOCAL_PX
        offset -= _DEPTH_FROM_COLOUR_M[axis] / z
        places[axis] = np.rint(offset * _COLOUR_FOCAL_PX + _CENTRE_PX[axis]).astype(int)
    is_inside = np.logical_and.reduce(
        [(place >= 0) & (place < size) for place, size in zip(places, (width, height), strict=True)]
    )
    seen = np.full(depth_m.shape, np.inf, np.float32)
    np.minimum.at(seen, (places[1][is_inside], places[0][is_inside]), z[is_inside])
    return np.where(np.isfinite(seen), seen, 0).astype(np.float32)


def _folders(root: Path) -> list[Path]:
    """Those that may hold frames, without the sequences that a test split leaves out."""
    inside = sorted(path for path in root.iterdir() if path.is_dir())
    others = [path for path in inside if not path.name.startswith("seq-")]
    return [root, *others, *(folder for scene in (root, *others) for folder in _chosen(scene))]


def _chosen(scene: Path) -> list[Path]:
    found = sorted(path for path in scene.glob("seq-*") if path.is_dir())
    split = scene / "TestSplit.txt"
    if not split.exists():
        return found
    # Its lines are "sequence3" for the folder seq-03.
    listed = [re.sub(r"\D", "", row[0]) for row in read_rows(split, 1, LAYOUT)]
    return [folder for folder in found if folder.name[4:].lstrip("0") in listed]


def _items(folder: Path) -> list[_Item]:
    images = sorted([*folder.glob("frame-*.color.png"), *folder.glob("frame-*.color.jpg")])
    items = {}
    for image in images:
        name = re.fullmatch(r"(frame-(\d+))\.color\.\w+", image.name)
        if name:
            depth, pose = (folder / f"{name[1]}.{kind}" for kind in ("depth.png", "pose.txt"))
            items[int(name[2])] = _Item(
                int(name[2]), image, require(depth, LAYOUT), require(pose, LAYOUT)
            )
    return [items[number] for number in sorted(items)]


def _read(item: _Item) -> RecordedView:
    image = read_rgb(item.image)
    depth_m = read_depth_png(item.depth, _UNITS_PER_M)
    if depth_m.shape != image.shape[:2]:
        raise InputError(
            f"{item.depth}: {depth_m.shape[1]}x{depth_m.shape[0]} pixels, the image has "
            f"{image.shape[1]}x{image.shape[0]}; expected one size. Get both again."
        )
    depth_m[depth_m >= _NO_DEPTH / _UNITS_PER_M] = 0
    world_from_colour = _pose(item.pose)
    world_from_colour[:3, 3] += world_from_colour[:3, :3] @ _DEPTH_FROM_COLOUR_M
    return RecordedView(
        image=image,
        stamp_ns=round((item.number + 1) * 1e9 / _RATE_HZ),
        intrinsics=Intrinsics(
            *(_COLOUR_FOCAL_PX, _COLOUR_FOCAL_PX, *_CENTRE_PX), image.shape[1], image.shape[0]
        ),
        depth_m=registered(depth_m),
        world_from_camera=world_from_colour,
    )


def _pose(path: Path) -> np.ndarray:
    """world_from_depth (4, 4)."""
    try:
        # "-1.#IND", which some writers use for NaN, is no number with a comment.
        pose = np.loadtxt(path, comments=None, max_rows=5)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected 4x4 numbers.") from error
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise InputError(f"{path}: no finite 4x4 matrix. Get it again.")
    if abs(np.linalg.det(pose[:3, :3]) - 1) > 1e-2:
        raise InputError(f"{path}: is no rigid motion; expected world from camera. Get it again.")
    return pose
