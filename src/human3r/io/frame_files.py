"""One npz file per frame."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from human3r.atomic import output_errors, whole_file
from human3r.types import Frame, FrameEstimate, PersonEstimate

log = logging.getLogger(__name__)

_KEPT_BITS = {"depth": 12, "confidence": 8}
"""Of float32's 23: far finer than a network is right, and files are a third as large."""


class FrameFiles:
    """``000000.npz``, ``000001.npz``, ... in one folder.

    Arrays of a file (P people, J joints, H x W the network image; metres, camera frame x right,
    y down, z forward):

    - ``stamp_ns``, ``session``, ``frame_index``: int64 numbers
    - ``image`` (H, W, 3) uint8, ``depth`` (H, W) float32, to 1/8192 of its value, ``confidence``
      (H, W) float32 from 1 upwards, to 1/512, ``person_probability`` (H, W) float16;
      ``has_scene`` bool: otherwise depth and confidence are 0, see ``scene.every``
    - ``intrinsics`` (3, 3) float64 of ``image``; ``source_intrinsics`` (3, 3) of the source image;
      ``source_size`` (2,) its width and height
    - ``world_from_camera`` (4, 4) float64
    - ``track_id`` (P,) int64, ``score`` (P,), ``head_px`` (P, 2) in source pixels
    - ``rotations`` (P, 53, 3, 3), ``betas`` (P, 10), ``expression`` (P, 10), ``head_camera`` (P, 3)
    - ``joints_camera`` (P, J, 3)
    """

    def __init__(self, folder: Path, num_frames: int | None = None) -> None:
        """Begin a folder.

        Args:
            folder: the folder to be.
            num_frames: that will come, where it is known; the size is announced.
        """
        self._folder = folder
        self._num_frames = num_frames
        self._count = 0
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        path = self._folder / f"{self._count:06d}.npz"
        with whole_file(path) as file:
            arrays = {**frame_arrays(estimate), **people_arrays(estimate.people)}
            arrays |= {name: _rounded(arrays[name], bits) for name, bits in _KEPT_BITS.items()}
            np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]
        if self._count == 0:
            self._announce(path.stat().st_size)
        self._count += 1

    def _announce(self, num_bytes: int) -> None:
        total = ""
        if self._num_frames:
            total = f", about {num_bytes * self._num_frames / 1e6:.0f} MB for all"
        log.info("frames: %.0f kB for the first frame%s", num_bytes / 1e3, total)

    def finish(self) -> None:
        """Nothing to do: every file is complete already."""

    def abort(self) -> None:
        """Nothing to do: files of earlier frames are whole, and stay."""


def frame_arrays(estimate: FrameEstimate) -> dict[str, np.ndarray]:
    """The arrays of a frame that do not depend on the people, under their names in the file."""
    geometry = estimate.geometry
    return {
        "stamp_ns": np.array(estimate.stamp_ns, np.int64),
        "session": np.array(estimate.session, np.int64),
        "frame_index": np.array(estimate.frame_index, np.int64),
        "image": estimate.image,
        "depth": np.ascontiguousarray(estimate.depth),
        "confidence": estimate.confidence,
        "person_probability": estimate.person_probability.astype(np.float16),
        "intrinsics": estimate.intrinsics.matrix(),
        "source_intrinsics": estimate.source_camera.matrix(),
        "source_size": np.array([geometry.source_width_px, geometry.source_height_px]),
        "world_from_camera": estimate.world_from_camera,
        "has_scene": np.array(estimate.has_scene),
        "scale": np.array(estimate.scale, np.float64),
    }


def _rounded(values: np.ndarray, num_bits: int) -> np.ndarray:
    """float32 numbers to the nearest with so many bits behind the first; zeros compress well."""
    shift = 23 - num_bits
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(1 << (shift - 1))) >> np.uint32(shift) << np.uint32(shift)
    return np.where(np.isfinite(values), rounded.view(np.float32), values).astype(np.float32)


def people_arrays(people: Sequence[PersonEstimate]) -> dict[str, np.ndarray]:
    """People as arrays with one row each; no rows when there are none."""
    joints = people[0].joints_camera.shape[0] if people else 0
    shapes = {
        "head_px": (2,),
        "rotations": (53, 3, 3),
        "betas": (10,),
        "expression": (10,),
        "head_camera": (3,),
        "joints_camera": (joints, 3),
    }
    rows = {
        "head_px": [person.head_px for person in people],
        "rotations": [person.body.rotations for person in people],
        "betas": [person.body.betas for person in people],
        "expression": [person.body.expression for person in people],
        "head_camera": [person.body.head_camera for person in people],
        "joints_camera": [person.joints_camera for person in people],
    }
    return {
        "track_id": np.array([person.track_id for person in people], np.int64),
        "score": np.array([person.score for person in people], np.float32),
        **{
            name: np.asarray(rows[name], np.float32).reshape(len(people), *shape)
            for name, shape in shapes.items()
        },
    }
