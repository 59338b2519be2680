"""Latency of the running node from image stamp to publication, and its cost beside the network.

    python benchmarks/node_latency.py [--seconds 20] [--json FILE]

Node and player are processes of their own and speak DDS on this machine only, as in the demo; a
subscriber listens to every output, so nothing is left out as unwanted. The table says, per image
size, percentiles of the time from stamp to publish and of the node's own stages.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from clip import write_clip
from human3r_ros.commands.child import Child, wait_until
from human3r_ros.commands.client_session import client_session
from human3r_ros.commands.demo_inputs import DemoModel, find_model
from human3r_ros.commands.lifecycle_client import ACTIVE, LifecycleClient
from human3r_ros.commands.message_class import message_class
from human3r_ros.commands.private_domain import private_environment
from human3r_ros.commands.report import STAGES, percentiles
from rclpy.qos import QoSProfile
from scaffold import described, parser, write_result

SIZES = ((640, 480), (1280, 720))
NODE, IMAGE_TOPIC = "/human3r", "/camera/image_raw"
LISTENED = {
    "humans": "human3r_msgs/msg/HumanArray",
    "odometry": "nav_msgs/msg/Odometry",
    "depth/image": "sensor_msgs/msg/Image",
    "mask/image": "sensor_msgs/msg/Image",
    "points": "sensor_msgs/msg/PointCloud2",
    "scene/points": "sensor_msgs/msg/PointCloud2",
}
_PROCESSED, _DEGRADED = 0, 1
_WARM_UP_FRAMES = 5


def main() -> int:
    command = parser(__doc__, with_json=True)
    command.add_argument("--seconds", type=float, default=20.0, help="per image size")
    command.add_argument("--rate-hz", type=int, default=10, help="images sent per second")
    command.add_argument("--weights", default="", help="default: those that come with human3r")
    command.add_argument("--body-model", default="", help="default: the free body of human3r")
    options = command.parse_args()
    model = find_model(options.weights, options.body_model)
    result = described(**model.summary(), rate_hz_sent=options.rate_hz, sizes={})
    os.environ.update(private_environment())
    with client_session("node_latency", spin=True) as session:
        for width_px, height_px in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                clip = write_clip(
                    Path(folder) / "clip.mp4",
                    width_px=width_px,
                    height_px=height_px,
                    rate_hz=options.rate_hz,
                    duration_s=options.seconds,
                )
                statuses = measure(session.node, model, clip, Path(folder))
            result["sizes"][f"{width_px}x{height_px}"] = describe(statuses)
    print_table(result)
    write_result(options.json, result)
    return 0


def measure(node: Any, model: DemoModel, clip: Path, folder: Path) -> list[Any]:
    """The status of every frame of one run."""
    statuses: list[Any] = []
    status_type = message_class("human3r_msgs/msg/FrameStatus")
    readers = [
        node.create_subscription(
            status_type, f"{NODE}/status", statuses.append, QoSProfile(depth=50)
        )
    ]
    for topic, typename in LISTENED.items():
        readers.append(
            node.create_subscription(
                message_class(typename), f"{NODE}/{topic}", _ignore, QoSProfile(depth=1), raw=True
            )
        )
    arguments = [
        "--image", IMAGE_TOPIC, "--weights", str(model.weights),
        "--body-model", str(model.body), "--tf-mode", "odometry",
        # Nothing is left out: the table is to say what everything costs.
        "--set", "diagnostics.max_latency_s=0",
    ]  # fmt: skip
    live = Child("node", ["live", *arguments], folder / "node.log", {})
    children = [live]
    try:
        lifecycle = LifecycleClient(node, NODE)
        wait_until(lambda: lifecycle.state() == ACTIVE, children, 300, "activation")
        player = Child(
            "player",
            ["play", str(clip), "--topic", IMAGE_TOPIC, "--fov-deg", "58", "--wait-for-subscriber"],
            folder / "player.log",
            {},
        )
        children.append(player)
        while not player.has_ended:
            live.check_running()
            time.sleep(0.1)
        player.check_success()
        time.sleep(2.0)
        live.finish(20)
    finally:
        for child in children:
            child.kill()
        for reader in readers:
            node.destroy_subscription(reader)
    return [s for s in statuses if s.outcome in (_PROCESSED, _DEGRADED)][_WARM_UP_FRAMES:]


def _ignore(cdr: bytes) -> None:
    """The message only has to arrive."""


def describe(statuses: list[Any]) -> dict[str, Any]:
    """Percentiles over all frames; seconds."""
    outside = [
        sum(getattr(s, stage) for stage in STAGES if stage not in ("network", "bodies"))
        for s in statuses
    ]
    return {
        "frames": len(statuses),
        "stamp_to_take_s": percentiles([s.age_taken for s in statuses]),
        "stamp_to_publish_s": percentiles([s.age_published for s in statuses]),
        "outside_network_s": percentiles(outside),
        **{f"{stage}_s": percentiles([getattr(s, stage) for s in statuses]) for stage in STAGES},
    }


def print_table(result: dict[str, Any]) -> None:
    hardware, versions = result["hardware"], result["versions"]
    print(f"{result['date']}  {hardware['processor']}, {hardware['cores']} cores,", end=" ")
    print(f"GPU {hardware['gpu']}; torch {versions.get('torch')}, commit {versions['commit']}")
    print(f"network {result['weights']['variant']}; milliseconds\n")
    print(f"{'':24}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}")
    for size, numbers in result["sizes"].items():
        print(f"{size}, {numbers['frames']} frames of {result['rate_hz_sent']} Hz")
        for name, found in numbers.items():
            if isinstance(found, dict):
                row = "".join(f"{1000 * found[key]:9.1f}" for key in ("p50", "p95", "p99", "max"))
                print(f"  {name.removesuffix('_s').replace('_', ' '):22}{row}")


if __name__ == "__main__":
    sys.exit(main())
