"""What is measured, and how numbers of many sequences become one."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from human3r_lab.evaluation.matching import detection_rates


@dataclass(frozen=True)
class Measure:
    """A mean and how much it weighs: how many people, pixels or sequences it is the mean of."""

    value: float
    weight: float


class RunningMean:
    """A mean that is fed bit by bit."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    def add(self, values: np.ndarray | float) -> None:
        """One more number, or several."""
        array = np.asarray(values, np.float64)
        self._sum += float(array.sum())
        self._count += array.size

    def measure(self) -> Measure | None:
        """The mean so far, weighing as many as it was made of; None without any."""
        return Measure(self._sum / self._count, self._count) if self._count else None


@dataclass(frozen=True)
class Median:
    """A median, kept as counts of values in bins from 0 so that several of them become one."""

    counts: tuple[int, ...]
    """Per bin, at least one value in all of them."""
    bin_width: float

    @property
    def value(self) -> float:
        """The median, right to a bin's width: values count as spread evenly over their bin."""
        below = np.concatenate([[0], np.cumsum(self.counts)])
        index = int(np.searchsorted(below, self.weight / 2)) - 1
        share = (self.weight / 2 - below[index]) / self.counts[index]
        return float(self.bin_width * (index + share))

    @property
    def weight(self) -> float:
        """How many values it is the median of."""
        return float(sum(self.counts))


class RunningMedian:
    """A median that is fed bit by bit; its memory does not grow.

    Args:
        limit: largest value; what is larger counts as that.
        bin_width: what the median is right to.
    """

    def __init__(self, limit: float, bin_width: float) -> None:
        self._counts = np.zeros(round(limit / bin_width), np.int64)
        self._bin_width = bin_width

    def add(self, values: np.ndarray | float) -> None:
        """One more finite number from 0, or several."""
        bins = (np.atleast_1d(np.asarray(values, np.float64)) / self._bin_width).astype(np.int64)
        np.add.at(self._counts, np.clip(bins, 0, len(self._counts) - 1), 1)

    def measure(self) -> Median | None:
        """The median so far; None without any."""
        counts = tuple(self._counts.tolist())
        return Median(counts, self._bin_width) if any(counts) else None


@dataclass(frozen=True)
class MeasureKind:
    """How a measure is shown."""

    title: str
    unit: str
    digits: int
    is_better_low: bool | None
    """None where the best value is 1, or there is none."""
    group: str
    goal: float | None = None
    """Goals of the bundled networks on the easy half of the synthetic benchmark."""


def _covered(title: str, wanted: float) -> MeasureKind:
    return MeasureKind(f"{title} (wanted {wanted:.2f})", "", 3, None, "covariance of body poses")


def _people(title: str, unit: str, digits: int, low: bool, goal: float | None = None):
    return MeasureKind(title, unit, digits, low, "people", goal)


