"""The truth about a video clip, small enough to ship beside it: everything but the images."""

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from human3r.atomic import whole_file
from human3r.errors import InputError
from human3r_lab.datasets.sample import ViewTruth
from human3r_lab.datasets.sequence_file import stack_views, view_from_row

_MAX_DEPTH_M = 65.0
"""Millimetres fit into 16 bits up to here; farther depth is left out."""


def write_clip_truth(path: Path, views: Sequence[ViewTruth]) -> None:
    """Keep the truth about a clip's frames; depth is rounded to millimetres.

    Args:
        path: an npz file; appears only when complete.
        views: one per frame, of any one size.

    Raises:
        InputError: no views, or sizes that differ.
        OutputError: not writable.
    """
    arrays = stack_views(views)
    del arrays["image"]
    depth = arrays.pop("depth_m")
    depth[depth > _MAX_DEPTH_M] = 0
    arrays["depth_mm"] = np.round(depth * 1000).astype(np.uint16)
    with whole_file(path) as file:
        np.savez_compressed(file, **arrays)


def read_clip_truth(path: Path) -> list[ViewTruth]:
    """The views of ``write_clip_truth``, in order; their images are black.

    Raises:
        InputError: missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        depth = arrays.pop("depth_mm").astype(np.float32) / 1000
        black = np.zeros((*depth.shape[1:], 3), np.uint8)
        rows = [{name: array[i] for name, array in arrays.items()} for i in range(len(depth))]
        return [
            view_from_row({**row, "depth_m": depth[i], "image": black})
            for i, row in enumerate(rows)
        ]
    except (OSError, ValueError, KeyError, IndexError, BadZipFile) as error:
        raise InputError(
            f"{path}: not a readable truth about a clip ({error}); expected a whole file of "
            "tools/render_demo_clip.py. Install human3r again."
        ) from error
