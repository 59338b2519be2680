r"""Does the node stay as it is? Memory, threads, descriptors and latency over a long stream.

    python benchmarks/soak.py [--minutes 30] [--rate-hz 10] [--variant tiny] [--out FOLDER]
    python benchmarks/soak.py --minutes 60 --rate-hz 1.5 --variant default --reset-every-s 900 \
        --cycle-every-s 1500 --out FOLDER

The node is a process of its own and speaks DDS on this machine only. This process publishes images
at a steady rate, listens to every output, so that nothing is left out, and reads the node's size
from the system once per second. Every few minutes it does what a user may do: reset, deactivate and
activate. ``--variant default`` runs what comes with human3r on the demonstration's clip, played
forwards and backwards, and also watches how large the map is and how many people are alive. Writes
soak.json and soak.png; ends with 1 when something grew.
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
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from clip import clip_images
from human3r_ros.commands.child import Child, wait_until
from human3r_ros.commands.client_session import client_session
from human3r_ros.commands.lifecycle_client import ACTIVE, LifecycleClient
from human3r_ros.commands.message_class import message_class
from human3r_ros.commands.private_domain import private_environment
from human3r_ros.commands.report import percentiles
from human3r_ros.outputs import TOPICS
from rclpy.node import Node
from rclpy.qos import QoSProfile
from scaffold import described, parser, write_result
from soak_plot import write_plot

NODE, IMAGE_TOPIC = "/human3r", "/camera/image_raw"
WARM_UP_SHARE = 0.2
"""Of the time: until every kind of work was done a few times, memory still grows."""
MAX_GROWTH = 0.01
_SIZE_PX = (320, 240)
_DEACTIVATE, _ACTIVATE = 4, 3
_CLIP_IMAGES = 60


@dataclass
class Sample:
    """The node at one second."""

    at_s: float
    rss_bytes: int
    threads: int
    descriptors: int
    processed: int
    latency_s: float | None
    map_points: int = 0
    people: int = 0
    """In the last message."""
    ids: int = 0
    """Since the node started."""


def main() -> int:
    options = _parser().parse_args()
    os.environ.update(private_environment())
    with tempfile.TemporaryDirectory() as folder:
        samples, frames = soak(options, _network(options.variant, Path(folder)), Path(folder))
    result = described(
        network=options.variant if options.variant == "default" else f"{options.variant}, seeded",
        minutes=options.minutes,
        rate_hz_sent=options.rate_hz,
        frames=frames,
        most_map_points=max(sample.map_points for sample in samples),
        most_people=max(sample.people for sample in samples),
        ids=samples[-1].ids,
        **judge(samples),
        samples=[asdict(sample) for sample in thinned(samples)],
    )
    write_result(options.out / "soak.json", result)
    write_plot(options.out / "soak.png", samples, result["verdict"])
    print(json.dumps({name: result[name] for name in ("frames", "growth", "verdict")}, indent=1))
    return 0 if result["is_flat"] else 1


def _parser() -> argparse.ArgumentParser:
    command = parser(__doc__)
    command.add_argument("--minutes", type=float, default=30.0)
    command.add_argument("--rate-hz", type=float, default=10.0, help="images sent per second")
    command.add_argument(
        "--variant",
        default="tiny",
        help="network, with seeded weights; default: what comes with human3r, on its clip",
    )
    command.add_argument("--reset-every-s", type=float, default=60.0, metavar="S")
    command.add_argument(
        "--cycle-every-s", type=float, default=180.0, metavar="S", help="deactivate and activate"
    )
    command.add_argument("--out", type=Path, default=Path("docs/benchmarks/soak"), metavar="FOLDER")
    return command


def _network(variant: str, folder: Path) -> list[str]:
    """Options of ``human3r live`` for the network that is asked for."""
    if variant == "default":
        return []
    weights = folder / f"{variant}.safetensors"
    _run(["weights", "seeded", variant, str(weights)])
    options = ["--weights", str(weights), "--set", "people.min_score=0.05"]
    for part in ("odometry", "people", "scene"):
        options += ["--set", f"{part}.source=network"]
    return options


def _run(arguments: Sequence[str]) -> None:
    from human3r.cli.main import main as human3r

    if human3r(list(arguments)) != 0:
        raise SystemExit(f"human3r {' '.join(arguments)} failed")


def soak(
    options: argparse.Namespace, network: Sequence[str], folder: Path
) -> tuple[list[Sample], dict[str, int]]:
    """One sample per second, and how many frames had which outcome."""
    arguments = [
        "live", "--image", IMAGE_TOPIC, *network, "--tf-mode", "odometry",
        "--set", "input.max_age_s=0",
    ]  # fmt: skip
    with client_session("soak", spin=True) as session:
        reports = Reports(session.node)
        node = Child("node", arguments, folder / "node.log", {})
        lifecycle = LifecycleClient(session.node, NODE)
        camera = Camera(session.node, options.rate_hz, has_clip=options.variant == "default")
        try:
            wait_until(lambda: lifecycle.state() == ACTIVE, [node], 600, "activation")
            camera.start()
            samples = _watch(session, options, node, lifecycle, reports)
            camera.stop()
            node.finish(20)
        finally:
            camera.stop()
            node.kill()
    return samples, reports.frames | {"sent": camera.sent}


def _watch(
    session: Any,
    options: argparse.Namespace,
    node: Child,
    lifecycle: LifecycleClient,
    reports: "Reports",
) -> list[Sample]:
    samples: list[Sample] = []
    duration_s = 60 * options.minutes
    start_s = time.monotonic()
    reset = session.node.create_client(message_class("human3r_msgs/srv/Reset"), f"{NODE}/reset")
    due = {"reset": options.reset_every_s, "cycle": options.cycle_every_s}
    while (now_s := time.monotonic() - start_s) < duration_s and not session.stop.is_set():
        node.check_running()
        samples.append(_sample(now_s, node.pid, reports))
        if now_s > due["reset"]:
            due["reset"] += options.reset_every_s
            reset.call_async(message_class("human3r_msgs/srv/Reset").Request())
        if now_s > due["cycle"]:
            due["cycle"] += options.cycle_every_s
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
        map_points=reports.map_points,
        people=reports.people,
        ids=len(reports.ids),
    )


class Camera:
    """Publishes a few pictures in turn from a thread of its own."""

    def __init__(self, node: Node, rate_hz: float, *, has_clip: bool) -> None:
        image = message_class("sensor_msgs/msg/Image")
        self._publisher = node.create_publisher(image, IMAGE_TOPIC, QoSProfile(depth=1))
        self._clock, self._period_s = node.get_clock(), 1.0 / rate_hz
        pictures = _clip() if has_clip else [_patches(number) for number in range(16)]
        self._images = [_message(image, pixels) for pixels in pictures]
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


def _clip() -> list[np.ndarray]:
    """The clip's first images, forwards and backwards, so that the camera never jumps."""
    images = list(islice(clip_images(*_SIZE_PX), _CLIP_IMAGES))
    return [*images, *images[-2:0:-1]]