MEASURES: dict[str, MeasureKind] = {
    "precision": _people("detection precision", "", 3, False),
    "recall": _people("detection recall", "", 3, False),
    "f1": _people("detection F1", "", 3, False, 0.97),
    "mpjpe_mm": _people("MPJPE", "mm", 1, True, 60),
    "pa_mpjpe_mm": _people("PA-MPJPE", "mm", 1, True, 38),
    "pve_mm": _people("PVE", "mm", 1, True),
    "pa_pve_mm": _people("PA-PVE", "mm", 1, True),
    "absolute_mpjpe_mm": _people("absolute MPJPE", "mm", 1, True),
    "absolute_pve_mm": _people("absolute PVE", "mm", 1, True),
    "root_error_mm": _people("root error", "mm", 1, True),
    "root_error_percent": _people("root error / distance", "%", 2, True, 4),
    "facing_median_deg": _people("facing error, median", "°", 1, True, 5),
    "facing_over_90_percent": _people("facing error over 90°", "%", 2, True, 1),
    "head_error_m": _people("head error", "m", 3, True),
    "joint_error_px": _people("joint error in the image", "px", 2, True),
    "person_scale": MeasureKind("person distance, true / predicted", "", 3, None, "people"),
    "sole_height_error_mm": _people("height error of a standing sole", "mm", 1, True),
    "sole_to_surface_mm": _people("the same, over the predicted floor", "mm", 1, True),
    "mask_iou": _people("person mask IoU", "", 3, False),
    "id_switches_per_1000_frames": _people("published id switches / 1000 frames", "", 2, True, 2),
    "id_switches_per_1000_people_frames": _people(
        "published id switches / 1000 people-frames", "", 2, True
    ),
    "idf1": _people("IDF1", "", 3, False),
    **{
        f"{name}_{suffix}": _covered(f"{title} {words}", wanted)
        for name, title in (
            ("along", "along the ray"),
            ("across", "across the ray"),
            ("rotation", "rotation"),
            ("unseen", "all of these while unseen"),
        )
        for suffix, words, wanted in (
            ("within_sigma", "inside one sigma", 0.683),
            ("within_2_sigma", "inside two sigma", 0.954),
        )
    },
    "w_mpjpe_mm": MeasureKind("W-MPJPE", "mm", 1, True, "motion"),
    "wa_mpjpe_mm": MeasureKind("WA-MPJPE", "mm", 1, True, "motion"),
    "rte_percent": MeasureKind("RTE", "%", 2, True, "motion"),
    "rte_scaled_percent": MeasureKind("RTE, scaled", "%", 2, True, "motion"),
    "jitter": MeasureKind("jitter", "10 m/s³", 2, True, "motion"),
    "true_jitter": MeasureKind("jitter of the truth", "10 m/s³", 2, None, "motion"),
    "foot_sliding_mm": MeasureKind("foot sliding", "mm", 1, True, "motion"),
    "abs_rel": MeasureKind("depth Abs Rel", "", 4, True, "depth", 0.08),
    "delta_1": MeasureKind("depth δ < 1.25", "", 3, False, "depth"),
    "abs_rel_scale": MeasureKind("depth Abs Rel, scale aligned", "", 4, True, "depth"),
    "delta_1_scale": MeasureKind("depth δ < 1.25, scale aligned", "", 3, False, "depth"),
    "abs_rel_median": MeasureKind("depth Abs Rel, median aligned", "", 4, True, "depth"),
    "delta_1_median": MeasureKind("depth δ < 1.25, median aligned", "", 3, False, "depth"),
    "abs_rel_scale_shift": MeasureKind("depth Abs Rel, scale & shift", "", 4, True, "depth"),
    "delta_1_scale_shift": MeasureKind("depth δ < 1.25, scale & shift", "", 3, False, "depth"),
    "depth_scale": MeasureKind("depth scale, true / predicted", "", 3, None, "depth"),
    "ate_m": MeasureKind("ATE", "m", 4, True, "camera"),
    "ate_percent": MeasureKind("ATE / path length", "%", 2, True, "camera", 5),
    "ate_rigid_percent": MeasureKind("ATE / path length, not scaled", "%", 2, True, "camera"),
    "rpe_m": MeasureKind("RPE translation", "m", 4, True, "camera"),
    "rpe_deg": MeasureKind("RPE rotation", "°", 3, True, "camera"),
    "camera_scale": MeasureKind("path scale, true / predicted", "", 3, None, "camera"),
    "drift_m": MeasureKind("drift from the first camera", "m", 4, True, "camera"),
    "position_in_stddev": MeasureKind("position error / its stddev", "", 2, None, "camera"),
    "rotation_in_stddev": MeasureKind("rotation error / its stddev", "", 2, None, "camera"),
    "focal_error_percent": MeasureKind("focal length error", "%", 2, True, "camera"),
}
"""Every measure, in the order in which reports show them."""

