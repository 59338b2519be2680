"""All people of a run in one npz file of flat arrays, however long the run was."""

import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from human3r.atomic import output_errors, whole_file
from human3r.io.frame_files import people_arrays
from human3r.types import Frame, FrameEstimate


class PeopleFile:
    """One row per person and frame.

    Besides the arrays of people that ``FrameFiles`` describes, with rows (N) instead of people:
    ``frame`` (N,) int64 number of the frame within the run, ``stamp_ns`` (N,), ``session`` (N,),
    ``world_from_camera`` (N, 4, 4) of that frame. Rows are spooled to disk and put together at
    the end, so memory does not grow.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spools: dict[str, _Spool] = {}
        self._frames = 0

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        arrays = people_arrays(estimate)
        count = len(estimate.people)
        arrays["frame"] = np.full(count, self._frames, np.int64)
        arrays["stamp_ns"] = np.full(count, estimate.stamp_ns, np.int64)
        arrays["session"] = np.full(count, estimate.session, np.int64)
        arrays["world_from_camera"] = np.repeat(estimate.world_from_camera[None], count, axis=0)
        self._frames += 1
        with output_errors(self._path):
            for name, rows in arrays.items():
                if name not in self._spools:
                    spool_path = self._path.with_name(f"{self._path.name}.{name}.part")
                    self._spools[name] = _Spool(spool_path)
                self._spools[name].append(rows)

    def finish(self) -> None:
        with whole_file(self._path) as file, zipfile.ZipFile(file, "w") as archive:
            for name, spool in self._spools.items():
                # A fixed date, as numpy.savez has, keeps equal results equal byte for byte.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    spool.write_npy(member)
        self.abort()

    def abort(self) -> None:
        for spool in self._spools.values():
            spool.remove()
        self._spools.clear()


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
