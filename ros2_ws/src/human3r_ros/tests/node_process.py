"""A node in a process of its own, and a camera and listener in this one, over real DDS."""

import os
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from human3r_msgs.msg import FrameStatus, HumanArray, SkeletonInfo
from human3r_msgs.srv import Reset
from human3r_ros import convert
from human3r_ros.commands.lifecycle_client import LifecycleClient
from human3r_ros.outputs import TOPICS
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from ros2_ws.src.human3r_ros.tests.running_process import (
    Peer,
    RunningProcess,
    start_fresh,
    wait_until,
)
from ros2_ws.src.human3r_ros.tests.warm_process import start_warm

SECOND_NS = 1_000_000_000
FRAME = "camera_optical"


class NodeProcess(RunningProcess):
    """``human3r live`` with seeded weights, or without ``model_files`` with what comes along.

    ``is_warm``: begin with everything loaded, where the start is not what is tested.
    """

    def __init__(self, folder: Path, environment, model_files, *arguments, is_warm=False):
        command = [sys.executable, "-m", "human3r_ros.commands.live", "--image", "/cam/image"]
        if model_files is not None:
            weights, body = model_files
            command += ["--weights", str(weights), "--body-model", str(body)]
            # Seeded weights move their camera whatever they see; features would stand still. Their
            # focal length is none that a depth network could use.
            for part in ("odometry", "people", "scene"):
                command += ["--set", f"{part}.source=network"]
        # Tests share their machine; how long frames take is no reason to leave anything out.
        command += ["--set", "diagnostics.max_latency_s=0", *arguments]
        super().__init__(
            command,
            folder / f"node{time.monotonic_ns()}.log",
            {**os.environ, **environment, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            start_warm if is_warm else start_fresh,
        )

    def wait_for_log(self, text: str, timeout_s: float = 180.0) -> None:
        def said():
            assert self.process.poll() is None or text in self.log(), self.log()
            return text in self.log()

        wait_until(said, timeout_s, f"{text!r} in the log")


class Bench(Peer):
    """Publishes as a camera would and keeps everything the node sends, by topic name."""

    def __init__(self, *, transport: str = "raw", topic: str = "/cam/image"):
        super().__init__()
        self.order = []
        self._sent = 0
        self._lock = threading.Lock()
        kind = Image if transport == "raw" else CompressedImage
        topic += "" if transport == "raw" else "/compressed"
        self.images = self.node.create_publisher(kind, topic, QoSProfile(depth=5))
        self.infos = self.node.create_publisher(CameraInfo, "/cam/camera_info", 5)
        self._subscriptions = {}
        # Sent first by the node; of what waits together the older subscription is served first.
        self._listen("tf", TFMessage, "/tf", 100)
        for name, message_type in (("humans", HumanArray), ("status", FrameStatus)):
            self._listen(name, message_type, TOPICS[name][0].replace("~", "/human3r"), 50)
        self._listen("skeleton", SkeletonInfo, "/human3r/skeleton", TOPICS["skeleton"][2])
        self.lifecycle = LifecycleClient(self.node, "/human3r")

    def _listen(self, name, message_type, topic, profile):
        def keep(message):
            with self._lock:
                self.received[name].append(message)
                self.order.append((name, message))

        self._subscriptions[name] = self.node.create_subscription(
            message_type, topic, keep, profile
        )

    def listen_to(self, name):
        """Also subscribe to one of the large outputs."""
        topic, message_type, profile, _ = TOPICS[name]
        self._listen(name, message_type, topic.replace("~", "/human3r"), profile)

    def connect(self):
        """Wait until node and bench have found each other in both directions."""
        wait_until(lambda: self.images.get_subscription_count() > 0, 20, "image subscription")
        wait_until(
            lambda: self.node.count_publishers("/human3r/status") > 0, 20, "status publisher"
        )
        wait_for_matches(self.node)

    def now_ns(self) -> int:
        return self.node.get_clock().now().nanoseconds

    def send(self, pixels=None, stamp_ns=None, frame_id=FRAME, encoding="rgb8", **changes):
        """Publish one raw image; returns its stamp."""
        if pixels is None:
            pixels = scene()
            # No camera sends the same image twice.
            self._sent += 1
            pixels[-1, -1] = self._sent % 256
        stamp_ns = self.now_ns() if stamp_ns is None else stamp_ns
        rows = pixels.reshape(len(pixels), -1)
        message = Image(
            header=convert.header(stamp_ns, frame_id),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            step=rows.shape[1],
            data=rows.tobytes(),
        )
        for name, value in changes.items():
            setattr(message, name, value)
        self.images.publish(message)
        return stamp_ns

    def send_compressed(self, data, stamp_ns=None, frame_id=FRAME, kind="jpeg"):
        stamp_ns = self.now_ns() if stamp_ns is None else stamp_ns
        self.images.publish(
            CompressedImage(header=convert.header(stamp_ns, frame_id), format=kind, data=data)
        )
        return stamp_ns

    def status_of(self, stamp_ns, timeout_s=30.0) -> FrameStatus:
        """The report about the image with this stamp."""
        return self.message("status", stamp_ns, timeout_s)

    def message(self, name, stamp_ns, timeout_s=30.0):
        def find():
            with self._lock:
                for message in reversed(self.received[name]):
                    if convert.ns_from_time(message.header.stamp) == stamp_ns:
                        return message
            return None

        return wait_until(find, timeout_s, f"a message on {name} for {stamp_ns}")

    def edges(self):
        """All that came on /tf so far."""
        with self._lock:
            return [edge for message in self.received["tf"] for edge in message.transforms]

    def transform(self, stamp_ns, timeout_s=30.0):
        """The edge on /tf with the stamp of an image; its callback may run after the report's."""

        def find():
            stamped = (e for e in self.edges() if convert.ns_from_time(e.header.stamp) == stamp_ns)
            return next(stamped, None)

        return wait_until(find, timeout_s, f"a transform for {stamp_ns}")

    def process(self, *args, **kwargs):
        """Send an image and wait for its report."""
        return self.status_of(self.send(*args, **kwargs))

    def call(self, service_type, name, request, timeout_s=20.0):
        client = self.node.create_client(service_type, f"/human3r/{name}")
        try:
            assert client.wait_for_service(timeout_sec=timeout_s), name
            future = client.call_async(request)
            wait_until(future.done, timeout_s, f"the answer of {name}")
            return future.result()
        finally:
            self.node.destroy_client(client)


def wait_for_matches(node, count=1):
    """Until so many active human3r nodes send to all that ``node`` has subscribed to.

    They learn of subscriptions in their order, and a skeleton waits for whoever comes. ``node``
    learns of their publishers in their order, and services come after all of those.
    """
    name, kind, _, _ = TOPICS["skeleton"]
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    heard = []
    last = node.create_subscription(kind, name.replace("~", "/human3r"), heard.append, latched)
    reset = node.create_client(Reset, "/human3r/reset")
    wait_until(lambda: len(heard) >= count, 20, "skeleton")
    wait_until(reset.service_is_ready, 20, "services")
    node.destroy_subscription(last)
    node.destroy_client(reset)


@contextmanager
def running_node(
    folder: Path, environment, model_files, *arguments, listen=(), transport="raw", topic=None
):
    """A node that is active, and a bench that is connected with it and listens to these outputs."""
    extra = [] if transport == "raw" else ["--compressed"]
    extra += [] if topic is None else ["--image", topic]
    process = NodeProcess(folder, environment, model_files, *extra, *arguments, is_warm=True)
    bench = Bench(transport=transport, topic=topic or "/cam/image")
    try:
        for name in listen:
            bench.listen_to(name)
        process.wait_for_log("is active", 240)
        bench.connect()
        yield process, bench
    finally:
        bench.close()
        process.close()


def scene(width=80, height=60, seed=0):
    """A picture with something in it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (6, 8, 3), np.uint8)
    rows = np.arange(height) * 6 // height
    cols = np.arange(width) * 8 // width
    return np.ascontiguousarray(coarse[rows][:, cols])


def intrinsics_info(fx=90.0, width=80, height=60, frame_id=FRAME, **fields):
    k = np.array([fx, 0, width / 2, 0, fx, height / 2, 0, 0, 1], np.float64)
    return CameraInfo(
        **{
            "header": convert.header(1, frame_id),
            "width": width,
            "height": height,
            "k": k,
            **fields,
        }
    )