def _patches(number: int) -> np.ndarray:
    """Patches of colour that drift."""
    coarse = np.random.default_rng(7).integers(0, 255, (6, 8, 3), np.uint8)
    return np.roll(cv2.resize(np.roll(coarse, number // 4, 1), _SIZE_PX), number, 1)


def _message(image: type, pixels: np.ndarray) -> Any:
    height, width = pixels.shape[:2]
    message = image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.frame_id = "camera"
    message.data = np.ascontiguousarray(pixels).tobytes()
    return message


class Reports:
    """Listens to every output; keeps counts, latencies, the map's size and people's ids."""

    def __init__(self, node: Node) -> None:
        self.frames = {"processed": 0, "rejected": 0, "failed": 0}
        self.map_points = self.people = 0
        self.ids: set[int] = set()
        self._latencies_s: list[float] = []
        kept = {"status": self._on_status, "humans": self._on_humans, "map": self._on_map}
        for name, (topic, message_type, profile, _) in TOPICS.items():
            node.create_subscription(
                message_type,
                topic.replace("~", NODE),
                kept.get(name, _ignore),
                profile,
                raw=name not in kept,
            )

    def _on_humans(self, message: Any) -> None:
        self.people = len(message.humans)
        self.ids.update(human.track_id for human in message.humans)

    def _on_map(self, message: Any) -> None:
        self.map_points = message.width * message.height

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
