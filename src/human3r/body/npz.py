"""Reads the arrays of a body model from an npz file that may be damaged or hostile."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from human3r.errors import BodyModelError
from human3r.npz import read_npz


def read_arrays(path: Path, wanted: Iterable[str]) -> dict[str, np.ndarray]:
    """Those of the wanted arrays that the file has, by name; nothing else is read.

    Raises:
        BodyModelError: no npz file, damaged, an array of Python objects, or too large.
    """
    return read_npz(
        path,
        wanted,
        BodyModelError,
        "the SMPL-X layout",
        "Get the file again, or convert it with `human3r body convert IN OUT.npz`.",
    )
