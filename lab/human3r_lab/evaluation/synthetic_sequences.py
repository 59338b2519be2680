"""The synthetic benchmark: held-out sequences rendered while they are evaluated, or from files."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from human3r.body.default import default_body_path
from human3r.errors import InputError, MissingExtraError
from human3r_lab.datasets import SequenceFile, ViewTruth, open_folder
from human3r_lab.evaluation.rendering import RENDERER, RenderHere, RenderJob, RenderProcesses
from human3r_lab.evaluation.truth import FreeBodyScheme, TrueView
from human3r_lab.synth.orders import check_size

HALVES = ("easy", "hard")
SEQUENCES_PER_HALF = 100
FRAMES = 48
RATE_HZ = 6.0
IMAGE_SIZE_PX = 224, 160
"""Width and height; another size may be asked for, and is part of the results' identity."""
SPLIT = "test"
FIRST_SEED = 0
BODY = default_body_path().stem
"""Together these are the benchmark: changing one makes it another one."""
_AHEAD_BYTES = 2**26
"""Per renderer, of frames that wait."""


@dataclass(frozen=True)
class RenderedSequence:
    """A sequence that exists as a seed."""

    name: str
    """For example easy-007."""
    group: str
    """Which half: easy or hard."""
    number: int
    """Among the jobs of ``renderer``."""
    frames: int
    renderer: RenderHere | RenderProcesses
    scheme: FreeBodyScheme
    is_calibrated: bool = False
    """Whether frames name their camera."""

    def __len__(self) -> int:
        return self.frames

    def views(self) -> Iterator[TrueView]:
        """The frames in order.

        Raises:
            InputError: the renderer failed or died.
        """
        with closing(self.renderer.views(self.number)) as views:
            for view in views:
                yield self.scheme.true_view(view, is_calibrated=self.is_calibrated)


@dataclass(frozen=True)
class FiledSequence:
    """A sequence from a file."""

    file: SequenceFile
    scheme: FreeBodyScheme
    max_frames: int = 0
    """0: all."""
    is_calibrated: bool = False
    """Whether frames name their camera."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.file.name

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the images."""
        return self.file.width_px, self.file.height_px

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
            view = self._view(index)
            yield self.scheme.true_view(view, is_calibrated=self.is_calibrated)

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
    size_px: tuple[int, int] = IMAGE_SIZE_PX,
    is_calibrated: bool = False,
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
        size_px: width and height of the images.
        is_calibrated: frames name their camera.
        num_processes: renderers at work; 0: none, each frame is rendered when it is asked for,
            and sequences may be taken in any order.

    Raises:
        InputError: another body model than the free one is in use, or a size is out of range.
        MissingExtraError: the renderer is not installed.
    """
    _require_body("the synthetic benchmark", BODY, body)
    require_renderer()
    check_size(*size_px)
    frames = min(FRAMES, max_frames or FRAMES)
    jobs = [
        RenderJob(
            FIRST_SEED + number,
            {
                "split": split,
                "difficulty": half,
                "frames": frames,
                "rate_hz": RATE_HZ,
                "width_px": size_px[0],
                "height_px": size_px[1],
            },
        )
        for half in halves
        for number in range(num_sequences)
    ]
    with ExitStack() as stack:
        renderer = RenderHere(jobs, RENDERER)
        if num_processes:
            ahead = _frames_ahead(*size_px)
            processes = RenderProcesses(jobs, num_processes, RENDERER, ahead_frames=ahead)
            renderer = stack.enter_context(processes)
        yield [
            RenderedSequence(
                name=f"{job.options['difficulty']}-{job.seed:03d}",
                group=job.options["difficulty"],
                number=number,
                frames=frames,
                renderer=renderer,
                scheme=scheme,
                is_calibrated=is_calibrated,
            )
            for number, job in enumerate(jobs)
        ]


def _frames_ahead(width_px: int, height_px: int) -> int:
    """How many rendered frames of a size may wait: colour, depth and persons of every pixel."""
    return max(2, min(64, _AHEAD_BYTES // (8 * width_px * height_px)))


def require_renderer() -> None:
    """Nothing, when sequences can be rendered here.

    Raises:
        MissingExtraError: numba is not installed.
    """
    if find_spec("numba") is None:
        raise MissingExtraError(
            "the synthetic benchmark is rendered with numba, which is not installed. "
            "Install it, in the clone of human3r: pip install ./lab; or evaluate a folder "
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
    is_calibrated: bool = False,
) -> list[FiledSequence]:
    """The sequences of a folder.

    Args:
        folder: of files by ``human3r synth``.
        scheme: of the body model in use.
        halves: difficulties to take; sequences of unknown difficulty are always taken.
        body: name of the body model in use.
        num_sequences: take this many; 0: all.
        max_frames: take this many frames of each; 0: all.
        is_calibrated: frames name their camera.

    Raises:
        InputError: no such folder, none fitting, damaged, or made with another body.
    """
    taken = []
    for file in open_folder(folder):
        _require_body(str(file.path), file.metadata.get("body", body), body)
        if file.metadata.get("difficulty", halves[0]) in (*halves, "mixed"):
            taken.append(FiledSequence(file, scheme, max_frames, is_calibrated))
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
