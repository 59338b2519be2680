"""Where people are in an image, as a map of probabilities."""

from collections.abc import Iterable

import cv2
import numpy as np

from human3r.people.landmarker import CROP_PX
from human3r.people.landmarks import PersonLandmarks
from human3r.types import ImageGeometry


def person_map(people: Iterable[PersonLandmarks], geometry: ImageGeometry) -> np.ndarray:
    """Probability that a pixel of the network image shows any of the people.

    Args:
        people: with masks; those without are left out.
        geometry: what source pixels became; its source is the image the people were found in.

    Returns:
        (height_px, width_px) float32, 0..1.
    """
    total = np.zeros((geometry.height_px, geometry.width_px), np.float32)
    offset, one = geometry.network_from_source(np.array([[0.0, 0.0], [1.0, 1.0]]))
    network_from_source = np.column_stack([np.diag(one - offset), offset])
    for person in people:
        if person.mask is not None:
            source_from_crop = np.vstack([person.region.image_from_crop(CROP_PX), [0, 0, 1]])
            _paste(total, person.mask, network_from_source @ source_from_crop)
    return total


def _paste(total: np.ndarray, mask: np.ndarray, target_from_crop: np.ndarray) -> None:
    """Raise the map to what one mask says; touches the pixels under the mask only."""
    edge = CROP_PX - 1
    corners = target_from_crop @ np.array([[0, 0, edge, edge], [0, edge, 0, edge], [1] * 4])
    limit = total.shape[::-1]
    low = np.clip(np.floor(corners.min(1)), 0, limit).astype(int)
    high = np.clip(np.ceil(corners.max(1)) + 1, 0, limit).astype(int)
    size = high - low
    if size.min() < 1:
        return
    matrix = target_from_crop - [[0, 0, low[0]], [0, 0, low[1]]]
    shrink = int(1 / max(np.sqrt(abs(np.linalg.det(matrix[:, :2]))), 1 / CROP_PX))
    step = 1 << max(shrink, 1).bit_length() - 1  # a divisor of the crop's side
    if step > 1:  # the warp alone would skip pixels of the mask
        mask = cv2.resize(mask, (CROP_PX // step,) * 2, interpolation=cv2.INTER_AREA)
        scaled = np.array([[step, 0, (step - 1) / 2], [0, step, (step - 1) / 2], [0, 0, 1]])
        matrix = matrix @ scaled
    pasted = cv2.warpAffine(mask, matrix, tuple(map(int, size)), flags=cv2.INTER_LINEAR)
    part = total[low[1] : high[1], low[0] : high[0]]
    np.maximum(part, pasted, out=part)
