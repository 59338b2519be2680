"""Turns a distributed body model, pickle or npz, into a small npz that is safe to load."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from human3r.atomic import whole_file
from human3r.body import find_body_file
from human3r.body.layout import ARRAY_NAMES, BodyArrays, check_arrays
from human3r.body.npz import read_arrays
from human3r.body.pickled_model import read_pickled_arrays


@dataclass(frozen=True)
class BodySummary:
    """What a body model file holds."""

    path: Path
    num_vertices: int
    num_faces: int
    landmark_names: tuple[str, ...]
    has_pose_directions: bool
    """Whether skin shape depends on pose beyond skinning."""
    height_m: float
    """Vertical extent of the mean shape."""


def convert_body(source: str | Path, target: str | Path) -> BodySummary:
    """Writes the needed arrays of a body model as npz, float32; nothing in the source is run.

    Args:
        source: SMPL-X layout as npz, or as a pickle of Python 2 or 3.
        target: the npz file to write; appears only when complete.

    Raises:
        BodyModelError: damaged, hostile or of another layout; the message names the array.
        OutputError: the target cannot be written.
    """
    arrays, body = _read(Path(source))
    kept = {
        name: array.astype(np.float32) if array.dtype.kind == "f" else array
        for name, array in arrays.items()
    }
    kept["shapedirs"] = body.directions
    if body.pose_directions is None:
        kept.pop("posedirs", None)
    with whole_file(Path(target)) as stream:
        np.savez_compressed(stream, **kept)  # pyright: ignore[reportArgumentType]
    return _summary(Path(target), body)


def describe_body(path: str | Path) -> BodySummary:
    """What a body model file holds, npz or pickle; nothing in it is run.

    Raises:
        BodyModelError: damaged, hostile or of another layout; the message names the array.
    """
    _, body = _read(Path(path))
    return _summary(Path(path), body)


def _read(path: Path) -> tuple[dict[str, np.ndarray], BodyArrays]:
    file = find_body_file(path, allow_pickle=True)
    with file.open("rb") as stream:
        is_zip = stream.read(2) == b"PK"
    arrays = (read_arrays if is_zip else read_pickled_arrays)(file, ARRAY_NAMES)
    return arrays, check_arrays(arrays, str(file))


def _summary(path: Path, body: BodyArrays) -> BodySummary:
    heights = body.template[:, 1]
    return BodySummary(
        path=path,
        num_vertices=len(body.template),
        num_faces=len(body.faces),
        landmark_names=body.landmark_names,
        has_pose_directions=body.pose_directions is not None,
        height_m=float(heights.max() - heights.min()),
    )
