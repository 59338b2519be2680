"""A picture of many sequences at a glance: images over time, one depth and one mask per row."""

from collections.abc import Sequence

import cv2
import numpy as np

from human3r_lab.datasets.sample import ViewTruth
from human3r_lab.datasets.sequence_file import SequenceFile

_IMAGES = 4
_FARTHEST_M = 10.0
_COLORS = np.array(
    [[0, 0, 0], [230, 60, 60], [60, 200, 60], [70, 110, 240], [230, 200, 50], [200, 70, 220],
     [60, 210, 210], [240, 140, 40]], np.uint8,
)  # fmt: skip


def contact_sheet(sequences: Sequence[SequenceFile]) -> np.ndarray:
    """One row per sequence, (rows * height, 6 * width, 3) uint8 RGB.

    Args:
        sequences: at least one, of one image size.
    """
    return np.concatenate([_row(sequence) for sequence in sequences])


def _row(sequence: SequenceFile) -> np.ndarray:
    views = [sequence.view(int(i)) for i in np.linspace(0, len(sequence) - 1, _IMAGES).astype(int)]
    return np.concatenate([*(view.image for view in views), *_depth_and_mask(views[-1])], 1)


def _depth_and_mask(view: ViewTruth) -> tuple[np.ndarray, np.ndarray]:
    near = 1 - np.clip(view.depth_m / _FARTHEST_M, 0, 1)
    depth = cv2.applyColorMap((255 * near).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1].copy()
    depth[view.depth_m == 0] = 0
    person = view.person_index
    mask = _COLORS[np.where(person > 0, 1 + (person - 1) % (len(_COLORS) - 1), 0)]
    return depth, mask
