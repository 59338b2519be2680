"""The benchmarks by name: which reader, which protocol."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from human3r.errors import InputError
from human3r.pipeline import Pipeline
from human3r_lab.datasets.emdb import open_emdb
from human3r_lab.datasets.kitti import open_kitti
from human3r_lab.datasets.recorded import RecordedSequence
from human3r_lab.datasets.rich import open_rich
from human3r_lab.datasets.sevenscenes import open_seven_scenes
from human3r_lab.datasets.sintel import open_sintel
from human3r_lab.datasets.threedpw import open_threedpw
from human3r_lab.datasets.tum import open_bonn, open_tum_dynamics
from human3r_lab.evaluation.matched_frame import BodyScheme
from human3r_lab.evaluation.recorded_sequences import FrameChoice, published
from human3r_lab.evaluation.runner import TrueSequence
from human3r_lab.evaluation.sequence_evaluator import DepthProtocol
from human3r_lab.evaluation.smpl_scheme import SmplScheme
from human3r_lab.evaluation.synthetic_sequences import (
    FIRST_SEED,
    FRAMES,
    HALVES,
    IMAGE_SIZE_PX,
    RATE_HZ,
    SEQUENCES_PER_HALF,
    SPLIT,
    filed_sequences,
    held_out_sequences,
)
from human3r_lab.evaluation.truth import FreeBodyScheme


@dataclass(frozen=True)
class BenchmarkOptions:
    """What a user may choose."""

    root: Path | None = None
    """Folder of the dataset."""
    halves: tuple[str, ...] = HALVES
    """Of the synthetic benchmark."""
    split: str = SPLIT
    """Of the synthetic benchmark: test, or val to choose between networks."""
    size_px: tuple[int, int] = IMAGE_SIZE_PX
    """Width and height of rendered images; those of a folder have their own."""
    is_calibrated: bool = False
    """Frames name their camera, as a calibrated one does, where images are not resized."""
    num_sequences: int = 0
    """The first so many; of each half, for the synthetic benchmark. 0: all."""
    max_frames: int = 0
    """The first so many of each sequence. 0: all."""
    first_frame: int = 0
    """Of each sequence of a published dataset."""
    every: int = 0
    """Take one frame of so many; 0: as the protocol has it."""
    num_processes: int = 1
    """Renderers of the synthetic benchmark; 0: each frame is rendered when it is asked for."""
    smpl_folder: Path | None = None
    """Licensed files for benchmarks whose people are SMPL bodies."""
    alignments: tuple[str, ...] = ("metric", "scale", "median")
    """Of depth."""


@dataclass(frozen=True)
class OpenedBenchmark:
    """Sequences ready to be evaluated."""

    sequences: Sequence[TrueSequence]
    scheme: BodyScheme
    true_faces: np.ndarray
    """(faces, 3) triangles of the true people."""
    description: Mapping[str, Any]
    """What names the content: seeds, sizes, parts."""


Opener = Callable[[BenchmarkOptions, Pipeline], AbstractContextManager[OpenedBenchmark]]


@dataclass(frozen=True)
class Benchmark:
    """A dataset with the protocol by which it is evaluated."""

    title: str
    open: Opener
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the protocol sets, unless the user says otherwise."""
    depth: DepthProtocol = field(default_factory=DepthProtocol)


@contextmanager
def _synthetic(options: BenchmarkOptions, pipeline: Pipeline) -> Iterator[OpenedBenchmark]:
    body = pipeline.body_model
    scheme = FreeBodyScheme(body)
    chosen: dict[str, Any] = {"halves": list(options.halves)}
    if options.is_calibrated:
        chosen["calibrated"] = True
    if options.root is not None:
        files = filed_sequences(
            options.root,
            scheme,
            options.halves,
            body=body.name,
            num_sequences=options.num_sequences,
            max_frames=options.max_frames,
            is_calibrated=options.is_calibrated,
        )
        chosen |= {"source": options.root.name, "sequences": len(files)}
        chosen |= _sizes({sequence.size_px for sequence in files})
        yield OpenedBenchmark(files, scheme, body.faces, chosen)
        return
    with held_out_sequences(
        scheme,
        options.halves,
        body=body.name,
        split=options.split,
        num_sequences=options.num_sequences or SEQUENCES_PER_HALF,
        max_frames=options.max_frames,
        size_px=options.size_px,
        is_calibrated=options.is_calibrated,
        num_processes=options.num_processes,
    ) as rendered:
        chosen |= {
            "source": "rendered",
            "split": options.split,
            "first_seed": FIRST_SEED,
            "sequences": len(rendered),
            "frames_per_sequence": min(FRAMES, options.max_frames or FRAMES),
            "rate_hz": RATE_HZ,
            **_sizes({options.size_px}),
        }
        yield OpenedBenchmark(rendered, scheme, body.faces, chosen)


