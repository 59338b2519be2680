"""Cameras in one ``human3r_multi`` process against a node each: moments per second, and memory.

    python benchmarks/bench_rig.py --rounds 2 --seconds 15

The demo clip is played on V image topics at once. All variants take turns, round by round, so that
whatever else the machine does meets all of them; real processes, real DDS.
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
    found: dict[tuple[str, int], list[tuple[float, float]]] = {one: [] for one in variants}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            first = turn % len(variants)
            for kind, views in variants[first:] + variants[:first]:
                rate_hz, memory_mb = _measure(kind, views, args, Path(folder))
                found[kind, views].append((rate_hz, memory_mb))
                print(f"{kind}, {views}: {rate_hz:.2f}/s, {memory_mb:.0f} MB", file=sys.stderr)
    middle = {one: [statistics.median(x) for x in zip(*f, strict=True)] for one, f in found.items()}
    table: dict[str, dict] = {
        str(views): {
            "rate_of_one_process_over_nodes": middle["one process", views][0]
            / middle["nodes", views][0],
            "memory_of_one_process_over_nodes": middle["one process", views][1]
            / middle["nodes", views][1],
            **{
                f"{kind}: moments_per_s, MB": [round(x, 2) for x in middle[kind, views]]
                for kind in ("nodes", "one process")
            },
        }
        for views in _RIGS
    }
    table["1"] = {"nodes: moments_per_s, MB": [round(x, 2) for x in middle["nodes", 1]]}
    print(json.dumps(table, indent=1))
    return 0


def _measure(kind: str, views: int, args: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """Moments per second, and megabytes of all nodes."""
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
        time.sleep(args.seconds)
        spent_s = time.monotonic() - began_s
        moments = sum(heard[topic] - before[topic] for topic in topics) / len(topics)
        return moments / spent_s, sum(_megabytes(node.process.pid) for node in nodes)


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


def _megabytes(pid: int) -> float:
    """Of the process's own memory, shared pages by their share."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
