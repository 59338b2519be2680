"""A benchmark from its first frame to its last: sequences through the pipeline, one by one."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from human3r.errors import InputError, NonFiniteError
from human3r.model.weights_file import sha256_of
from human3r.pipeline import Pipeline
from human3r.tracking.covariance_file import find_covariance
from human3r.types import FrameEstimate
from human3r_lab.evaluation.coverage_part import CoveragePart
from human3r_lab.evaluation.matched_frame import BodyScheme, MatchedFrame
from human3r_lab.evaluation.measures import SequenceResult
from human3r_lab.evaluation.pose_errors import PoseErrors
from human3r_lab.evaluation.sequence_evaluator import DepthProtocol, SequenceEvaluator
from human3r_lab.evaluation.truth import TrueView

log = logging.getLogger(__name__)


class TrueSequence(Protocol):
    """A sequence of a benchmark."""

    name: str
    group: str
    """Part of the benchmark, for example easy or hard; may be empty."""

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def views(self) -> Iterator[TrueView]:
        """The frames in order.

        Raises:
            InputError: damaged, or its renderer died; what came before is evaluated.
        """
        ...


class FrameWatcher(Protocol):
    """Something that looks on, for example to keep pictures of the worst frames."""

    def __call__(
        self, name: str, view: TrueView, estimate: FrameEstimate, frame: MatchedFrame | None
    ) -> None:
        """One more frame of the sequence called ``name``."""
        ...


@dataclass
class Evaluation:
    """Results as they come."""

    results: list[SequenceResult] = field(default_factory=list)
    frames: int = 0
    network_s: float = 0.0
    """Wall time in the pipeline."""
    seconds: float = 0.0
    """Wall time of everything."""
    was_interrupted: bool = False


def evaluate(
    sequences: Iterable[TrueSequence],
    pipeline: Pipeline,
    scheme: BodyScheme,
    *,
    depth: DepthProtocol | None = None,
    watch: FrameWatcher | None = None,
    progress: Callable[[Evaluation], None] = lambda _: None,
    is_asked_to_stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Every frame of every sequence through the pipeline, and against the truth.

    A frame on which the network fails counts as failed, with all people in it missed. A sequence
    that cannot be read to its end keeps what came before, and its error. The pipeline is reset
    before each sequence.

    Raises:
        OutputError: the disk of temporary files is full.
        Human3RError: whatever else would fail in every sequence, such as a missing body model.
    """
    run = _Run(pipeline, scheme, depth or DepthProtocol(), watch, progress, is_asked_to_stop)
    for sequence in sequences:
        if is_asked_to_stop():
            run.done.was_interrupted = True
            break
        run.sequence(sequence)
    return run.done


@dataclass
class _Run:
    pipeline: Pipeline
    scheme: BodyScheme
    depth: DepthProtocol
    watch: FrameWatcher | None
    progress: Callable[[Evaluation], None]
    is_asked_to_stop: Callable[[], bool]
    done: Evaluation = field(default_factory=Evaluation)
    began_s: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self._covariance = find_covariance(self.pipeline.settings.model.weights, sha256_of)

    def sequence(self, sequence: TrueSequence) -> None:
        """One sequence, from a fresh state of everything to its result."""
        self.pipeline.reset(keep_scale=False)
        settings = self.pipeline.settings
        with closing(
            SequenceEvaluator(self.scheme, settings, self.depth, self._coverage())
        ) as evaluator:
            error = ""
            try:
                self._frames(sequence, evaluator)
            except InputError as failed:
                error = str(failed)
                log.error("sequence %s: %s", sequence.name, failed)
            if self.done.was_interrupted:
                return
            self.done.results.append(evaluator.result(sequence.name, sequence.group, error))

    def _coverage(self) -> CoveragePart:
        """The test of the published covariances."""
        pipeline = self.pipeline
        return CoveragePart(PoseErrors(pipeline.body_model, pipeline.settings, self._covariance))

    def _frames(self, sequence: TrueSequence, evaluator: SequenceEvaluator) -> None:
        with closing(sequence.views()) as views:
            for view in views:
                if self.is_asked_to_stop():
                    # Half a sequence says something else than the whole: it is left out.
                    self.done.was_interrupted = True
                    return
                estimate = self._estimate(view)
                frame = evaluator.add(view, estimate)
                if self.watch is not None and estimate is not None:
                    self.watch(sequence.name, view, estimate, frame)
                self.done.frames += 1
                self.done.seconds = time.perf_counter() - self.began_s
                self.progress(self.done)

    def _estimate(self, view: TrueView) -> FrameEstimate | None:
        began_s = time.perf_counter()
        try:
            return self.pipeline.step(view.frame)
        except NonFiniteError as error:
            log.warning("frame at %d ns: %s", view.frame.stamp_ns, error)
            return None
        finally:
            self.done.network_s += time.perf_counter() - began_s
