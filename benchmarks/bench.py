"""All speed figures in one go: one JSON file, one table, one plot.

    python benchmarks/bench.py                        # a few minutes: the small network
    python benchmarks/bench.py --everything           # also the published size, and the node
    python benchmarks/bench.py --only network --variant human3r_672S --rounds 3

Ratios come from one run in which all ways take turns; where the machine is busy with other
things, trust them and the processor times, not the wall times.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench_core import (
    measure_network,
    measure_precision,
    measure_session,
    measure_start,
)
from bench_report import draw_plot, write_table
from growth import measure_growth
from roofline import measure_roofline
from scaffold import described, parser, write_result

from human3r.atomic import whole_file
from human3r.model.variants import VARIANTS
from human3r.pipeline import choose_device

SMALL = ("network", "session", "start", "messages")
SECTIONS = (*SMALL, "roofline", "growth", "precision", "node", "control")
LARGE_VARIANT = "human3r_672S"


def main() -> int:
    options = _parse()
    device = choose_device(options.device)
    chosen = options.only or (SECTIONS if options.everything else SMALL)
    result = described(variant=options.variant, sections={})
    for name in chosen:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        result["sections"][name] = _SECTIONS[name](options, device)
        # After each section, so that a long run that is stopped leaves what it has.
        _write(result, options.out)
    if options.everything and not options.only:
        print(f"measuring: network, {LARGE_VARIANT}", file=sys.stderr, flush=True)
        large = measure_network(LARGE_VARIANT, 3, device, fixed=device.type == "cuda")
        result["sections"]["network"] = {
            **result["sections"]["network"],
            LARGE_VARIANT: large,
        }
        _write(result, options.out)
    print((options.out / "bench.md").read_text())
    return 0


def _node(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    from bench_node import measure_latency

    return measure_latency(options.seconds)


def _control(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    from bench_node import measure_control

    return measure_control(options.seconds)


def _messages(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    from bench_messages import measure_messages

    return measure_messages(rounds=30)


_SECTIONS: dict[str, Callable[[argparse.Namespace, torch.device], dict[str, Any]]] = {
    "network": lambda o, d: {
        o.variant: measure_network(o.variant, o.rounds, d, fixed=o.fixed_shapes)
    },
    "session": lambda o, d: measure_session(o.variant, o.rounds, d),
    "start": lambda o, d: measure_start(d),
    "messages": _messages,
    "roofline": lambda o, d: measure_roofline(o.variant, o.rounds, d),
    "growth": lambda o, d: measure_growth(o.variant, o.rounds, o.frames, d),
    "precision": lambda o, d: measure_precision(o.variant, o.precision_frames, d),
    "node": _node,
    "control": _control,
}


def _write(result: dict[str, Any], folder: Path) -> None:
    write_result(folder / "bench.json", result)
    with whole_file(folder / "bench.md") as file:
        file.write(write_table(result).encode())
    draw_plot(result, folder / "bench.png")


def _parse() -> argparse.Namespace:
    command = parser(__doc__)
    add = command.add_argument
    add("--everything", action="store_true", help="all sections, and the published size")
    add("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    add("--variant", default="human3r_mini", choices=list(VARIANTS))
    add("--rounds", type=int, default=15, help="turns of each way (default %(default)s)")
    add("--no-fixed-shapes", dest="fixed_shapes", action="store_false", help="leave them out")
    add("--frames", type=int, default=1000, help="length of the long stream (default %(default)s)")
    add("--precision-frames", type=int, default=200, help="length of the streams compared")
    add("--seconds", type=float, default=10.0, help="per case of node and control")
    add("--device", default="auto")
    add("--out", type=Path, default=Path("out/bench"), metavar="FOLDER")
    return command.parse_args()


if __name__ == "__main__":
    sys.exit(main())
