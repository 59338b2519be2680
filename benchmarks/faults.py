"""What does it cost to stop, repeat and lose a node? Seconds and memory, on this machine.

    python benchmarks/faults.py [--rounds 60] [--out FOLDER]

The node is a process of its own with the bundled networks, on a private DDS domain. It is
configured and cleaned up again and again, interrupted in every state that lasts, and killed while
images flow. Writes faults.json.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from human3r_ros.commands.child import Child, wait_until
from human3r_ros.commands.client_session import client_session
from human3r_ros.commands.lifecycle_client import ACTIVE, LifecycleClient
from human3r_ros.commands.private_domain import private_environment
from scaffold import described, parser, write_result
from soak import IMAGE_TOPIC, NODE, Camera, Reports, node_size

_CONFIGURE, _CLEANUP, _ACTIVATE, _DEACTIVATE = 1, 2, 3, 4
_BEGIN_S, _CHANGE_S, _END_S = 300.0, 120.0, 20.0
_SETTLED_ROUND = 20
"""Until then the allocator still spreads out; later rounds take nothing more."""


class Bench:
    """A camera, and one node after the other."""

    def __init__(self, session: Any, folder: Path) -> None:
        self.reports = Reports(session.node)
        self.lifecycle = LifecycleClient(session.node, NODE)
        self._folder = folder

    def start(self) -> tuple[Child, float]:
        """An active node, and how many seconds it took."""
        start_s = time.monotonic()
        arguments = ["live", "--image", IMAGE_TOPIC, "--tf-mode", "odometry"]
        node = Child("node", arguments, self._folder / "node.log", {})
        wait_until(lambda: self.lifecycle.state() == ACTIVE, [node], _BEGIN_S, "activation")
        return node, time.monotonic() - start_s

    def change(self, *transitions: int) -> list[float]:
        """Seconds that each of these transitions took."""
        durations_s = []
        for transition in transitions:
            start_s = time.monotonic()
            if not self.lifecycle.change(transition, _CHANGE_S):
                raise SystemExit(f"transition {transition} failed")
            durations_s.append(time.monotonic() - start_s)
        return durations_s

    def wait_for_frame(self, node: Child) -> float:
        """Seconds until one more image is processed."""
        start_s, before = time.monotonic(), self.reports.frames["processed"]
        wait_until(
            lambda: self.reports.frames["processed"] > before, [node], _BEGIN_S, "a processed image"
        )
        return time.monotonic() - start_s


def repeat(bench: Bench, rounds: int) -> dict[str, Any]:
    """Configure and clean up, over and over, with a processed image in each round."""
    node, _ = bench.start()
    took: dict[str, list[float]] = {"configure": [], "activate": [], "deactivate": []}
    sizes = []
    for _ in range(rounds):
        bench.wait_for_frame(node)
        took["deactivate"] += bench.change(_DEACTIVATE)
        bench.change(_CLEANUP)
        sizes.append(node_size(node.pid))
        took["configure"] += bench.change(_CONFIGURE)
        took["activate"] += bench.change(_ACTIVATE)
    node.finish(_END_S)
    names = ("rss_bytes", "threads", "descriptors")
    settled = dict(zip(names, sizes[min(_SETTLED_ROUND, rounds) - 1], strict=True))
    return {
        "rounds": rounds,
        "seconds_median": {k: round(statistics.median(v), 3) for k, v in took.items()},
        f"unconfigured_after_round_{min(_SETTLED_ROUND, rounds)}": settled,
        "unconfigured_at_the_end": dict(zip(names, sizes[-1], strict=True)),
    }


def interrupt(bench: Bench) -> dict[str, float]:
    """Seconds from Ctrl-C to the end of the process, in each state that lasts."""
    found = {}
    for name, transitions in (
        ("active", ()),
        ("inactive", (_DEACTIVATE,)),
        ("unconfigured", (_DEACTIVATE, _CLEANUP)),
    ):
        node, _ = bench.start()
        bench.wait_for_frame(node)
        bench.change(*transitions)
        start_s = time.monotonic()
        node.finish(_END_S)
        found[name] = round(time.monotonic() - start_s, 2)
    return found


def kill(bench: Bench) -> dict[str, float]:
    """A node that is killed while images flow, and its successor."""
    node, _ = bench.start()
    bench.wait_for_frame(node)
    os.kill(node.pid, 9)
    wait_until(lambda: node.has_ended, [], _END_S, "the end of the killed node")
    successor, started_s = bench.start()
    first_s = bench.wait_for_frame(successor)
    successor.finish(_END_S)
    return {"start_to_active": round(started_s, 2), "active_to_frame": round(first_s, 2)}


def main() -> int:
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=60)
    command.add_argument("--out", type=Path, default=Path("docs/benchmarks"), metavar="FOLDER")
    options = command.parse_args()
    os.environ.update(private_environment())
    with tempfile.TemporaryDirectory() as folder, client_session("faults", spin=True) as session:
        camera = Camera(session.node, 10.0)
        bench = Bench(session, Path(folder))
        camera.start()
        result = described(
            repeated=repeat(bench, options.rounds),
            ctrl_c_seconds=interrupt(bench),
            killed_seconds=kill(bench),
        )
        camera.stop()
    write_result(options.out / "faults.json", result)
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
