"""Which predicted person is which true one, by their joints in the image."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_MIN_BOX_OVERLAP = 0.05


@dataclass(frozen=True)
class Matches:
    """Pairs and leftovers of one frame, as indices."""

    pairs: tuple[tuple[int, int], ...]
    """(prediction, truth), nearest first."""
    false_positives: tuple[int, ...]
    """Predictions without a truth."""
    misses: tuple[int, ...]
    """Truths without a prediction."""


@dataclass(frozen=True)
class DetectionRates:
    """Shares in [0, 1]; NaN where nothing was counted."""

    precision: float
    recall: float
    f1: float


def match_people(
    predicted_px: Float[np.ndarray, "predictions joints 2"],
    true_px: Float[np.ndarray, "truths joints 2"],
) -> Matches:
    """Greedy one-to-one matching: of all pairs, the one with the nearest joints comes first.

    A pair counts only if the boxes around its joints overlap by 5 % (intersection over union). A
    pair that does not is dropped, and uses up one prediction in the count that ends the search.

    Args:
        predicted_px: joints in the image by the predicted camera, pixels.
        true_px: the same joints of the true people by the true camera.

    Source: the evaluation protocol of Human3R (arXiv 2510.06219).
    """
    distance = np.linalg.norm(predicted_px[:, None] - true_px[None], axis=(2, 3))
    pairs: list[tuple[int, int]] = []
    free_predictions, free_truths = set(range(len(predicted_px))), set(range(len(true_px)))
    num_dropped = 0
    for flat in np.argsort(distance, axis=None, kind="stable"):
        if len(pairs) + num_dropped >= len(predicted_px) or not free_truths:
            break
        i, j = (int(index) for index in divmod(flat, len(true_px)))
        if i not in free_predictions or j not in free_truths:
            continue
        if box_overlap(predicted_px[i], true_px[j]) < _MIN_BOX_OVERLAP:
            num_dropped += 1
            continue
        pairs.append((i, j))
        free_predictions.discard(i)
        free_truths.discard(j)
    return Matches(tuple(pairs), tuple(sorted(free_predictions)), tuple(sorted(free_truths)))


def box_overlap(a_px: Float[np.ndarray, "points 2"], b_px: Float[np.ndarray, "points 2"]) -> float:
    """Intersection over union of the boxes around two sets of points, whole pixels inclusive."""
    low = np.maximum(a_px.min(axis=0), b_px.min(axis=0))
    high = np.minimum(a_px.max(axis=0), b_px.max(axis=0))
    shared = float(np.prod(np.maximum(high - low + 1, 0)))
    areas = [float(np.prod(np.ptp(points, axis=0) + 1)) for points in (a_px, b_px)]
    return shared / (sum(areas) - shared)


def detection_rates(num_matched: int, num_false: int, num_missed: int) -> DetectionRates:
    """Precision, recall and their harmonic mean from counts over any number of frames."""

    def share(part: float, whole: float) -> float:
        return part / whole if whole else float("nan")

    return DetectionRates(
        precision=share(num_matched, num_matched + num_false),
        recall=share(num_matched, num_matched + num_missed),
        f1=share(2 * num_matched, 2 * num_matched + num_false + num_missed),
    )
