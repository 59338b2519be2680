"""How far results about the demonstration clip are from the truth about it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from human3r.body.base import BodyModel
from human3r.config import Settings
from human3r.types import Frame, FrameEstimate
from human3r.viewer.overlay import scaled_camera
from human3r_lab.datasets import ViewTruth
from human3r_lab.datasets.clip_truth import read_clip_truth
from human3r_lab.evaluation.measures import MEASURES, numbers
from human3r_lab.evaluation.sequence_evaluator import DepthProtocol, SequenceEvaluator
from human3r_lab.evaluation.truth import FreeBodyScheme

_SHOWN = ("f1", "mpjpe_mm", "joint_error_px", "head_error_m", "abs_rel", "ate_percent")
"""Of ``evaluation.measures.MEASURES``."""


def demo_truth_path() -> Path:
    """The truth about the clip, see ``datasets.clip_truth``."""
    return Path(__file__).resolve().parent / "data" / "demo_clip_truth.npz"


def demo_truth() -> list[ViewTruth]:
    """What is true in each frame, at a smaller size than the video's; images are black."""
    return read_clip_truth(demo_truth_path())


class ClipErrors:
    """Compares estimates of single frames of a clip with the truth about them."""

    def __init__(self, body_model: BodyModel, truth: Sequence[ViewTruth]) -> None:
        """Nothing is compared yet.

        Args:
            body_model: of the estimates.
            truth: one per frame of the clip that was played.
        """
        self._scheme = FreeBodyScheme(body_model)
        self._truth = truth
        self._evaluator = SequenceEvaluator(self._scheme, Settings(), DepthProtocol())

    def add(self, index: int, frame: Frame, estimate: FrameEstimate) -> None:
        """Compare one frame.

        Args:
            index: of the frame in the clip, as ``truth`` counts.
            frame: with the image that was seen, of any size.
            estimate: what was found in it.
        """
        truth = self._truth[index]
        height, width = frame.image.shape[:2]
        camera = scaled_camera(truth.intrinsics, width, height)
        view = replace(self._scheme.true_view(truth), frame=frame, intrinsics=camera)
        self._evaluator.add(view, estimate)

    def numbers(self) -> dict[str, float]:
        """What could be measured, by the names of ``evaluation.measures.MEASURES``."""
        result = self._evaluator.result("demo", "")
        self._evaluator.close()
        return {name: value for name, value in numbers([result]).items() if value is not None}


def in_words(errors: dict[str, float]) -> str:
    """The few of ``ClipErrors.numbers`` that a person wants to read."""
    parts = []
    for name in _SHOWN:
        if name in errors:
            kind = MEASURES[name]
            parts.append(f"{kind.title} {errors[name]:.{kind.digits}f} {kind.unit}".rstrip())
    return ", ".join(parts)
