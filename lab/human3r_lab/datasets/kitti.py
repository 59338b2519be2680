"""KITTI depth: streets from a car, with depth from accumulated laser scans.

Layout: ``val/DRIVE_sync/proj_depth/groundtruth/image_02/0000000005.png`` of the annotated depth
maps, and the raw images ``DATE/DRIVE_sync/image_02/data/0000000005.png`` below the same root.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from human3r.errors import InputError
from human3r_lab.datasets.files import folders, read_depth_png, read_rgb, require
from human3r_lab.datasets.recorded import RecordedSequence, RecordedView

LAYOUT = (
    "Expected val/*_sync/proj_depth/groundtruth/image_02/*.png (annotated depth maps) and "
    "DATE/*_sync/image_02/data/*.png (raw data), as from "
    "https://www.cvlibs.net/datasets/kitti (depth prediction; registration required)."
)
SIZE_PX = (1216, 352)
"""Width and height that images and depth are cropped to: lower edge, middle."""
_UNITS_PER_M = 256.0
_RATE_HZ = 10.0


class _Item(NamedTuple):
    number: int
    image: Path
    depth: Path


def open_kitti(root: Path) -> list[RecordedSequence]:
    """The drives of the validation part.

    Raises:
        InputError: folders or files are missing.
    """
    return [
        RecordedSequence(folder.name, _items(root, folder), _read)
        for folder in folders(root / "val", LAYOUT, "*_sync")
    ]


def crop(pixels: np.ndarray) -> np.ndarray:
    """The part of an image or depth map that the benchmark takes."""
    width, height = SIZE_PX
    left = max(0, (pixels.shape[1] - width) // 2)
    top = max(0, pixels.shape[0] - height)
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _items(root: Path, drive: Path) -> list[_Item]:
    depths = sorted((drive / "proj_depth" / "groundtruth" / "image_02").glob("*.png"))
    if not depths:
        raise InputError(f"{drive}: no depth maps in it. {LAYOUT}")
    images = root / drive.name[:10] / drive.name / "image_02" / "data"
    return [
        _Item(int(depth.stem), require(images / depth.name, LAYOUT), depth)
        for depth in depths
        if depth.stem.isdecimal()
    ]


def _read(item: _Item) -> RecordedView:
    return RecordedView(
        image=crop(read_rgb(item.image)),
        stamp_ns=round((item.number + 1) * 1e9 / _RATE_HZ),
        depth_m=crop(read_depth_png(item.depth, _UNITS_PER_M)),
    )
