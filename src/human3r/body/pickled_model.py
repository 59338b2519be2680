"""Numpy arrays out of a pickled body model, without running anything in the pickle.

Distributed body models are pickles of Python 2 or 3 that hold numpy arrays, scipy's compressed
sparse matrices, and objects of chumpy around plain arrays. ``human3r.pickles`` reads them all as
inert data; here the numbers are taken out.
"""

import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from human3r.errors import BodyModelError
from human3r.pickled_arrays import NotUnderstoodError, array_from_inert
from human3r.pickles import entries, load_inert

MAX_FILE_BYTES = 2 << 30
"""SMPL-X with all directions in double precision has 550 MB."""


def read_pickled_arrays(path: Path, wanted: Iterable[str]) -> dict[str, np.ndarray]:
    """Those of the wanted arrays that a pickled body model has, by name.

    Raises:
        BodyModelError: no pickle, damaged, hostile sizes, or an array in a form we do not know.
    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise BodyModelError(
            f"{path}: has {size} bytes; expected a body model of at most {MAX_FILE_BYTES}. "
            "Check the path."
        )
    try:
        with path.open("rb") as stream:
            content = entries(load_inert(stream, size))
    except (pickle.UnpicklingError, OSError) as error:
        raise BodyModelError(
            f"{path}: cannot be read as a pickle ({error}); expected a body model in the SMPL-X "
            "layout. Download it again."
        ) from error
    if content is None:
        raise BodyModelError(
            f"{path}: holds no named arrays; expected a body model in the SMPL-X layout. "
            "Check that this is the right file."
        )
    return {name: _named(path, name, content[name]) for name in wanted if name in content}


def _named(path: Path, name: str, value: object) -> np.ndarray:
    try:
        return array_from_inert(value)
    except (NotUnderstoodError, TypeError, ValueError, OverflowError, IndexError) as error:
        raise BodyModelError(
            f"{path}: array {name}: {error}; expected a numpy array, a scipy sparse matrix or a "
            "chumpy array. Save it as npz with the program it came with."
        ) from error
