"""Errors of video depth, and the four ways to align a sequence before taking them.

Source of the definitions: Eigen et al. 2014 (Abs Rel, delta), and the evaluation protocol of
Human3R (arXiv 2510.06219) for the alignments.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from human3r_lab.evaluation.depth_pairs import DepthPairs

_ROUNDS = 10
_MIN_SCALE = 1e-3
_MIN_RESIDUAL_M = 1e-8
_MIN_DEPTH_M = 1e-5
_ADAM_STEPS = 1000
_ADAM_RATE = 1e-4
_ADAM_BETAS = (0.9, 0.999)
_ADAM_EPS = 1e-8


@dataclass(frozen=True)
class DepthErrors:
    """One sequence's depth against the truth, over its valid pixels."""

    abs_rel: float
    sq_rel_m: float
    rmse_m: float
    log_rmse: float
    delta_1: float
    """Share of pixels whose ratio to the truth, whichever way round, is below 1.25."""
    delta_2: float
    """Below 1.25 squared."""
    delta_3: float
    """Below 1.25 cubed."""
    num_pixels: int


@dataclass(frozen=True)
class DepthAlignment:
    """aligned = scale * predicted + shift."""

    scale: float = 1.0
    shift_m: float = 0.0


def align_not(pairs: DepthPairs) -> DepthAlignment:
    """``metric``: depth as predicted."""
    return DepthAlignment()


def align_scale(pairs: DepthPairs) -> DepthAlignment:
    """``scale``: one factor for the sequence, for the sum of absolute errors.

    Ten rounds of re-weighted least squares in float32 that do not converge, as the protocol has
    them; sums beyond a chunk are float64.

    Source: Weiszfeld's algorithm.
    """
    true_sum = sum(float(torch.from_numpy(t).sum()) for _, t in pairs.chunks())
    predicted_sum = sum(float(torch.from_numpy(p).sum()) for p, _ in pairs.chunks())
    scale = np.float32(true_sum / predicted_sum) if predicted_sum else np.float32(1)
    for _ in range(_ROUNDS):
        above = below = 0.0
        for chunk in pairs.chunks():
            predicted, true = map(torch.from_numpy, chunk)
            weight = 1 / ((float(scale) * predicted - true).abs() + _MIN_RESIDUAL_M)
            above += float((weight * predicted * true).sum())
            below += float((weight * predicted**2).sum())
        scale = np.float32(above / below) if below else np.float32(1)
    return DepthAlignment(max(float(scale), _MIN_SCALE))


def align_median(pairs: DepthPairs) -> DepthAlignment:
    """``median``: the ratio of the two medians, each the lower middle value."""
    predicted, true = _lower_median(pairs, 0), _lower_median(pairs, 1)
    return DepthAlignment(float(np.float32(true) / np.float32(predicted)) if predicted else 1.0)


def align_scale_shift(pairs: DepthPairs) -> DepthAlignment:
    """``scale_shift``: factor and shift, by 1000 Adam steps on the mean absolute error.

    Begins at the median ratio, as the protocol has it. Passes over all pixels 1000 times.

    Source: Kingma and Ba 2015 (Adam).
    """
    values = np.array([align_median(pairs).scale, 0.0])
    mean, square = np.zeros(2), np.zeros(2)
    for step in range(1, _ADAM_STEPS + 1):
        gradient = np.zeros(2)
        for predicted, true in pairs.chunks():
            sign = np.sign(np.float32(values[0]) * predicted + np.float32(values[1]) - true)
            gradient += [np.dot(sign, predicted), sign.sum(dtype=np.float64)]
        gradient /= len(pairs)
        mean += (1 - _ADAM_BETAS[0]) * (gradient - mean)
        square += (1 - _ADAM_BETAS[1]) * (gradient**2 - square)
        unbiased = mean / (1 - _ADAM_BETAS[0] ** step)
        size = np.sqrt(square / (1 - _ADAM_BETAS[1] ** step)) + _ADAM_EPS
        values -= _ADAM_RATE * unbiased / size
    return DepthAlignment(float(values[0]), float(values[1]))


ALIGNMENTS: dict[str, Callable[[DepthPairs], DepthAlignment]] = {
    "metric": align_not,
    "scale": align_scale,
    "median": align_median,
    "scale_shift": align_scale_shift,
}
"""What the benchmarks call these."""


def depth_errors(
    pairs: DepthPairs, alignment: DepthAlignment, *, max_depth_m: float = math.inf
) -> DepthErrors | None:
    """Errors after an alignment; None without a single pixel.

    Aligned depth is clipped: at ``max_depth_m``, where the benchmark says so, and just above zero,
    so that a surface behind the camera counts as wrong rather than as undefined.
    """
    if not len(pairs):
        return None
    sums = np.zeros(7)
    scale, shift_m = np.float32(alignment.scale), np.float32(alignment.shift_m)
    for predicted, true in pairs.chunks():
        with np.errstate(over="ignore", invalid="ignore"):  # The error itself will say so.
            aligned = np.clip(scale * predicted + shift_m, _MIN_DEPTH_M, np.float32(max_depth_m))
            sums += _sums(aligned, true)
    means = (sums / len(pairs)).tolist()
    return DepthErrors(
        *means[:2], math.sqrt(means[2]), math.sqrt(means[3]), *means[4:], num_pixels=len(pairs)
    )


def _sums(aligned: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Sums over pixels of what ``DepthErrors`` has the means of."""
    error = aligned - true
    ratio = np.maximum(aligned / true, true / aligned)
    terms = (
        *(np.abs(error) / true, error**2 / true, error**2),
        (np.log(aligned) - np.log(true)) ** 2,
        *(ratio < 1.25**power for power in (1, 2, 3)),
    )
    return np.array([term.sum(dtype=np.float64) for term in terms])


def _lower_median(pairs: DepthPairs, column: int) -> float:
    """Exactly, in two passes: the upper half of the number's bits first, then the lower."""
    rank = (len(pairs) - 1) // 2
    upper = np.zeros(2**16, np.int64)
    for chunk in pairs.chunks():
        upper += np.bincount(_ordered_bits(chunk[column]) >> 16, minlength=2**16)
    place = int(np.searchsorted(upper.cumsum(), rank, side="right"))
    rank -= int(upper[:place].sum())
    lower = np.zeros(2**16, np.int64)
    for chunk in pairs.chunks():
        bits = _ordered_bits(chunk[column])
        lower += np.bincount(bits[bits >> 16 == place] & 0xFFFF, minlength=2**16)
    bits = place << 16 | int(np.searchsorted(lower.cumsum(), rank, side="right"))
    bits = bits & 0x7FFFFFFF if bits >> 31 else ~bits & 0xFFFFFFFF
    return float(np.array(bits, np.uint32).view(np.float32))


def _ordered_bits(values: np.ndarray) -> np.ndarray:
    """float32 as uint32 in the same order: a negative number's bits are flipped."""
    bits = values.view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(2**31))
