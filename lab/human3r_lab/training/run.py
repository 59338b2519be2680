"""A whole training from its options: data, network, loop, results."""

import ctypes
import logging
import signal
import zlib
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from human3r.body.default import default_body_path
from human3r.errors import ConfigError, DeviceError, InputError
from human3r.model.checkpoint import load_network
from human3r.model.network import Human3R
from human3r.model.published import known_variant
from human3r.model.variants import OUR_VARIANT
from human3r.stopping import ending_signals
from human3r_lab.datasets import SequenceFile, open_folder
from human3r_lab.training.batches import Plan
from human3r_lab.training.body_points import BodyPoints
from human3r_lab.training.curves import write_curves
from human3r_lab.training.duration import Cadence, Duration
from human3r_lab.training.export import export_weights
from human3r_lab.training.initial import new_network, set_mean_body
from human3r_lab.training.merge import merged_network
from human3r_lab.training.processes import Processes
from human3r_lab.training.recipes import make_recipe
from human3r_lab.training.run_log import read_log
from human3r_lab.training.trainer import Trainer, TrainingSummary
from human3r_lab.training.validation import Validator

_logger = logging.getLogger("human3r_lab.training")
_HELD_OUT = 50
"""One sequence in so many is kept for validation where no folder is named."""


@dataclass(frozen=True)
class TrainingOptions:
    """What ``human3r train`` was asked to do."""

    data: Path
    out: Path
    duration: Duration
    variant: str = ""
    """Empty: that of ``init``, else human3r_mini."""
    recipe: str = "scratch"
    batch: int = 4
    views: int = 4
    learning_rate: float = 0.0
    """0: the recipe's."""
    seed: int = 0
    augmentation: float = 1.0
    """Strength, as ``Augmentation.weakened`` takes it."""
    device: str = "cpu"
    precision: str = "float32"
    workers: int = 1
    init: Path | None = None
    """Weights to begin with."""
    cut3r: Path | None = None
    """Checkpoint of CUT3R, for prompt tuning."""
    multi_hmr: Path | None = None
    """Checkpoint of Multi-HMR, for prompt tuning."""
    mean_parameters: Path | None = None
    """The usual mean body, for prompt tuning."""
    resume: bool = False
    validation: Path | None = None
    """Folder of sequences; None holds some of the data out."""
    validate_steps: int = 500
    checkpoint_minutes: float = 5.0
    save_memory: bool = False
    body: Path | None = None
    """Body model of the data; None: the free body."""


def train(
    options: TrainingOptions, on_step: Callable[[dict[str, Any]], None] | None = None
) -> TrainingSummary:
    """Train as asked; leaves checkpoints, log, curves, pictures and weights in ``options.out``.

    Raises:
        InputError: data, weights or checkpoint cannot be used.
        ConfigError: options that do not fit each other.
        DeviceError: the device cannot be used.
        OutputError: results cannot be written.
    """
    reuse_memory()
    processes = Processes.join(_device(options.device).type)
    try:
        return _train(options, processes, on_step)
    finally:
        processes.leave()


def _train(
    options: TrainingOptions,
    processes: Processes,
    on_step: Callable[[dict[str, Any]], None] | None,
) -> TrainingSummary:
    device = _device(options.device, processes.local_rank)
    sequences, held_out = _split(options)
    network = _network(options, sequences).to(device)
    config = network.config
    recipe = make_recipe(options.recipe, config)
    augmentation = recipe.augmentation.weakened(options.augmentation)
    plan = Plan(config, options.batch, options.views, options.seed, augmentation, recipe.rules)
    body_path = options.body or default_body_path()
    trainer = Trainer(
        network,
        recipe,
        plan,
        ([file.path for file in sequences], [len(file) for file in sequences]),
        BodyPoints(body_path, device),
        options.out,
        precision=options.precision,
        learning_rate=options.learning_rate,
        processes=processes,
        save_memory=options.save_memory,
    )
    if not options.resume:
        trainer.require_fresh()
    elif trainer.resume():
        _logger.info("going on after step %d", trainer.step)
    _logger.info(
        "%d sequences with %d views to learn from, %d sequences held out",
        *(len(sequences), sum(map(len, sequences)), len(held_out)),
    )
    validator = Validator(held_out, plan, body_path, options.out, recipe.loss) if held_out else None
    with _ask_to_stop() as should_stop:
        summary = trainer.run(
            options.duration,
            workers=options.workers,
            cadence=Cadence(60 * options.checkpoint_minutes, options.validate_steps),
            on_step=on_step if processes.is_first else None,
            validate=None if validator is None else _between_steps(validator),
            should_stop=should_stop,
        )
    if processes.is_first:
        _write_results(trainer)
    return summary


