"""``human3r evaluate multiview``: several cameras of synthetic scenes, fused in every way."""

import argparse
from pathlib import Path
from typing import Any

from human3r.cli.run_progress import stop_request
from human3r.config import EVALUATE, Settings
from human3r.setting import add_setting_flag, add_settings_options, settings_from

_FLAGS = {"--weights": ("model.weights", "FILE"), "--device": ("model.device", "D")}


def add_multiview(datasets: Any) -> None:
    """Add ``multiview`` to the datasets of ``evaluate``."""
    parser = datasets.add_parser(
        "multiview",
        help="scenes of `human3r synth --cameras V`: people fused from several views",
        description="Runs every camera of every scene by itself, fuses people in all ways, and "
        "compares them with the best single camera.",
    )
    add = parser.add_argument
    add("root", metavar="DATA", type=Path, help="folder of `human3r synth --cameras V`")
    add("--out", metavar="DIR", help="folder to write (default: out/evaluate-multiview)")
    add("--sequences", type=int, default=0, metavar="N", help="the first N scenes; 0: all")
    add("--max-frames", type=int, default=0, metavar="N", help="the first N of each; 0: all")
    for flag, (setting, metavar) in _FLAGS.items():
        add_setting_flag(parser, flag, Settings.spec(setting), metavar, with_default=False)
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print a table, write results.json.

    Raises:
        Human3RError: whatever data, weights or disk make impossible.
    """
    import json

    from human3r.cli.run import check_files
    from human3r_lab.datasets import open_folder

    flags = {name: getattr(args, name) for name, _ in _FLAGS.values()}
    settings = settings_from(args, Settings(), flags=flags, places=(EVALUATE,))
    files = open_folder(args.root)
    check_files(settings)
    # They load PyTorch, which takes seconds.
    from human3r.io.results import ResultFolder, whole_file
    from human3r.multiview.settings import FusionSettings
    from human3r.pipeline import Pipeline
    from human3r_lab.evaluation import multiview
    from human3r_lab.evaluation.truth import FreeBodyScheme

    scenes = multiview.scenes(files)
    chosen = dict(list(scenes.items())[: args.sequences or None])
    found: dict[str, dict[str, Any]] = {}
    out = Path(args.out or "out/evaluate-multiview")
    with ResultFolder(out) as folder, stop_request() as is_asked_to_stop:
        first = Pipeline.from_settings(settings)
        scheme = FreeBodyScheme(first.body_model)
        for name, files in chosen.items():
            pipelines = [Pipeline(first.network, first.body_model, first.settings) for _ in files]
            errors = None
            for so_far in multiview.evaluate_scene(
                files, pipelines, scheme, FusionSettings(), args.max_frames
            ):
                errors = so_far
                if is_asked_to_stop():
                    raise KeyboardInterrupt
            if errors is not None:
                found[name] = multiview.summary(errors)
        document = {"overall": multiview.overall(found), "scenes": found}
        with whole_file(folder.part / "results.json") as file:
            file.write(json.dumps(document, indent=1).encode("utf-8"))
    _show(document)
    print(f"{len(found)} scenes: {folder.path}", flush=True)
    return 0


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from human3r_lab.evaluation.multiview import METHODS

    table = Table("scene", *(f"W {name}, m" for name in METHODS), "id precision", "id recall")
    for name, scene in document["scenes"].items():
        errors = (_number(scene["w_m"][method]) for method in METHODS)
        table.add_row(name, *errors, _number(scene["id_precision"]), _number(scene["id_recall"]))
    overall = document["overall"]
    table.add_row("all", *(_number(overall["w_m"].get(method)) for method in METHODS), "", "")
    Console().print(table)
    gain = overall["gain_over_best_camera"]
    if gain is not None:
        print(f"weighted against the best single camera: {gain:+.0%} less error")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
