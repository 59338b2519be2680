"""``human3r evaluate``: a benchmark through the network, numbers with all that made them."""

import argparse
import logging
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r.cli.run_progress import progress, stop_request
from human3r.config import EVALUATE, Settings
from human3r.errors import ConfigError, InputError
from human3r.file_kind import check_is_file
from human3r.setting import add_setting_flag, add_settings_options, settings_from
from human3r_lab.cli import check_folder, parse_size, run_command
from human3r_lab.cli.evaluate_multiview import add_multiview

if TYPE_CHECKING:
    from human3r.pipeline import Pipeline
    from human3r_lab.evaluation.benchmarks import Benchmark, BenchmarkOptions
    from human3r_lab.evaluation.runner import Evaluation

log = logging.getLogger(__name__)

_DATASETS = {
    "synthetic": "200 held-out synthetic sequences, rendered on demand or from a folder",
    "3dpw": "3DPW test: people in the camera frame",
    "emdb1": "EMDB-1: people in the camera frame",
    "emdb2": "EMDB-2: people and camera in the world frame",
    "rich": "RICH test: people in the world frame, static cameras",
    "tum": "TUM-dynamics: the camera's path, 90 frames of each sequence",
    "7scenes": "7-Scenes: depth and the camera's path, every third frame",
    "sintel": "Sintel: depth of all training sequences, the camera's path of 14",
    "bonn": "Bonn: depth, 110 frames of five sequences",
    "kitti": "KITTI: depth, 110 frames of each validation drive",
}
"""Must come at once for help, so without loading the benchmarks themselves."""
_WITH_SMPL = ("3dpw", "emdb1", "emdb2", "rich")
_WITH_CALIBRATION = ("synthetic", "tum", "7scenes")
_FLAGS = {
    "--weights": ("model.weights", "FILE"),
    "--body-model": ("model.body_model", "FILE"),
    "--size": ("model.input_size", "N"),
    "--reset-interval": ("session.reset_interval", "K"),
    "--device": ("model.device", "D"),
}


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "evaluate",
        help="measure errors on a benchmark, or compare two measurements",
        description="Runs a benchmark's sequences through the network and writes a table, "
        "results.json and report.html.",
    )
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET")
    for name, text in _DATASETS.items():
        dataset = datasets.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        _add_options(dataset, name)
        dataset.set_defaults(run=run)
    add_multiview(datasets)
    refined = datasets.add_parser(
        "refine",
        help="a result before and after `human3r refine`, or sequences of the synthetic benchmark",
    )
    add = refined.add_argument
    add("before", metavar="BEFORE", nargs="?", help="folder of `human3r run`")
    add("after", metavar="AFTER", nargs="?", help="folder of `human3r refine`")
    add("--truth", metavar="FILE", help="about the clip (default: the demo's)")
    add("--picture", metavar="FILE", help="write a PNG of feet and ways before and after")
    add(
        "--sequences",
        type=int,
        default=5,
        metavar="N",
        help="without BEFORE and AFTER: the first N sequences of each half (%(default)s)",
    )
    add("--split", choices=("test", "val"), default="val", help="of the benchmark (%(default)s)")
    add("--out", metavar="DIR", default="out/evaluate-refine", help="where they go (%(default)s)")
    refined.set_defaults(run=_refine)
    compared = datasets.add_parser("compare", help="two results.json side by side")
    compared.add_argument("first", metavar="A.json")
    compared.add_argument("second", metavar="B.json")
    compared.set_defaults(run=_compare)


