"""Cameras in one ``human3r_multi`` process against a node each: CPU time, rate and memory.

    python benchmarks/bench_rig.py --rounds 2 --seconds 15

The demo clip is played on V image topics at once. All variants take turns, round by round, so that
whatever else the machine does meets all of them; real processes, real DDS. On a machine that others
use, rates say how many processes ask for their share of it; the CPU time of an image does not.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import human3r_ros  # noqa: F401 - settles the client library before anything imports rclpy.
from human3r_msgs.msg import HumanArray
from human3r_ros import qos
from human3r_ros.commands.private_domain import private_environment

from human3r.demo_clip import demo_clip_path
from human3r.multiview.rig_file import RigCamera, write_rig
from ros2_ws.src.human3r_ros.tests.running_process import Peer, RunningProcess, wait_until
from tests.multiview.rooms import camera_at

_RIGS = (2, 4)
_PATIENCE_S = 240.0
_MAIN = "import sys; from human3r.cli.main import main; sys.exit(main())"
_ANY_AGE = ("--set", "input.max_age_s=0", "--set", "diagnostics.max_latency_s=0")


def main() -> int:
    """Measure and print JSON: ratios first."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--fps", type=float, default=10.0, help="of every camera")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each variant and round")
    args = parser.parse_args()
    os.environ.update(private_environment())
    variants = [("nodes", 1)]
    variants += [(kind, views) for views in _RIGS for kind in ("nodes", "one process")]
    found: dict[tuple[str, int], list[_Measured]] = {one: [] for one in variants}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            first = turn % len(variants)
            for kind, views in variants[first:] + variants[:first]:
                measured = _measure(kind, views, args, Path(folder))
                found[kind, views].append(measured)
                print(kind, views, measured, file=sys.stderr)
    middle = {
        one: _Measured(*(statistics.median(x) for x in zip(*turns, strict=True)))
        for one, turns in found.items()
    }
    table: dict[str, dict] = {
        f"one process over nodes, {views} cameras": {
            name: round(ours / theirs, 2)
            for name, ours, theirs in zip(
                _Measured._fields,
                middle["one process", views],
                middle["nodes", views],
                strict=True,
            )
        }
        for views in _RIGS
    }
    table |= {f"{kind}, {views}": m._asdict() for (kind, views), m in middle.items()}
    print(json.dumps(table, indent=1))
    return 0


class _Measured(NamedTuple):
    """Of one variant."""

    cpu_s_per_image: float
    moments_per_s: float
    megabytes: float


def _measure(kind: str, views: int, args: argparse.Namespace, folder: Path) -> _Measured:
    """One variant for a while."""
    names = [f"camera{i}" for i in range(views)]
    with ExitStack() as stack:

        def start(*words: str) -> RunningProcess:
            file = folder / f"{time.monotonic_ns()}.log"
            process = RunningProcess([sys.executable, *words], file, dict(os.environ))
            stack.callback(process.close)
            return process

        make = _one_process if kind == "one process" else _nodes
        nodes, topics = make(names, folder, start)
        heard = dict.fromkeys(topics, 0)
        peer = Peer(f"bench{time.monotonic_ns()}")
        stack.callback(peer.close)
        for topic in topics:

            def count(_: HumanArray, topic: str = topic) -> None:
                heard[topic] += 1

            peer.node.create_subscription(HumanArray, topic, count, qos.HUMANS)
        clip = str(demo_clip_path())
        images = ",".join(f"/{name}/image_raw" for name in names)
        pace = ("--loop", "--fps", str(args.fps))
        start("-c", _MAIN, "play", *[clip] * views, "--topics", images, *pace)
        wait_until(lambda: min(heard.values()) > 2, _PATIENCE_S, f"people of {kind}, {views}")
        before, began_s = dict(heard), time.monotonic()
        spent_cpu_s = -sum(_cpu_s(node.process.pid) for node in nodes)
        time.sleep(args.seconds)
        spent_s = time.monotonic() - began_s
        spent_cpu_s += sum(_cpu_s(node.process.pid) for node in nodes)
        moments = sum(heard[topic] - before[topic] for topic in topics) / len(topics)
        return _Measured(
            spent_cpu_s / max(moments * views, 1),
            moments / spent_s,
            sum(_megabytes(node.process.pid) for node in nodes),
        )


def _nodes(
    names: list[str], folder: Path, start: Callable[..., RunningProcess]
) -> tuple[list[RunningProcess], list[str]]:
    nodes = [
        start("-c", _MAIN, "live", "--image", f"/{n}/image_raw", "--namespace", n, *_ANY_AGE)
        for n in names
    ]
    return nodes, [f"/{name}/human3r/humans" for name in names]


def _one_process(
    names: list[str], folder: Path, start: Callable[..., RunningProcess]
) -> tuple[list[RunningProcess], list[str]]:
    poses = {name: camera_at(0.05 * i) for i, name in enumerate(names)}
    write_rig(folder / "cameras.yaml", {n: RigCamera(n, pose) for n, pose in poses.items()})
    words = ["--set", f"cameras={','.join(names)}"]
    words += ["--set", f"calibration={folder / 'cameras.yaml'}", *_ANY_AGE]
    return [start("-m", "human3r_ros.multi.process", *words)], ["/human3r_multi/humans"]


def _cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int) -> float:
    """Of the process's own memory, shared pages by their share."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
