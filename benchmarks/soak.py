"""Does the node stay as it is? Memory, threads, descriptors and latency over a long stream.

    python benchmarks/soak.py [--minutes 30] [--rate-hz 10] [--variant tiny] [--out FOLDER]

The node is a process of its own and speaks DDS on this machine only. This process publishes images
at a steady rate, listens to every output, so that nothing is left out, and reads the node's size
from the system once per second. Every few minutes it does what a user may do: reset, deactivate and
activate. Writes soak.json and soak.png; ends with 1 when something grew.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from human3r_ros.child import Child, wait_until
from human3r_ros.client_session import client_session
from human3r_ros.lifecycle_client import ACTIVE, LifecycleClient
from human3r_ros.message_class import message_class
from human3r_ros.outputs import TOPICS
from human3r_ros.private_domain import private_environment
from human3r_ros.report import environment, percentiles
from rclpy.node import Node
from rclpy.qos import QoSProfile
from soak_plot import write_plot

from human3r.atomic import whole_file

NODE, IMAGE_TOPIC = "/human3r", "/camera/image_raw"
WARM_UP_SHARE = 0.2
"""Of the time: until every kind of work was done a few times, memory still grows."""
MAX_GROWTH = 0.01
_SIZE_PX = (320, 240)
_DEACTIVATE, _ACTIVATE = 4, 3
_RESET_EVERY_S, _CYCLE_EVERY_S = 60.0, 180.0


@dataclass
class Sample:
    """The node at one second."""

    at_s: float
    rss_bytes: int
    threads: int
    descriptors: int
    processed: int
    latency_s: float | None


def main() -> int:
    options = _parser().parse_args()
    os.environ.update(private_environment())
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / f"{options.variant}.safetensors"
        _run(["weights", "seeded", options.variant, str(weights)])
        samples, frames = soak(options, weights, Path(folder))
    result = {
        "command": "python benchmarks/soak.py " + " ".join(sys.argv[1:]),
        **environment(),
        "network": f"{options.variant}, seeded",
        "minutes": options.minutes,
        "rate_hz_sent": options.rate_hz,
        "frames": frames,
        **judge(samples),
        "samples": [asdict(sample) for sample in thinned(samples)],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    with whole_file(options.out / "soak.json") as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())
    write_plot(options.out / "soak.png", samples, result["verdict"])
    print(json.dumps({name: result[name] for name in ("frames", "growth", "verdict")}, indent=1))
    return 0 if result["is_flat"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate-hz", type=float, default=10.0, help="images sent per second")
    parser.add_argument("--variant", default="tiny", help="network, with seeded weights")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/soak"), metavar="FOLDER")
    return parser


def _run(arguments: Sequence[str]) -> None:
    from human3r.cli.main import main as human3r

    if human3r(list(arguments)) != 0:
        raise SystemExit(f"human3r {' '.join(arguments)} failed")


def soak(
    options: argparse.Namespace, weights: Path, folder: Path
) -> tuple[list[Sample], dict[str, int]]:
    """One sample per second, and how many frames had which fate."""
    arguments = [
        "live", "--image", IMAGE_TOPIC, "--weights", str(weights), "--tf-mode", "odometry",
        "--set", "people.min_score=0.05", "--set", "input.max_age_s=0",
    ]  # fmt: skip
    with client_session("soak", spin=True) as session:
        reports = Reports(session.node)
        node = Child("node", arguments, folder / "node.log", {})
        lifecycle = LifecycleClient(session.node, NODE)
        camera = Camera(session.node, options.rate_hz)
        try:
            wait_until(lambda: lifecycle.state() == ACTIVE, [node], 600, "activation")
            camera.start()
            samples = _watch(session, options.minutes * 60, node, lifecycle, reports)
            camera.stop()
            node.finish(20)
        finally:
            camera.stop()
            node.kill()
    return samples, reports.frames | {"sent": camera.sent}


def _watch(
    session: Any, duration_s: float, node: Child, lifecycle: LifecycleClient, reports: "Reports"
) -> list[Sample]:
    samples: list[Sample] = []
    start_s = time.monotonic()
    reset = session.node.create_client(message_class("human3r_msgs/srv/Reset"), f"{NODE}/reset")
    due = {"reset": _RESET_EVERY_S, "cycle": _CYCLE_EVERY_S}
    while (now_s := time.monotonic() - start_s) < duration_s and not session.stop.is_set():
        node.check_running()
        samples.append(_sample(now_s, node.pid, reports))
        if now_s > due["reset"]:
            due["reset"] += _RESET_EVERY_S
            reset.call_async(message_class("human3r_msgs/srv/Reset").Request())
        if now_s > due["cycle"]:
            due["cycle"] += _CYCLE_EVERY_S
            for transition in (_DEACTIVATE, _ACTIVATE):
                lifecycle.change(transition, 20.0)
        time.sleep(max(0.0, start_s + len(samples) - time.monotonic()))
    return samples


def node_size(pid: int) -> tuple[int, int, int]:
    """Resident bytes, threads and file descriptors of a process, as the system says."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    resident_bytes = int(status["VmRSS"].split()[0]) * 1024
    return resident_bytes, int(status["Threads"]), len(os.listdir(f"/proc/{pid}/fd"))


