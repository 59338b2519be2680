"""The node's publishers. Lazy: an output without subscriber costs no work."""

import copy
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

from human3r_msgs.msg import (
    FrameStatus,
    HumanArray,
    HumanMeshArray,
    MeshTopology,
    SkeletonInfo,
)
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.lifecycle import LifecycleNodeMixin
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from tf2_ros import TransformBroadcaster

from human3r.config import Settings
from human3r_ros import qos

_HEADER_BYTES = 100
"""About what surrounds the data of an image or a cloud."""
_MEASURE_EVERY_S = 2.0


class _Flow:
    def __init__(self) -> None:
        self.sent = 0
        self.read = 0
        self.size = 0
        self.measured_s = -_MEASURE_EVERY_S


class Traffic:
    """Counts what is sent; images and clouds by their data, others by serialising one every 2 s."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flows: dict[str, _Flow] = {}
        self._read_s = time.monotonic()

    def count(self, topic: str, message: Any) -> None:
        """Take note of a message that is being published."""
        now_s = time.monotonic()
        with self._lock:
            flow = self._flows.setdefault(topic, _Flow())
            is_due = now_s - flow.measured_s >= _MEASURE_EVERY_S
            if is_due:
                flow.measured_s = now_s
        data = getattr(message, "data", None)
        if isinstance(data, str) or not hasattr(data, "__len__"):
            size = len(serialize_message(message)) if is_due else flow.size
        else:
            size = len(data) * getattr(data, "itemsize", 1) + _HEADER_BYTES
        with self._lock:
            flow.size = size
            flow.sent += size

    def bytes_per_s(self) -> dict[str, float]:
        """Topic to bytes per second since the question before."""
        now_s = time.monotonic()
        with self._lock:
            span_s = max(now_s - self._read_s, 1e-3)
            self._read_s = now_s
            rates = {}
            for topic, flow in self._flows.items():
                rates[topic] = (flow.sent - flow.read) / span_s
                flow.read = flow.sent
            return rates


_STATUS_TYPE = "human3r_msgs/msg/FrameStatus"
TOPICS = {
    # name: (topic, type, QoS, settings that offer it, all of which must be set)
    "humans": ("~/humans", HumanArray, qos.HUMANS, ""),
    "skeleton": ("~/skeleton", SkeletonInfo, qos.LATCHED, ""),
    "status": ("~/status", FrameStatus, qos.STATUS, ""),
    "odometry": ("~/odometry", Odometry, qos.ODOMETRY, "publish.odometry"),
    "camera_info": ("~/camera_info", CameraInfo, qos.LARGE, ""),
    "color": ("~/color/image/compressed", CompressedImage, qos.LARGE, "publish.image"),
    "color_info": ("~/color/camera_info", CameraInfo, qos.LARGE, "publish.image"),
    "depth": ("~/depth/image", Image, qos.LARGE, "publish.depth"),
    "depth_info": ("~/depth/camera_info", CameraInfo, qos.LARGE, "publish.depth"),
    "confidence": ("~/depth/confidence", Image, qos.LARGE, "publish.depth"),
    "mask": ("~/mask/image", Image, qos.LARGE, "publish.mask"),
    "labels": ("~/mask/labels", Image, qos.LARGE, "publish.mask"),
    "points": ("~/points", PointCloud2, qos.LARGE, "publish.points"),
    "scene": ("~/scene/points", PointCloud2, qos.LARGE, "publish.scene"),
    "map": ("~/map/points", PointCloud2, qos.LATCHED, "publish.map map.enabled"),
    "map_grid": ("~/map/grid", OccupancyGrid, qos.LATCHED, "publish.map map.enabled"),
    "meshes": ("~/meshes", HumanMeshArray, qos.LARGE, "publish.meshes"),
    "mesh_topology": ("~/mesh_topology", MeshTopology, qos.LATCHED, "publish.meshes"),
}
"""Every topic the node may publish besides /tf."""


def made_by_human3r(node: Node) -> tuple[str, ...]:
    """What names of topics begin with that a node of human3r sends; they are no camera's."""
    found = {f"{node.get_fully_qualified_name()}/"}
    for topic, types in node.get_topic_names_and_types():
        if _STATUS_TYPE in types:
            found.add(topic.removesuffix("status"))
    return tuple(sorted(found))


def is_offered(name: str, settings: Settings) -> bool:
    """Whether the settings ask for an output of ``TOPICS``."""
    values = settings.flat()
    return all(values[setting] for setting in TOPICS[name][3].split())


def _events(topic: str, warn: Callable[[Hashable, str], None]):
    return qos.publisher_events(topic, lambda text: warn(("publisher", topic), text))


class Outputs:
    """Publishers from configure to cleanup; the worker alone publishes frame data."""

    def __init__(
        self,
        node: LifecycleNodeMixin,
        settings: Settings,
        warn: Callable[[Hashable, str], None],
        camera: str = "",
    ) -> None:
        """Offer what the settings say.

        Args:
            node: publishes.
            settings: which outputs.
            warn: takes a kind and a text about a reader that cannot match.
            camera: one of several of the node; ``~/humans`` becomes ``~/CAMERA/humans``.
        """
        under = f"~/{camera}/" if camera else "~/"
        self._node = node
        self._traffic = Traffic()
        self._publishers = {
            name: node.create_lifecycle_publisher(
                message_type,
                topic.replace("~/", under),
                # Overrides are written into the profile, which others share.
                copy.copy(profile),
                qos_overriding_options=qos.overridable(),
                event_callbacks=_events(node.resolve_topic_name(topic.replace("~/", under)), warn),
            )
            for name, (topic, message_type, profile, _) in TOPICS.items()
            if is_offered(name, settings)
        }
        self._broadcaster = TransformBroadcaster(node) if settings.tf.mode != "none" else None

    def is_wanted(self, name: str) -> bool:
        """Whether the output is offered and has a subscriber."""
        publisher = self._publishers.get(name)
        return publisher is not None and publisher.get_subscription_count() > 0

    def send(self, name: str, message) -> None:
        """Publish, when the output is offered."""
        publisher = self._publishers.get(name)
        if publisher is not None:
            self._traffic.count(name, message)
            publisher.publish(message)

    def facts(self) -> dict[str, tuple[int, float]]:
        """Topic to number of readers and bytes per second since the question before."""
        rates = self._traffic.bytes_per_s()
        # A copy: at cleanup they go while another thread may be asking.
        publishers = self._publishers.copy()
        return {
            publisher.topic_name: (publisher.get_subscription_count(), rates.get(name, 0.0))
            for name, publisher in publishers.items()
        }

    def send_transform(self, transform) -> None:
        """Broadcast one edge in a message of its own."""
        if self._broadcaster is not None:
            self._broadcaster.sendTransform([transform])

    def destroy(self) -> None:
        """Give everything back; harmless when repeated."""
        publishers, self._publishers = self._publishers, {}
        for publisher in publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        if self._broadcaster is not None:
            self._node.destroy_publisher(self._broadcaster.pub_tf)
            self._broadcaster = None