def _add_options(parser: argparse.ArgumentParser, name: str) -> None:
    add = parser.add_argument
    if name == "synthetic":
        add("root", metavar="DATA", nargs="?", help="folder of `human3r synth`, to render nothing")
        half = parser.add_mutually_exclusive_group()
        half.add_argument("--easy", action="store_true", help="the easy half alone")
        half.add_argument("--hard", action="store_true", help="the hard half alone")
        add(
            "--split",
            choices=("test", "val"),
            default="test",
            help="test is the benchmark; val is for choosing between networks (%(default)s)",
        )
        add(
            "--image-size",
            type=parse_size,
            metavar="WxH",
            help="size to render at (224x160: the benchmark; 640x480: as cameras have it)",
        )
        add("--workers", type=int, default=0, metavar="N", help="renderers; 0: as many as fit")
    else:
        add("root", metavar="ROOT", help="folder of the dataset as it is distributed")
        add("--first-frame", type=int, default=0, metavar="N", help="begin each sequence here")
        add("--every", type=int, default=0, metavar="N", help="one frame of N; 0: as the protocol")
    if name in _WITH_CALIBRATION:
        add("--calibrated", action="store_true", help="frames name their true camera")
    if name in _WITH_SMPL:
        add(
            "--smpl-regressors",
            metavar="DIR",
            help="folder with smplx2smpl.pkl, J_regressor_h36m.npy and the SMPL files",
        )
    add(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="sequences evaluated at a time, each by a process of its own with the network "
        "loaded (%(default)s)",
    )
    add("--out", metavar="DIR", help="folder to write (default: out/evaluate-DATASET)")
    add("--sequences", type=int, default=0, metavar="N", help="the first N (of each half); 0: all")
    add("--max-frames", type=int, default=0, metavar="N", help="the first N of each; 0: all")
    add(
        "--alignments",
        default="metric,scale,median",
        metavar="LIST",
        help="how depth is aligned: metric, scale, median, scale_shift (%(default)s)",
    )
    for flag, (setting, metavar) in _FLAGS.items():
        add_setting_flag(parser, flag, Settings.spec(setting), metavar, with_default=False)
    add_settings_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the benchmark; 1 when a sequence could not be read to its end.

    Raises:
        Human3RError: whatever the dataset, the weights, the body model or the disk make
            impossible; no result folder is left then.
    """
    _check_names(args)
    from human3r.io.results import ResultFolder
    from human3r.pipeline import Pipeline
    from human3r_lab.evaluation.benchmarks import BENCHMARKS

    benchmark = BENCHMARKS[args.dataset]
    options = _options(args)
    settings = _settings(args, benchmark)
    out = Path(args.out or f"out/evaluate-{args.dataset}")
    with ResultFolder(out) as folder:
        pipeline = Pipeline.from_settings(settings)
        done, document = _evaluate(
            args.dataset, benchmark, options, pipeline, folder.part, args.jobs
        )
    from human3r_lab.cli.evaluate_table import show_results

    show_results(document)
    failed = document["sequences_failed"]
    print(f"{len(done.results)} sequences, {failed} of them failed: {folder.path}", flush=True)
    if done.was_interrupted:
        return 130
    return 1 if failed else 0


def _check_names(args: argparse.Namespace) -> None:
    """Say what is wrong with the names that were given, before PyTorch is loaded for seconds.

    Raises:
        Human3RError: of a folder, of weights, of a body model or of a setting.
    """
    from human3r.cli.run import check_files

    if args.root:
        made = "the folder of `human3r synth`"
        distributed = "the folder of the dataset as it is distributed"
        check_folder(args.root, made if args.dataset == "synthetic" else distributed)
    if getattr(args, "smpl_regressors", ""):
        check_folder(args.smpl_regressors, "the folder with smplx2smpl.pkl and the SMPL files")
    check_files(_settings(args, None))


def _options(args: argparse.Namespace) -> "BenchmarkOptions":
    from human3r_lab.evaluation.benchmarks import BenchmarkOptions
    from human3r_lab.evaluation.depth_metrics import ALIGNMENTS
    from human3r_lab.evaluation.synthetic_sequences import HALVES, IMAGE_SIZE_PX
    from human3r_lab.synth.orders import check_size

    for name in ("sequences", "max_frames", "first_frame", "every"):
        if getattr(args, name, 0) < 0:
            raise ConfigError(
                f"--{name.replace('_', '-')} is {getattr(args, name)}; expected 0 or more."
            )
    if args.jobs < 1:
        raise ConfigError(f"--jobs is {args.jobs}; expected 1 or more.")
    alignments = tuple(word.strip() for word in args.alignments.split(",") if word.strip())
    unknown = sorted(set(alignments) - set(ALIGNMENTS))
    if unknown:
        raise ConfigError(
            f"--alignments names {', '.join(unknown)}; expected a list of "
            f"{', '.join(ALIGNMENTS)}. Separate them by commas."
        )
    size_px = getattr(args, "image_size", None)
    if size_px is not None:
        if args.root:
            raise ConfigError(
                f"--image-size is {size_px[0]}x{size_px[1]}, but the sequences of {args.root} have "
                "their own; expected one or the other. Leave it away, or the folder."
            )
        check_size(*size_px)
    halves = tuple(half for half in HALVES if getattr(args, half, False)) or HALVES
    return BenchmarkOptions(
        root=Path(args.root) if args.root else None,
        halves=halves,
        split=getattr(args, "split", "test"),
        size_px=size_px or IMAGE_SIZE_PX,
        is_calibrated=getattr(args, "calibrated", False),
        num_sequences=args.sequences,
        max_frames=args.max_frames,
        first_frame=getattr(args, "first_frame", 0),
        every=getattr(args, "every", 0),
        num_processes=_processes(getattr(args, "workers", 0)),
        smpl_folder=Path(args.smpl_regressors) if getattr(args, "smpl_regressors", "") else None,
        alignments=alignments,
    )


def _processes(wanted: int) -> int:
    import os

    if wanted < 0:
        raise ConfigError(f"--workers is {wanted}; expected 0 or more.")
    return wanted or max(1, min(8, (os.cpu_count() or 1) // 2))


def _settings(args: argparse.Namespace, benchmark: "Benchmark | None") -> Settings:
    """The user's settings over the protocol's."""
    flags = {name: getattr(args, name) for name, _ in _FLAGS.values()}
    default = Settings().replace(benchmark.settings if benchmark else {})
    return settings_from(args, default, flags=flags, places=(EVALUATE,))


def _evaluate(
    name: str,
    benchmark: "Benchmark",
    options: "BenchmarkOptions",
    pipeline: "Pipeline",
    folder: Path,
    num_processes: int,
) -> "tuple[Evaluation, dict[str, Any]]":
    """The benchmark's results, also written into the folder."""
    from dataclasses import replace

    from human3r.io.results import whole_file
    from human3r.setting import dump_yaml
    from human3r_lab.evaluation.html_report import write_report
    from human3r_lab.evaluation.parallel import Work, evaluate_in_processes
    from human3r_lab.evaluation.pictures import KINDS, PictureKeeper
    from human3r_lab.evaluation.results_file import results_document, write_results
    from human3r_lab.evaluation.runner import evaluate

    num_threads = _threads(pipeline.settings, num_processes)
    with ExitStack() as stack:
        opened = stack.enter_context(benchmark.open(options, pipeline))
        keeper = PictureKeeper(
            pipeline.body_model.faces, opened.true_faces, opened.scheme.head_joint
        )
        is_asked_to_stop = stack.enter_context(stop_request())
        show = stack.enter_context(progress(_Work(name, sum(map(len, opened.sequences)))))
        watch = {
            "progress": lambda so_far: show(_Shown(so_far)),
            "is_asked_to_stop": is_asked_to_stop,
        }
        if num_processes > 1:
            work = Work(name, options, pipeline.settings, num_threads)
            done = evaluate_in_processes(
                opened.sequences, work, num_processes, keeper=keeper, **watch
            )
        else:
            done = evaluate(
                opened.sequences,
                pipeline,
                opened.scheme,
                depth=replace(benchmark.depth, alignments=options.alignments),
                watch=keeper,
                **watch,
            )
    if not done.results:
        raise KeyboardInterrupt
    if not done.frames:
        raise InputError(
            f"{name}: not one frame of {len(done.results)} sequences could be read; the first "
            f"says: {done.results[0].error}"
        )
    document = results_document(
        done,
        dataset={"name": name, **opened.description},
        weights=_weights(pipeline),
        settings=pipeline.settings,
        device=pipeline.network.device,
        num_processes=num_processes,
        num_threads=num_threads,
    )
    pictures = {kind: keeper.pictures(kind) for kind in KINDS}
    write_report(folder / "report.html", document, pictures)
    with whole_file(folder / "settings.yaml") as file:
        file.write(dump_yaml(pipeline.settings).encode("utf-8"))
    write_results(folder / "results.json", document)
    return done, document