def _between_steps(validator: Validator) -> Callable[[Trainer], dict[str, float]]:
    def validate(trainer: Trainer) -> dict[str, float]:
        measured = validator(trainer.average(), trainer.network.device, trainer.step)
        _write_results(trainer)
        return measured

    return validate


def _write_results(trainer: Trainer) -> None:
    """Curves and weights as they are now."""
    export_weights(trainer.average(), trainer.plan.config, trainer.folder / "weights.safetensors")
    write_curves(trainer.folder / "curves.png", read_log(trainer.folder / "log.jsonl"))


def _split(options: TrainingOptions) -> tuple[list[SequenceFile], list[SequenceFile]]:
    """Sequences to learn from, and others to look at."""
    sequences = open_folder(options.data)
    if options.validation is not None:
        return sequences, open_folder(options.validation)
    # By name, so that a data set that grows never teaches what it once held out.
    held_out = [file for file in sequences if zlib.crc32(file.name.encode()) % _HELD_OUT == 0]
    learnt = [file for file in sequences if file not in held_out]
    if not learnt:
        raise InputError(
            f"{options.data}: holds one sequence, which its name keeps for validation; expected "
            "more. Make some with `human3r synth`, or name --validation."
        )
    return learnt, held_out


def _network(options: TrainingOptions, sequences: list[SequenceFile]) -> Human3R:
    """The network before the first step."""
    if options.init is not None:
        loaded = load_network(options.init, variant=options.variant)
        network = Human3R(loaded.config)
        network.load_state_dict(loaded.state_dict())  # A copy: the file itself stays as it is.
        return network
    config = known_variant(options.variant or OUR_VARIANT)
    if options.cut3r is not None and options.multi_hmr is not None:
        return merged_network(
            config, options.cut3r, options.multi_hmr, options.mean_parameters, options.seed
        )
    if options.recipe == "prompt-tuning":
        raise ConfigError(
            "recipe prompt-tuning without weights; expected --cut3r and --multi-hmr, or --init "
            "with weights made of them. Name the files, or use --recipe scratch."
        )
    network = new_network(config, options.seed)
    set_mean_body(network, sequences)
    return network


def _device(name: str, local_rank: int = 0) -> torch.device:
    """The device of that name; a process of several takes the GPU of its own number."""
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", local_rank)
        torch.empty(0, device=device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"device {name!r} cannot be used ({str(error).splitlines()[0]}); expected cpu, cuda or "
            "cuda:N of this machine. Choose another --device."
        ) from error
    return device


@contextmanager
def _ask_to_stop():
    """A function that says whether Ctrl-C, SIGTERM or SIGHUP came; a second one ends at once."""
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        _logger.info("finishing this step, then saving; once more to end at once")

    before = {}
    with suppress(ValueError):  # Signals belong to the main thread alone.
        for number in ending_signals():
            before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def reuse_memory() -> None:
    """Keep freed memory instead of giving it back to the system, where the C library allows.

    Activations of tens of megabytes come and go in every step; fetching fresh pages for them
    takes half of the time of the largest convolutions.
    """
    mmap_max, trim_threshold, top_pad = -4, -1, -2
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(mmap_max, 0)
        library.mallopt(trim_threshold, 2**31 - 1)
        library.mallopt(top_pad, 256 << 20)
