"""All people of a run in one npz file of flat arrays, however long the run was."""

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from human3r.atomic import output_errors, sha256_of, whole_file
from human3r.io.frame_files import people_arrays
from human3r.types import Frame, FrameEstimate, TrackedPerson

FORMAT = "human3r-people-1"
_NUM_PUBLISHED = 60
"""Joints whose visibility is known: the 55 that rotate, nose, eyes and ears."""

CONVENTIONS = {
    "lengths": "metres",
    "times": "integer nanoseconds, capture time",
    "camera": "x right, y down, z forward; origin at the optical centre",
    "world": "the camera frame of the first frame",
    "level": "origin of world, x ahead of the first camera, y left, z up; frame_level_from_world "
    "takes world there, NaN where up was not known",
    "transforms": "a_from_b takes coordinates in b and gives coordinates in a",
    "pixels": "u right, v down, whole numbers at pixel centres",
    "body": "x to the person's left, y up, z forward",
    "rotations": "3x3 matrices, child in parent; the first is the body's root in the camera frame",
    "placement": "head_camera is the head joint; a body made from betas is scale times as large "
    "about it",
}
"""What the numbers of the file mean; stored in it as JSON."""


class _Body(Protocol):
    name: str
    joint_names: tuple[str, ...]
    joint_parents: tuple[int, ...]


def about_body(body_model: _Body, file: Path, pitch_rad: float = 0.0) -> dict[str, np.ndarray]:
    """What a people file says about the body model, for ``PeopleFile``.

    Args:
        body_model: the one that posed the people.
        file: it was loaded from; its faces and skin stay there, because its licence may not
            let them be copied.
        pitch_rad: the setting ``level.pitch_rad``: how far the first camera looks down.
    """
    up = np.array([0.0, -np.cos(pitch_rad), -np.sin(pitch_rad)])
    return {
        "joint_names": np.array(body_model.joint_names),
        "joint_parents": np.array(body_model.joint_parents, np.int64),
        "body_model": np.array(body_model.name),
        "body_model_sha256": np.array(sha256_of(file)),
        "up_world": up,
    }


def _certainty(tracked: Sequence[TrackedPerson]) -> dict[str, np.ndarray]:
    """What is seen of each person, and how sure the places are; NaN where unknown."""
    visibility = np.full((len(tracked), _NUM_PUBLISHED), np.nan, np.float32)
    covariance = np.full((len(tracked), 36), np.nan, np.float32)
    for row, one in enumerate(tracked):
        if one.visibility is not None:
            visibility[row] = one.visibility.joints
        if one.covariance is not None:
            covariance[row] = one.covariance
    return {"visibility": visibility, "covariance": covariance}


class PeopleFile:
    """One row per person and frame, one per frame, and what makes the file explain itself.

    Besides the arrays of people that ``FrameFiles`` describes, with rows (N) instead of people:
    ``frame`` (N,) int64 number of the frame within the run, ``stamp_ns`` (N,), ``session`` (N,),
    ``scale`` (N,) float64 size of the body relative to what ``betas`` mean, ``world_from_camera``
    (N, 4, 4) of that frame, ``track_state`` (N,) uint8: 0 new, 1 measured, 2 predicted while out
    of sight, 3 the last word about this number, ``visibility`` (N, 60) float32 and
    ``covariance`` (N, 36) float32 as of ``TrackedPerson``, NaN where unknown.

    One row per frame (F), also where no person was seen: ``frame_stamp_ns`` (F,), ``frame_session``
    (F,), ``frame_world_from_camera`` (F, 4, 4), ``frame_level_from_world`` (F, 4, 4) rotation to
    the level frame, NaN where up is not known, ``frame_intrinsics`` (F, 3, 3) of the source image,
    ``frame_size_px`` (F, 2) its width and height.

    Once: ``format``, ``conventions`` (JSON text), and what ``about_body`` gives.

    Rows are spooled to disk and put together at the end, so memory does not grow.
    """

    def __init__(self, path: Path, about: Mapping[str, np.ndarray] | None = None) -> None:
        """Begin a file.

        Args:
            path: the npz file to be.
            about: arrays that are stored as they are: ``about_body``.
        """
        self._path = path
        self._about = dict(about or {})
        self._spools: dict[str, _Spool] = {}
        self._frames = 0

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        tracked = estimate.tracked
        arrays = people_arrays([one.person for one in tracked])
        arrays["track_state"] = np.array([one.state for one in tracked], np.uint8)
        arrays.update(_certainty(tracked))
        count = len(tracked)
        arrays["frame"] = np.full(count, self._frames, np.int64)
        arrays["stamp_ns"] = np.full(count, estimate.stamp_ns, np.int64)
        arrays["session"] = np.full(count, estimate.session, np.int64)
        arrays["scale"] = np.full(count, estimate.body_scale, np.float64)
        arrays["world_from_camera"] = np.repeat(estimate.world_from_camera[None], count, axis=0)
        arrays.update(_frame_row(estimate))
        self._frames += 1
        with output_errors(self._path):
            for name, rows in arrays.items():
                if name not in self._spools:
                    spool_path = self._path.with_name(f"{self._path.name}.{name}.part")
                    self._spools[name] = _Spool(spool_path)
                self._spools[name].append(rows)

    def finish(self) -> None:
        once = {
            "format": np.array(FORMAT),
            "conventions": np.array(json.dumps(CONVENTIONS)),
            **self._about,
        }
        with whole_file(self._path) as file, zipfile.ZipFile(file, "w") as archive:
            for name, spool in self._spools.items():
                with _member(archive, name) as member:
                    spool.write_npy(member)
            for name, array in once.items():
                with _member(archive, name) as member:
                    np.lib.format.write_array(member, array, (1, 0), allow_pickle=False)
        self.abort()

    def abort(self) -> None:
        for spool in self._spools.values():
            spool.remove()
        self._spools.clear()


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # A fixed date, as numpy.savez has, keeps equal results equal byte for byte.
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def _frame_row(estimate: FrameEstimate) -> dict[str, np.ndarray]:
    """The arrays of a frame that do not depend on the people, one row each."""
    geometry = estimate.geometry
    size_px = (geometry.source_width_px, geometry.source_height_px)
    level = estimate.level_from_world
    level = np.full((4, 4), np.nan) if level is None else level
    return {
        "frame_stamp_ns": np.array([estimate.stamp_ns], np.int64),
        "frame_session": np.array([estimate.session], np.int64),
        "frame_world_from_camera": np.asarray(estimate.world_from_camera, np.float64)[None],
        "frame_level_from_world": np.asarray(level, np.float64)[None],
        "frame_intrinsics": estimate.source_camera.matrix()[None],
        "frame_size_px": np.array([size_px], np.int64),
    }


class _Spool:
    """Rows of one array on disk, in the order they came."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b")
        self._rows = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float32)

    def append(self, rows: np.ndarray) -> None:
        # A frame without people does not know how many joints there are.
        if self._rows == 0:
            self._shape, self._dtype = rows.shape[1:], rows.dtype
        self._file.write(np.ascontiguousarray(rows).data if len(rows) else b"")
        self._rows += len(rows)

    def write_npy(self, target: IO[bytes]) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._shape),
        }
        np.lib.format.write_array_header_1_0(target, header)
        self._file.seek(0)
        shutil.copyfileobj(self._file, target, 2**20)

    def remove(self) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
