"""What one image runs through, from the node's image callback to the HumanArray that is sent.

    python benchmarks/frame_path.py              # the default: networks of single images
    python benchmarks/frame_path.py --network    # people, depth and camera of the recurrent network

A node in this process gets frames of the demo clip as a topic. One of them is traced: which files
of the project run, how many functions, and how often the running file changes. Timers and other
callbacks of the node that run meanwhile are left out.
"""

import sys
import threading
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import human3r_ros  # noqa: F401 - settles the client library before anything imports rclpy.
import numpy as np
import rclpy
import scaffold
from human3r_ros import convert, scene_messages
from human3r_ros.node import Human3RNode
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from human3r.demo_clip import DEMO_CLIP_CAMERA, demo_clip_path
from human3r.io import open_source

_ROOTS = ("human3r", "human3r_ros")
_WARM_FRAMES = 4
"""Before the traced one: the first frames build what later ones reuse."""
_WAIT_S = 120.0
_EXECUTORS = ("rclpy_lite_executor", "ThreadPoolExecutor")
"""How the names of an executor's threads begin."""
_SOURCES = ("people.source", "scene.source", "odometry.source")


class PathTracer:
    """Notes every call of the project's functions between two of them."""

    def __init__(self) -> None:
        self.calls: dict[int, list[tuple[str, str]]] = defaultdict(list)
        """Thread to the file and the name of each function called."""
        self.is_armed = False
        self.is_done = threading.Event()
        self._is_tracing = False
        self._callback: threading.Thread | None = None
        """The thread inside the image callback."""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "return") or self.is_done.is_set():
            return
        file = project_file(frame.f_code.co_filename)
        if not file:
            return
        name = frame.f_code.co_qualname if sys.version_info >= (3, 11) else frame.f_code.co_name
        thread = threading.current_thread()
        if self.is_armed and file.endswith("human3r_ros/inputs.py") and name.endswith("_on_image"):
            self._is_tracing = True
            self._callback = thread if event == "call" else None
        is_part = thread is self._callback or not thread.name.startswith(_EXECUTORS)
        if event == "return" or not self._is_tracing or not is_part:
            return
        self.calls[threading.get_ident()].append((file, name))
        is_sent = file.endswith("human3r_ros/outputs.py") and frame.f_locals.get("name") == "humans"
        if is_sent and name.endswith("send"):
            self.is_done.set()


def project_file(path: str) -> str:
    """The path below the package's parent; empty for files of other projects."""
    parts = Path(path).parts
    for number in range(len(parts) - 2, 0, -1):
        # The package's folder is the outermost of that name, below src or the ROS package.
        if parts[number] in _ROOTS and parts[number - 1] in ("src", "human3r_ros"):
            return "/".join(parts[number:])
    return ""


def wait_for(condition: Any, what: str) -> None:
    """Until ``condition`` holds.

    Raises:
        TimeoutError: it does not.
    """
    end_s = time.monotonic() + _WAIT_S
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(f"no {what} within {_WAIT_S:.0f} s")
        time.sleep(0.02)


def main() -> None:
    """Trace one frame and print what it ran through."""
    parser = scaffold.parser(__doc__)
    parser.add_argument("--network", action="store_true", help="without networks of single images")
    names = _SOURCES if parser.parse_args().network else ()
    tracer = PathTracer()
    threading.setprofile(tracer)
    rclpy.init()
    overrides = [Parameter(name, value="network") for name in names]
    node, camera = Human3RNode(overrides=overrides), Node("camera")
    images = camera.create_publisher(Image, "image", 1)
    infos = camera.create_publisher(CameraInfo, "camera_info", 1)
    executor = MultiThreadedExecutor(num_threads=3)
    executor.add_node(node)
    executor.add_node(camera)
    threading.Thread(target=executor.spin, daemon=True).start()
    node.trigger_configure()
    node.trigger_activate()
    wait_for(lambda: images.get_subscription_count() > 0, "subscription")
    with open_source(str(demo_clip_path()), max_frames=_WARM_FRAMES + 1) as source:
        for number, frame in enumerate(source):
            tracer.is_armed = number == _WARM_FRAMES
            stamp_ns = time.time_ns()
            header = convert.header(stamp_ns, "camera")
            infos.publish(scene_messages.camera_info(DEMO_CLIP_CAMERA, header))
            images.publish(_image(frame.image, header))
            processed = number + 1
            wait_for(lambda n=processed: _processed(node) >= n, "answer")
    report(tracer)
    node.trigger_deactivate()
    executor.shutdown(timeout_sec=1.0)
    rclpy.try_shutdown()


def _image(pixels: np.ndarray, header: Any) -> Image:
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).tobytes()
    return Image(
        header=header, height=height, width=width, encoding="rgb8", step=3 * width, data=data
    )


def _processed(node: Human3RNode) -> int:
    return node._processor._queue.counters().processed  # type: ignore[union-attr]


def report(tracer: PathTracer) -> None:
    """Files in the order in which they first ran, with the number of functions in each."""
    functions: dict[str, set[str]] = defaultdict(set)
    changes = 0
    for calls in tracer.calls.values():
        for file, name in calls:
            functions[file].add(name)
        changes += sum(a[0] != b[0] for a, b in pairwise(calls))
    for file, names in functions.items():
        print(f"{len(names):4d}  {file}")
    total = sum(map(len, functions.values()))
    rooms: dict[str, int] = defaultdict(int)
    for file in functions:
        rooms["/".join(file.split("/")[:-1])] += 1
    print(", ".join(f"{room} {count}" for room, count in rooms.items()))
    print(f"{len(functions)} files, {total} functions, {changes} changes of the running file")


if __name__ == "__main__":
    main()