def _threads(settings: Settings, num_processes: int) -> int:
    """Of PyTorch in each process: what is configured, else a fair share of this process's."""
    import torch

    return settings.model.threads or max(1, torch.get_num_threads() // num_processes)


def _weights(pipeline: "Pipeline") -> dict[str, Any]:
    from human3r.cli.run import weights_header
    from human3r.model.weights_file import sha256_of

    path = pipeline.settings.model.weights
    header = weights_header(pipeline.settings)
    return {
        "file": Path(path).name,
        "sha256": sha256_of(path),
        "variant": header.variant if header else "unknown",
        "trained": header is None or header.seed is None,
        "body_model": pipeline.body_model.name,
    }


class _Work:
    """What the progress display asks of a source."""

    def __init__(self, name: str, num_frames: int) -> None:
        self.name = name
        self.num_frames = num_frames


class _Shown:
    """What the progress display asks of a state."""

    num_failed = 0

    def __init__(self, done: "Evaluation") -> None:
        self.num_frames = done.frames
        self.rate_hz = done.frames / done.seconds if done.seconds else 0.0


def _refine(args: argparse.Namespace) -> int:
    if args.before is not None:
        _check_results(args)
    from human3r_lab.clip_errors import demo_truth_path
    from human3r_lab.evaluation.refine_part import numbers_before_and_after, read_truth, table

    if args.before is None:
        return _refine_sequences(args)
    truth = read_truth(Path(args.truth) if args.truth else demo_truth_path())
    print(table(*numbers_before_and_after(args.before, args.after, truth)))
    if args.picture:
        from human3r_lab.evaluation.refine_picture import write_picture

        write_picture(Path(args.picture), args.before, args.after, truth)
    return 0


def _check_results(args: argparse.Namespace) -> None:
    from human3r.export.open_result import find_result

    if args.after is None:
        raise ConfigError(
            f"BEFORE is {args.before}, AFTER is missing; expected both, or neither to measure "
            "sequences of the synthetic benchmark."
        )
    for folder in (args.before, args.after):
        find_result(folder)


def _refine_sequences(args: argparse.Namespace) -> int:
    from human3r.cli.main import main as human3r
    from human3r.io.results import whole_file
    from human3r_lab.evaluation.refine_benchmark import measure, summary_table

    if args.sequences < 1 or args.truth:
        raise ConfigError(
            f"--sequences is {args.sequences}, --truth {args.truth}; expected 1 or more, and a "
            "truth only with BEFORE and AFTER."
        )
    out = Path(args.out)
    found = measure(
        out,
        args.sequences,
        args.split,
        human3r,
        lambda one: print(
            f"{one.name}: {'measured' if one.before else 'nobody found'}", flush=True
        ),
    )
    text = summary_table(found)
    with whole_file(out / "table.md") as file:
        file.write((text + "\n").encode("utf-8"))
    print(text)
    return 0


def _compare(args: argparse.Namespace) -> int:
    for name in (args.first, args.second):
        check_is_file(Path(name), "a results.json of `human3r evaluate`", InputError)
    from human3r_lab.cli.evaluate_table import show_comparison
    from human3r_lab.evaluation.results_file import read_results

    show_comparison(read_results(args.first), read_results(args.second))
    return 0


def main(argv: list[str]) -> int:
    """``human3r evaluate`` with what stands behind it on the command line."""
    return run_command("evaluate", add_parser, argv)
