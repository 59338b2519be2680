"""``human3r refine``: a recording made better than a live stream can be."""

import argparse
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r.errors import InputError

if TYPE_CHECKING:
    from human3r.refine.outcome import Refined
    from human3r.refine.refinement import Options
    from human3r.refine.result_folder import Source

METHODS = {
    "contacts": "people who touch the scene tie it to their metres and stand still",
    "chain": "motion chaining of the person seen most, a fast baseline without corrections",
}


def command_words(text: str) -> list[str]:
    """An option's value that is a piece of another command line, split as a shell would."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be split into words ({error}); expected quotes in pairs, for example "
            "'--fov-deg 70'"
        ) from error


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "refine",
        help="make a recording better: feet that stand stay, calm bodies, metres from contacts",
        description="Takes what `human3r run` wrote, or a source for it, and writes the same kind "
        "of folder, refined. docs/refine.md says when it helps and when not.",
        epilog="Methods: " + "; ".join(f"{name}: {text}" for name, text in METHODS.items()) + ".",
    )
    add = parser.add_argument
    add("result", metavar="RESULT", help="folder of `human3r run`, or a video or bag to run first")
    add("-o", "--out", metavar="DIR", help="folder to write (default: RESULT-refined)")
    add("--method", choices=tuple(METHODS), default="contacts", help="how (%(default)s)")
    add(
        "--key-rate",
        type=float,
        default=10.0,
        metavar="HZ",
        help="frames per second that are solved for; others are interpolated (%(default)s)",
    )
    add(
        "--chunk",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds over which lengths share one scale (%(default)s)",
    )
    add(
        "--depth",
        metavar="TOPIC",
        help="depth camera's topic in the bag named as RESULT: its metres replace the network's",
    )
    add(
        "--run-args",
        type=command_words,
        default=[],
        metavar="TEXT",
        help="of a video or bag: more arguments of `human3r run`, in quotes, for example "
        "'--set model.deterministic=true'",
    )
    add(
        "--no-smooth",
        action="store_true",
        help="leave limbs and the trembling of motions as they are",
    )
    add("--no-loops", action="store_true", help="do not look for places that are seen again")
    add("--body-model", metavar="FILE", help="of the run, where it is not where the run found it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand.

    Raises:
        InputError: no result and no source, or wrong options.
        Human3RError: whatever body model or disk make impossible.
    """
    if not 0.5 <= args.key_rate <= 120:
        raise InputError(f"--key-rate is {args.key_rate}; expected 0.5 to 120 Hz.")
    if not 1 <= args.chunk <= 3600:
        raise InputError(f"--chunk is {args.chunk}; expected 1 to 3600 s.")
    folder, bag = Path(args.result), args.result
    if args.depth and (folder / "people.npz").is_file():
        raise InputError(
            f"--depth {args.depth}: {folder} is a result, which has no topics; expected a bag. "
            "Name the bag as RESULT."
        )
    if args.run_args and (folder / "people.npz").is_file():
        raise InputError(
            f"--run-args {shlex.join(args.run_args)}: {folder} is a result and not run again; "
            "expected a video or bag. Leave --run-args out."
        )
    if not (folder / "people.npz").is_file():
        folder = _run_first(args)
    # It loads PyTorch, which takes seconds: names were looked at before.
    from human3r.refine.refinement import Options

    options = Options(args.key_rate, args.chunk, smooth=not args.no_smooth)
    out = Path(args.out) if args.out else folder.with_name(folder.name + "-refined")
    written, line = refine_folder(
        folder,
        out,
        options,
        args.method,
        not args.no_loops,
        args.body_model,
        (bag, args.depth) if args.depth else None,
    )
    print(f"{line}: {written}", flush=True)
    return 0


