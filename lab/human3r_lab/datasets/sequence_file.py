"""Sequences on disk: one safetensors file each, read without copying what is not asked for."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from human3r.atomic import whole_file
from human3r.errors import InputError
from human3r.types import Intrinsics
from human3r_lab.datasets.sample import CONTACT_NAMES, PeopleTruth, ViewTruth

FORMAT = "human3r-sequence-1"
SUFFIX = ".safetensors"

_PERSON = {
    "rotations": ((53, 3, 3), np.float32),
    "betas": ((10,), np.float32),
    "expression": ((10,), np.float32),
    "head_camera": ((3,), np.float32),
    "contacts": ((len(CONTACT_NAMES),), np.uint8),
}
_VIEW = {
    "image": (("height", "width", 3), np.uint8),
    "depth_m": (("height", "width"), np.float32),
    "person_index": (("height", "width"), np.uint8),
    "focal_principal_px": ((4,), np.float64),
    "world_from_camera": ((4, 4), np.float64),
    "stamp_ns": ((), np.int64),
    "person_ids": (("people",), np.int32),
    **{name: (("people", *shape), dtype) for name, (shape, dtype) in _PERSON.items()},
}
"""Tensors of a file; each has the views as its first axis. Person id 0 marks an empty place."""


def write_sequence(
    path: str | Path, views: Iterable[ViewTruth], metadata: Mapping[str, Any]
) -> Path:
    """Write a sequence whole or not at all.

    Args:
        path: the file, ending in ``.safetensors``.
        views: of one size, at least one.
        metadata: what else is known, JSON values: name, seed, split, difficulty, rate_hz, body.

    Raises:
        InputError: no views, or sizes that differ.
        OutputError: not writable.
    """
    tensors = stack_views(list(views))
    header = {"format": FORMAT, "sequence": json.dumps(dict(metadata), sort_keys=True)}
    path = Path(path)
    with whole_file(path) as file:
        file.write(save(tensors, metadata=header))
    return path


def stack_views(views: Sequence[ViewTruth]) -> dict[str, np.ndarray]:
    """Views of one size as arrays by name; the first axis of each is the views.

    Raises:
        InputError: no views, or sizes that differ.
    """
    sizes = sorted({view.image.shape for view in views})
    if len(sizes) != 1:
        raise InputError(f"views have the sizes {sizes}; expected views of one size, and some.")
    most = max(1, *(len(view.people) for view in views))
    return {
        name: np.stack([_column(view, name, most) for view in views]).astype(dtype, copy=False)
        for name, (_, dtype) in _VIEW.items()
    }


def view_from_row(row: Mapping[str, np.ndarray]) -> ViewTruth:
    """One view out of what ``stack_views`` gives: its row of each array."""
    exists = row["person_ids"] > 0
    height, width = row["depth_m"].shape
    return ViewTruth(
        image=row["image"],
        depth_m=row["depth_m"],
        person_index=row["person_index"],
        intrinsics=Intrinsics(*map(float, row["focal_principal_px"]), width, height),
        world_from_camera=row["world_from_camera"],
        people=PeopleTruth(
            person_ids=row["person_ids"][exists],
            **{name: row[name][exists] for name in _PERSON if name != "contacts"},
            contacts=row["contacts"][exists].astype(bool),
        ),
        stamp_ns=int(row["stamp_ns"]),
    )


def _column(view: ViewTruth, name: str, most: int) -> np.ndarray:
    if name == "focal_principal_px":
        camera = view.intrinsics
        return np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    if name == "person_ids" or name in _PERSON:
        rows = getattr(view.people, name)
        return np.concatenate((rows, np.zeros((most - len(rows), *rows.shape[1:]), rows.dtype)))
    return np.asarray(getattr(view, name))


class SequenceFile:
    """One sequence; views are read when asked for.

    Args:
        path: file written by ``write_sequence``.

    Attributes:
        path: the file.
        name: the file's name without ending.
        metadata: what the writer said about it.

    Raises:
        InputError: missing, damaged, or not such a file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such file; expected a sequence ({SUFFIX}).")
        try:
            self._file = safe_open(self.path, framework="numpy")
            header = self._file.metadata() or {}
            if header.get("format") != FORMAT:
                raise InputError(
                    f"{self.path}: format is {header.get('format')!r}, expected {FORMAT!r}. "
                    "Write sequences with `human3r synth`."
                )
            self.metadata: dict[str, Any] = json.loads(header["sequence"])
            self._check()
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(
                f"{self.path}: not a readable sequence ({error}); expected a whole {FORMAT} file. "
                "Delete it and write it again with `human3r synth`."
            ) from error

    def _check(self) -> None:
        shapes = {name: self._file.get_slice(name).get_shape() for name in _VIEW}
        count, height, width = shapes["depth_m"]
        sizes = {"height": height, "width": width, "people": shapes["person_ids"][1]}
        for name, (shape, _) in _VIEW.items():
            expected = [count, *(sizes.get(side, side) for side in shape)]
            if shapes[name] != expected:
                raise ValueError(f"{name} has the shape {shapes[name]}, expected {expected}")
        self._count, self.height_px, self.width_px = count, height, width

    def __len__(self) -> int:
        return self._count

    def view(self, index: int) -> ViewTruth:
        """One view.

        Raises:
            IndexError: no such view.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"view {index} of {self.path}; expected 0 to {len(self) - 1}.")
        return view_from_row({name: self._file.get_slice(name)[index] for name in _VIEW})


def open_folder(path: str | Path) -> list[SequenceFile]:
    """All sequences of a folder, by name.

    Raises:
        InputError: no folder, no sequence in it, or a damaged one.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; make one with `human3r synth {folder}`.")
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    if not paths:
        raise InputError(
            f"{folder}: no sequences (*{SUFFIX}) in it; make some with `human3r synth {folder}`."
        )
    return [SequenceFile(path) for path in paths]
