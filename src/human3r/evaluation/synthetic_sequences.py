"""The synthetic benchmark: held-out sequences rendered while they are evaluated, or from files."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from human3r.body.default import default_body_path
from human3r.datasets import SequenceFile, ViewTruth, open_folder
from human3r.errors import InputError, MissingExtraError
from human3r.evaluation.rendering import RENDERER, RenderJob, RenderProcesses
from human3r.evaluation.truth import FreeBodyScheme, TrueView

HALVES = ("easy", "hard")
SEQUENCES_PER_HALF = 100
FRAMES = 48
RATE_HZ = 6.0
WIDTH_PX, HEIGHT_PX = 224, 160
SPLIT = "test"
FIRST_SEED = 0
BODY = default_body_path().stem
"""Together these are the benchmark: changing one makes it another one."""


@dataclass(frozen=True)
class RenderedSequence:
    """A sequence that exists as a seed."""

    name: str
    """For example easy-007."""
    group: str
    """Which half: easy or hard."""
    number: int
    """Among the jobs of ``processes``."""
    frames: int
    processes: RenderProcesses
    scheme: FreeBodyScheme

    def __len__(self) -> int:
        return self.frames

    def views(self) -> Iterator[TrueView]:
        """The frames in order.

        Raises:
            InputError: the renderer failed or died.
        """
        with closing(self.processes.views(self.number)) as views:
            for view in views:
                yield self.scheme.true_view(view)


@dataclass(frozen=True)
class FiledSequence:
    """A sequence from a file."""

    file: SequenceFile
    scheme: FreeBodyScheme
    max_frames: int = 0
    """0: all."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.file.name

    @property
    def group(self) -> str:
        """What the file says of its difficulty."""
        return str(self.file.metadata.get("difficulty", ""))

    def __len__(self) -> int:
        return min(len(self.file), self.max_frames or len(self.file))

    def views(self) -> Iterator[TrueView]:
        """The frames in order.

        Raises:
            InputError: damaged.
        """
        for index in range(len(self)):
            yield self.scheme.true_view(self._view(index))

    def _view(self, index: int) -> ViewTruth:
        try:
            return self.file.view(index)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.file.path}: frame {index} cannot be read ({error}); expected a whole "
                "file. Write it again with `human3r synth`."
            ) from error


@contextmanager
def held_out_sequences(
    scheme: FreeBodyScheme,
    halves: tuple[str, ...] = HALVES,
    *,
    body: str,
    split: str = SPLIT,
    num_sequences: int = SEQUENCES_PER_HALF,
    max_frames: int = 0,
    num_processes: int = 1,
) -> Iterator[list[RenderedSequence]]:
    """The first sequences of each half of the benchmark; rendered while the context is open.

    Args:
        scheme: of the free body.
        halves: which ones.
        body: name of the body model in use.
        split: test is the benchmark; val is for choosing between networks.
        num_sequences: this many of each half.
        max_frames: this many frames of each; 0: all.
        num_processes: renderers at work.

    Raises:
        InputError: another body model than the free one is in use.
        MissingExtraError: the renderer is not installed.
    """
    _require_body("the synthetic benchmark", BODY, body)
    require_renderer()
    frames = min(FRAMES, max_frames or FRAMES)
    jobs = [
        RenderJob(
            FIRST_SEED + number,
            {
                "split": split,
                "difficulty": half,
                "frames": frames,
                "rate_hz": RATE_HZ,
                "width_px": WIDTH_PX,
                "height_px": HEIGHT_PX,
            },
        )
        for half in halves
        for number in range(num_sequences)
    ]
    with RenderProcesses(jobs, num_processes, RENDERER) as processes:
        yield [
            RenderedSequence(
                name=f"{job.options['difficulty']}-{job.seed:03d}",
                group=job.options["difficulty"],
                number=number,
                frames=frames,
                processes=processes,
                scheme=scheme,
            )
            for number, job in enumerate(jobs)
        ]


def require_renderer() -> None:
    """Nothing, when sequences can be rendered here.

    Raises:
        MissingExtraError: numba is not installed.
    """
    if find_spec("numba") is None:
        raise MissingExtraError(
            "the synthetic benchmark is rendered with numba, which is not installed. "
            "Install it, in the clone of human3r: pip install -e '.[synth]'; or evaluate a folder "
            "of `human3r synth`."
        )


def filed_sequences(
    folder: str | Path,
    scheme: FreeBodyScheme,
    halves: tuple[str, ...] = HALVES,
    *,
    body: str,
    num_sequences: int = 0,
    max_frames: int = 0,
) -> list[FiledSequence]:
    """The sequences of a folder.

    Args:
        folder: of files by ``human3r synth``.
        scheme: of the body model in use.
        halves: difficulties to take; sequences of unknown difficulty are always taken.
        body: name of the body model in use.
        num_sequences: take this many; 0: all.
        max_frames: take this many frames of each; 0: all.

    Raises:
        InputError: no such folder, none fitting, damaged, or made with another body.
    """
    taken = []
    for file in open_folder(folder):
        _require_body(str(file.path), file.metadata.get("body", body), body)
        if file.metadata.get("difficulty", halves[0]) in (*halves, "mixed"):
            taken.append(FiledSequence(file, scheme, max_frames))
    if not taken:
        raise InputError(
            f"{folder}: no sequence of difficulty {' or '.join(halves)} in it; expected some. "
            "Leave --easy and --hard away."
        )
    return taken[: num_sequences or None]


def _require_body(what: str, made_with: str, body: str) -> None:
    if made_with != body:
        raise InputError(
            f"{what}: its people are {made_with!r}, the body model in use is {body!r}; expected "
            "the same, for their shapes cannot be compared. Set model.body_model."
        )
