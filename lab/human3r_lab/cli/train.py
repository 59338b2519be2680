"""``human3r train``: teach a network from sequences with known truth."""

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

from human3r_lab.cli import check_folder, run_command

_SAY_EVERY_S = 10.0


def add_parser(commands: Any) -> None:
    """Adds ``train`` to the command line."""
    parser = commands.add_parser(
        "train",
        help="teach a network from sequences with known truth",
        description="Learns from the sequences in DATA and leaves checkpoints, log, curves, "
        "pictures and weights in --out. Several GPUs: torchrun --nproc-per-node N -m "
        "human3r.cli.main train ... With --export writes the weights of a training and ends.",
    )
    parser.add_argument("data", nargs="?", metavar="DATA", help="folder of sequences")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the training")
    parser.add_argument(
        "--recipe",
        default="scratch",
        help="scratch (default), human-branch, people or prompt-tuning",
    )
    parser.add_argument("--variant", default="", help="network (that of --init, or human3r_mini)")
    length = parser.add_argument_group("length")
    length.add_argument("--steps", type=int, default=0, metavar="N", help="altogether")
    length.add_argument("--minutes", type=float, default=0.0, metavar="M", help="altogether")
    step = parser.add_argument_group("a step")
    step.add_argument("--batch", type=int, default=4, metavar="B", help="windows per process (4)")
    step.add_argument("--views", type=int, default=4, help="views per window (4)")
    step.add_argument("--lr", type=float, default=0.0, help="highest rate; the recipe's by default")
    step.add_argument("--seed", type=int, default=0)
    step.add_argument(
        "--augmentation",
        type=float,
        default=1.0,
        metavar="S",
        help="how much crops and colours change, from 0 to 1 (1); little for short trainings",
    )
    step.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    step.add_argument("--precision", default="float32", help="float32 (default) or bfloat16")
    step.add_argument("--threads", type=int, default=0, help="of the CPU; all by default")
    step.add_argument("--workers", type=int, default=1, help="processes that make batches (1)")
    step.add_argument(
        "--save-memory", action="store_true", help="compute activations twice, keep few"
    )
    begin = parser.add_argument_group("where to begin")
    begin.add_argument("--init", metavar="WEIGHTS", help="weights file to begin with")
    begin.add_argument("--cut3r", metavar="FILE", help="checkpoint of CUT3R, for prompt tuning")
    begin.add_argument("--multi-hmr", metavar="FILE", help="checkpoint of Multi-HMR, likewise")
    begin.add_argument("--mean-parameters", metavar="NPZ", help="mean SMPL body, likewise")
    begin.add_argument("--resume", action="store_true", help="go on where --out was left, if ever")
    look = parser.add_argument_group("looking at it")
    look.add_argument(
        "--validation", metavar="DIR", help="sequences to look at; by default one in 50 of DATA"
    )
    look.add_argument("--validate-steps", type=int, default=500, metavar="N", help="how often")
    look.add_argument("--checkpoint-minutes", type=float, default=5.0, metavar="M")
    export = parser.add_argument_group("export")
    export.add_argument("--export", metavar="OUT.safetensors", help="only write the weights")
    export.add_argument("--dtype", default="float32", help="of them: float32 (default), float16")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.export:
        return _export(args)
    return _train(args)


def _export(args: argparse.Namespace) -> int:
    from human3r_lab.training.export import export_training

    path, steps = export_training(Path(args.out), Path(args.export), args.dtype)
    print(f"{path}: {args.dtype} weights after {steps} steps, {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _train(args: argparse.Namespace) -> int:
    from human3r.errors import ConfigError
    from human3r_lab.training.duration import Duration

    if args.data is None:
        raise ConfigError("no DATA; expected a folder of sequences. Make one with human3r synth.")
    for folder in filter(None, (args.data, args.validation)):
        check_folder(folder, "a folder of sequences, as `human3r synth` makes them")
    duration = Duration(args.steps, args.minutes)
    # Last: it loads PyTorch, which takes seconds.
    import torch

    from human3r_lab.training.run import TrainingOptions, train

    if args.threads:
        torch.set_num_threads(args.threads)
    options = TrainingOptions(
        data=Path(args.data),
        out=Path(args.out),
        duration=duration,
        variant=args.variant,
        recipe=args.recipe,
        batch=args.batch,
        views=args.views,
        learning_rate=args.lr,
        seed=args.seed,
        augmentation=args.augmentation,
        device=args.device,
        precision=args.precision,
        workers=args.workers,
        init=_path(args.init),
        cut3r=_path(args.cut3r),
        multi_hmr=_path(args.multi_hmr),
        mean_parameters=_path(args.mean_parameters),
        resume=args.resume,
        validation=_path(args.validation),
        validate_steps=args.validate_steps,
        checkpoint_minutes=args.checkpoint_minutes,
        save_memory=args.save_memory,
    )
    summary = train(options, _Progress())
    if summary.rank:
        return 0
    skipped = f", {summary.skipped} skipped" if summary.skipped else ""
    print(
        f"{summary.steps} steps{skipped}; {summary.images_per_s:.1f} images/s, "
        f"{summary.wait_share:.1%} of the time waiting for data; results in {options.out}"
    )
    return 0


def _path(argument: str | None) -> Path | None:
    return Path(argument) if argument else None


class _Progress:
    """A line on stderr every ten seconds."""

    def __init__(self) -> None:
        self._said_s = -math.inf
        self._rates: list[float] = []

    def __call__(self, line: dict[str, Any]) -> None:
        self._rates.append(line["images_per_s"])
        measured = line.get("validation")
        if measured:
            words = ", ".join(f"{name} {value:.4g}" for name, value in measured.items())
            print(f"step {line['step']}: validation {words}", file=sys.stderr)
        if time.monotonic() - self._said_s < _SAY_EVERY_S:
            return
        rate = sum(self._rates) / len(self._rates)
        self._said_s, self._rates = time.monotonic(), []
        terms = " ".join(f"{name} {value:.3g}" for name, value in line["terms"].items())
        print(
            f"step {line['step']}: loss {line['loss']:.3f}, {rate:.1f} images/s; {terms}",
            file=sys.stderr,
        )


def main(argv: list[str]) -> int:
    """``human3r train`` with what stands behind it on the command line."""
    return run_command("train", add_parser, argv)