def _sizes(found: set[tuple[int, int]]) -> dict[str, Any]:
    """The size of all images, or their sizes where they differ."""
    sizes = [list(size) for size in sorted(found)]
    return {"size_px": sizes[0]} if len(sizes) == 1 else {"sizes_px": sizes}


def _people(
    read: Callable[[Path], list[RecordedSequence]], *, is_h36m: bool = False, has_world: bool
) -> Opener:
    """People as SMPL bodies; in the world frame too, where the benchmark has it."""

    @contextmanager
    def opened(options: BenchmarkOptions, pipeline: Pipeline) -> Iterator[OpenedBenchmark]:
        scheme = SmplScheme(options.smpl_folder, pipeline.body_model, is_h36m=is_h36m)
        sequences = published(
            read(_root(options)),
            options.num_sequences,
            _choice(options),
            scheme=scheme,
            has_camera=has_world,
        )
        yield OpenedBenchmark(sequences, scheme, scheme.faces, _described(options))

    return opened


def _scenes(
    read: Callable[[Path], list[RecordedSequence]],
    *,
    is_whole_image: bool = False,
    most: int = 0,
    every: int = 1,
) -> Opener:
    """Depth or the camera's path, nothing about people."""

    @contextmanager
    def opened(options: BenchmarkOptions, pipeline: Pipeline) -> Iterator[OpenedBenchmark]:
        size_px = pipeline.settings.model.input_size or pipeline.network.config.input_size_px
        sequences = published(
            read(_root(options)),
            options.num_sequences,
            _choice(options, most, every),
            resize_to_px=size_px if is_whole_image else 0,
            is_calibrated=options.is_calibrated,
        )
        scheme = FreeBodyScheme(pipeline.body_model)
        faces = pipeline.body_model.faces
        yield OpenedBenchmark(sequences, scheme, faces, _described(options, most, every))

    return opened


def _root(options: BenchmarkOptions) -> Path:
    if options.root is None:
        raise InputError("expected the folder of the dataset. Name it behind the dataset.")
    return options.root


def _choice(options: BenchmarkOptions, most: int = 0, every: int = 1) -> FrameChoice:
    """What the user chose over what the protocol has."""
    return FrameChoice(options.first_frame, options.every or every, options.max_frames or most)


def _described(options: BenchmarkOptions, most: int = 0, every: int = 1) -> dict[str, Any]:
    choice = _choice(options, most, every)
    described = {"source": _root(options).name} | {
        f"frames_{name}": value for name, value in vars(choice).items()
    }
    return described | ({"calibrated": True} if options.is_calibrated else {})


_RESET_100 = {"session.reset_interval": 100}
_RESET_50 = {"session.reset_interval": 50}

BENCHMARKS: dict[str, Benchmark] = {
    "synthetic": Benchmark("held-out synthetic sequences, rendered on demand", _synthetic),
    "3dpw": Benchmark(
        "3DPW test: people in the camera frame",
        _people(open_threedpw, is_h36m=True, has_world=False),
        _RESET_100,
    ),
    "emdb1": Benchmark(
        "EMDB-1: people in the camera frame",
        _people(lambda root: open_emdb(root, 1), has_world=False),
        _RESET_100,
    ),
    "emdb2": Benchmark(
        "EMDB-2: people and camera in the world frame",
        _people(lambda root: open_emdb(root, 2), has_world=True),
        _RESET_50,
    ),
    "rich": Benchmark(
        "RICH test: people in the world frame, static cameras",
        _people(open_rich, has_world=True),
    ),
    "tum": Benchmark(
        "TUM-dynamics: the camera's path, 90 frames of each sequence",
        _scenes(open_tum_dynamics, most=90, every=3),
        _RESET_100,
    ),
    "7scenes": Benchmark(
        "7-Scenes: depth and the camera's path, every third frame",
        _scenes(open_seven_scenes, every=3),
    ),
    "sintel": Benchmark(
        "Sintel: depth of all training sequences, the camera's path of 14",
        _scenes(open_sintel, is_whole_image=True),
        depth=DepthProtocol(max_depth_m=70, clip_m=70),
    ),
    "bonn": Benchmark(
        "Bonn: depth, 110 frames of five sequences",
        _scenes(open_bonn, is_whole_image=True, most=110),
        depth=DepthProtocol(max_depth_m=70),
    ),
    "kitti": Benchmark(
        "KITTI: depth, 110 frames of each validation drive",
        _scenes(open_kitti, is_whole_image=True, most=110),
    ),
}
"""By the name that the command line takes."""