Curve = tuple[Measure | Median | None, ...]
"""A measure per step of a condition."""

COUNTS = (
    *("people_matched", "people_false", "people_missed", "people_ignored", "people_not_finite"),
    *("id_switches", "id_true_positives", "id_predictions", "id_truths"),
    *("mask_shared_px", "mask_joined_px"),
)
"""What is counted per sequence, and summed over sequences."""


@dataclass(frozen=True)
class SequenceResult:
    """What was measured on one sequence."""

    name: str
    group: str
    """Part of the benchmark, for example easy or hard; may be empty."""
    frames: int
    """Frames that were given to the network."""
    frames_failed: int
    """Frames of these on which the network failed; the people in them count as missed."""
    counts: Mapping[str, int]
    """By the names of ``COUNTS``; those that the truth says nothing about are absent."""
    means: Mapping[str, Measure | Median]
    """By the names of ``MEASURES``, but those that come from counts."""
    curves: Mapping[str, Mapping[str, "Curve"]] = field(default_factory=dict)
    """Condition, then measure."""
    error: str = ""
    """Why the sequence ended before its end; empty when it did not."""


def numbers(results: Iterable[SequenceResult]) -> dict[str, float | None]:
    """Every measure over some sequences, by name; None where nothing was measured.

    Means weigh by what they are the mean of: people's by matched people, depth by valid pixels,
    the camera's by sequence. Medians are of all values. Rates come from summed counts.
    """
    results = list(results)
    counts = summed_counts(results)
    rates = _rates(counts, sum(result.frames for result in results))
    values: dict[str, float | None] = {}
    for name in MEASURES:
        if name in rates:
            values[name] = rates[name] if math.isfinite(rates[name]) else None
        else:
            pooled = pool(result.means.get(name) for result in results)
            values[name] = pooled.value if pooled else None
    return values


def summed_counts(results: Iterable[SequenceResult]) -> dict[str, int]:
    """Counts over some sequences; absent where no sequence has them."""
    total: dict[str, int] = {}
    for result in results:
        for name, count in result.counts.items():
            total[name] = total.get(name, 0) + count
    return total


def pool(measures: Iterable[Measure | Median | None]) -> Measure | Median | None:
    """The weighted mean, or the median of all values; None without any."""
    present = [measure for measure in measures if measure is not None]
    medians = [measure for measure in present if isinstance(measure, Median)]
    if medians:
        counts = zip(*(median.counts for median in medians), strict=True)
        return Median(tuple(map(sum, counts)), medians[0].bin_width)
    weight = sum(measure.weight for measure in present)
    if not weight:
        return None
    return Measure(sum(m.value * m.weight for m in present) / weight, weight)


_FROM_COUNTS = (
    *("precision", "recall", "f1", "mask_iou", "idf1"),
    *("id_switches_per_1000_frames", "id_switches_per_1000_people_frames"),
)


def _rates(counts: Mapping[str, int], frames: int) -> dict[str, float]:
    rates = dict.fromkeys(_FROM_COUNTS, math.nan)
    if "people_matched" in counts:
        found = detection_rates(
            *(counts[f"people_{name}"] for name in ("matched", "false", "missed"))
        )
        rates |= {"precision": found.precision, "recall": found.recall, "f1": found.f1}
    if counts.get("mask_joined_px"):
        rates["mask_iou"] = counts["mask_shared_px"] / counts["mask_joined_px"]
    if "id_switches" in counts and frames:
        rates["id_switches_per_1000_frames"] = 1000 * counts["id_switches"] / frames
    if counts.get("people_matched"):
        rates["id_switches_per_1000_people_frames"] = (
            1000 * counts["id_switches"] / counts["people_matched"]
        )
    everybody = counts.get("id_predictions", 0) + counts.get("id_truths", 0)
    if everybody:
        rates["idf1"] = 2 * counts["id_true_positives"] / everybody
    return rates  # pyright: ignore[reportReturnType]