def _sample(at_s: float, pid: int, reports: "Reports") -> Sample:
    rss_bytes, threads, descriptors = node_size(pid)
    return Sample(
        at_s=round(at_s, 2),
        rss_bytes=rss_bytes,
        threads=threads,
        descriptors=descriptors,
        processed=reports.frames["processed"],
        latency_s=reports.take_latency_s(),
    )


class Camera:
    """Publishes a few pictures in turn from a thread of its own."""

    def __init__(self, node: Node, rate_hz: float) -> None:
        image = message_class("sensor_msgs/msg/Image")
        self._publisher = node.create_publisher(image, IMAGE_TOPIC, QoSProfile(depth=1))
        self._clock, self._period_s = node.get_clock(), 1.0 / rate_hz
        self._images = [_picture(image, number) for number in range(16)]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._publish, name="camera", daemon=True)
        self.sent = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _publish(self) -> None:
        next_s = time.monotonic()
        while not self._end.wait(max(0.0, next_s - time.monotonic())):
            image = self._images[self.sent % len(self._images)]
            image.header.stamp = self._clock.now().to_msg()
            self._publisher.publish(image)
            self.sent += 1
            next_s += self._period_s


def _picture(image: type, number: int) -> Any:
    """Patches of colour that drift."""
    width, height = _SIZE_PX
    coarse = np.random.default_rng(7).integers(0, 255, (6, 8, 3), np.uint8)
    pixels = cv2.resize(np.roll(coarse, number // 4, 1), (width, height))
    message = image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.frame_id = "camera"
    message.data = np.ascontiguousarray(np.roll(pixels, number, 1)).tobytes()
    return message


class Reports:
    """Listens to every output; keeps counts and latencies of ``~/status`` only."""

    def __init__(self, node: Node) -> None:
        self.frames = {"processed": 0, "rejected": 0, "failed": 0}
        self._latencies_s: list[float] = []
        for topic, message_type, profile, _ in TOPICS.values():
            is_status = topic == "~/status"
            keep = self._on_status if is_status else _ignore
            node.create_subscription(
                message_type, topic.replace("~", NODE), keep, profile, raw=not is_status
            )

    def _on_status(self, status: Any) -> None:
        name = {0: "processed", 1: "processed", 2: "rejected", 3: "failed"}.get(status.outcome)
        if name:
            self.frames[name] += 1
        if name == "processed":
            self._latencies_s.append(status.age_published)

    def take_latency_s(self) -> float | None:
        """Median since the question before."""
        taken, self._latencies_s = self._latencies_s, []
        found = percentiles(taken)
        return found["p50"] if found else None


def _ignore(cdr: bytes) -> None:
    """The message only has to arrive."""


def judge(samples: Sequence[Sample]) -> dict[str, Any]:
    """How much memory, threads and descriptors grew after the warm-up.

    The highest value of the last fifth is compared with the highest of the fifth after the warm-up:
    single samples go up and down with the frame in flight.
    """
    late = [s for s in samples if s.at_s >= WARM_UP_SHARE * samples[-1].at_s]
    fifth = max(1, len(late) // 5)
    growth = {}
    for name in ("rss_bytes", "threads", "descriptors"):
        first, last = (
            max(getattr(sample, name) for sample in part) for part in (late[:fifth], late[-fifth:])
        )
        growth[name] = {"first": first, "last": last, "share": round(last / first - 1, 5)}
    is_flat = growth["rss_bytes"]["share"] <= MAX_GROWTH and all(
        growth[name]["last"] <= growth[name]["first"] for name in ("threads", "descriptors")
    )
    rss = growth["rss_bytes"]
    verdict = (
        f"{'flat' if is_flat else 'GROWING'}: memory {rss['share']:+.2%} "
        f"({rss['first'] / 2**20:.0f} to {rss['last'] / 2**20:.0f} MiB), threads "
        f"{growth['threads']['first']} to {growth['threads']['last']}, descriptors "
        f"{growth['descriptors']['first']} to {growth['descriptors']['last']}"
    )
    latency = percentiles([s.latency_s for s in samples if s.latency_s is not None])
    return {"is_flat": is_flat, "growth": growth, "latency_s": latency, "verdict": verdict}


def thinned(samples: Sequence[Sample], most: int = 600) -> list[Sample]:
    """Every n-th, so that the file stays readable."""
    return list(samples[:: max(1, -(-len(samples) // most))])


if __name__ == "__main__":
    sys.exit(main())
