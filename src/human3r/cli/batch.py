"""``human3r batch``: run and refine many recordings, with resume, retries and one report."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r.cli.refine import command_words
from human3r.errors import InputError

if TYPE_CHECKING:
    from human3r.batch.work import Outcome


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "batch",
        help="run and refine many recordings",
        description="Runs and refines every recording of a folder. Called again it does what is "
        "left; manifest.jsonl and report.json in the output folder say what happened.",
    )
    add = parser.add_argument
    add("recordings", metavar="FOLDER|GLOB", help="videos, bags or results of `human3r run`")
    add("-o", "--out", metavar="DIR", default="out/batch", help="folder to write (%(default)s)")
    add("--jobs", type=int, default=1, metavar="N", help="recordings at once (%(default)s)")
    add("--retries", type=int, default=1, metavar="N", help="tries after a failure (%(default)s)")
    add("--ray", metavar="ADDRESS", help="work on this Ray cluster; the disk must be shared")
    add("--no-refine", action="store_true", help="run only")
    add(
        "--run-args",
        type=command_words,
        default="--save people,trajectory,scene,frames",
        metavar="TEXT",
        help="more arguments of `human3r run`, in quotes (%(default)s)",
    )
    add(
        "--refine-args",
        type=command_words,
        default=[],
        metavar="TEXT",
        help="the same for `human3r refine`",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; 1 when recordings failed.

    Raises:
        InputError: no recordings, or wrong options.
        MissingExtraError: --ray without Ray.
        OutputError: the disk refused.
    """
    from human3r.batch.run import REPORT, find_recordings, run_batch, tasks_for
    from human3r.batch.work import Task
    from human3r.batch.workers import on_ray, on_this_machine

    if not 1 <= args.jobs <= 1000 or not 0 <= args.retries <= 100:
        raise InputError(
            f"--jobs is {args.jobs} and --retries {args.retries}; expected 1 to 1000, 0 to 100."
        )
    out = Path(args.out)
    like = Task(
        "",
        "",
        tuple(args.run_args),
        tuple(args.refine_args),
        not args.no_refine,
    )
    tasks = tasks_for(find_recordings(args.recordings), out.absolute(), like)
    if args.ray:
        workers = partial(on_ray, address=args.ray, jobs=args.jobs)
    else:
        workers = partial(on_this_machine, jobs=args.jobs)
    summary = run_batch(tasks, out, workers, args.retries, _tell)
    earlier = f" ({summary.num_before} earlier)" if summary.num_before else ""
    print(
        f"{summary.num_done} of {len(tasks)} recordings done{earlier}, {len(summary.failures)} "
        f"failed: {out / REPORT}",
        flush=True,
    )
    return 1 if summary.failures else 0


def _tell(outcome: "Outcome") -> None:
    word = "done" if outcome.is_done else "FAILED"
    print(f"{word} {outcome.source}: {outcome.message}", flush=True)