def refine_folder(
    folder: Path,
    out: Path,
    options: "Options",
    method: str = "contacts",
    with_loops: bool = True,
    body_model: str | None = None,
    depth: tuple[str, str] | None = None,
) -> tuple[Path, str]:
    """Refine a result folder into another one.

    Args:
        folder: the input.
        out: folder to write; a taken one gets a number.
        options: how.
        method: of ``METHODS``.
        with_loops: look for places that are seen again.
        body_model: of the run; None: where the run found it.
        depth: bag and topic of a depth camera, whose metres replace the network's.

    Returns:
        The folder that was written, and what happened, in a line.

    Raises:
        Human3RError: the input is no result, or the disk refused.
    """
    from dataclasses import replace

    from human3r.io.results import ResultFolder
    from human3r.refine.depth_topic import with_depth_camera
    from human3r.refine.report import report_of
    from human3r.refine.result_folder import read_source, write_refined
    from human3r.refine.resume import ResumeFile

    source = read_source(folder, body_model)
    if depth is not None:
        recording = with_depth_camera(source.recording, *depth)
        source = replace(source, recording=recording)
    resume = ResumeFile(out, folder / "people.npz", options)
    with ResultFolder(out) as results:
        if method == "chain":
            refined = _chained(source)
        else:
            refined = _refined(source, options, resume, with_loops)
        report = report_of(source.recording, refined, source.missing) | {"method": method}
        write_refined(results.part, source, refined, report)
    resume.remove()
    return results.path, _line(report)


def _refined(source: "Source", options: "Options", resume: Any, with_loops: bool) -> "Refined":
    from human3r.refine.loops import find_loops
    from human3r.refine.refinement import refine

    with _progress(source.result.folder.name, options) as show:
        return refine(
            source.recording,
            options,
            loops=find_loops if with_loops and source.frame_files else None,
            resume=resume.read(),
            after_step=show,
            after_round=resume.write,
        )


def _chained(source: "Source") -> "Refined":
    from human3r.refine.chain import chain_motions
    from human3r.refine.refinement import unrefined

    recording = source.recording
    if not recording.tracks:
        raise InputError(
            f"{source.result.folder}: shows nobody; expected a person to chain. Use --method "
            "contacts."
        )
    person = max(range(len(recording.tracks)), key=lambda one: len(recording.tracks[one].frames))
    root = source.arrays["rotations"][source.rows[person], 0].astype(float)
    return unrefined(recording, chain_motions(recording, person, root))


def _run_first(args: argparse.Namespace) -> Path:
    """`human3r run` of a source, into a folder beside the wanted one."""
    from human3r.cli.main import build_parser
    from human3r.io.sources import existing_path

    source = existing_path(args.result)
    out = Path(args.out) if args.out else Path("out") / f"{Path(source).stem}-refined"
    args.out = str(out)
    live = out.with_name(out.name + "-live")
    command = ["run", args.result, "--out", str(live)]
    command += ["--save", "people,trajectory,scene,frames", *args.run_args]
    if args.body_model:
        command += ["--body-model", args.body_model]
    ran = build_parser().parse_args(command)
    if ran.run(ran):
        raise InputError(f"{args.result}: was not read to its end. Refine {live} if it will do.")
    return live


@contextmanager
def _progress(name: str, options: "Options") -> Iterator[Callable[[int, int, float], None]]:
    """A bar on a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda round_, step, cost: None
        return
    with Progress(console=console, transient=True) as bar:
        total = options.rounds * options.iterations
        task = bar.add_task(f"refining {escape(name[:40])}", total=total)

        def show(round_: int, step: int, cost: float) -> None:
            bar.update(task, completed=round_ * options.iterations + step)

        yield show


def _line(report: dict[str, Any]) -> str:
    people = report["people"]
    if not report["has_changed"]:
        judged = report["held_out"]
        nothing = judged["why"] if judged else "nobody touches the scene for long enough"
        why = "; ".join([nothing, *report["missing"]])
        return f"nothing changed ({why})"
    parts = [part for number, one in people.items() for part in _of_person(number, one)]
    scales = report["scales"]
    text = f"scale {min(scales):.3f}" + (f" to {max(scales):.3f}" if len(scales) > 1 else "")
    return "; ".join([text, *parts])


def _of_person(number: str, one: dict[str, Any]) -> list[str]:
    """At contacts with the scene; where none is seen, at stances that limbs were not told of."""
    before, after, limbs = one["before"], one["after"], one["limbs"]
    slides = [measures["sliding_mm_per_key_frame"] for measures in (before, after)]
    if slides[0] is not None:
        off = f"sole to surface {_mm(before)} -> {_mm(after)} mm"
        return [f"{number}: sliding {slides[0]:.1f} -> {slides[1]:.1f} mm, {off}"]
    if limbs and limbs["has_changed"]:
        slides = limbs["held_out_sliding_mm_per_frame"]
        return [f"{number}: sliding, held out, {slides[0]:.1f} -> {slides[1]:.1f} mm"]
    return []


def _mm(measures: dict[str, Any]) -> str:
    value = measures["sole_to_surface_mm"]
    return "?" if value is None else f"{value:.0f}"
