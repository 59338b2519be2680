"""The node's publishers. Lazy: an output without subscriber costs no work."""

import copy
from collections.abc import Callable, Hashable

from human3r_msgs.msg import (
    FrameStatus,
    HumanArray,
    HumanMeshArray,
    MeshTopology,
    SkeletonInfo,
)
from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecycleNodeMixin
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tf2_ros import TransformBroadcaster

from human3r.config import Settings
from human3r_ros import qos
from human3r_ros.traffic import Traffic

TOPICS = {
    # name: (topic, type, QoS, settings that offer it, all of which must be set)
    "humans": ("~/humans", HumanArray, qos.HUMANS, ""),
    "skeleton": ("~/skeleton", SkeletonInfo, qos.LATCHED, ""),
    "status": ("~/status", FrameStatus, qos.STATUS, ""),
    "odometry": ("~/odometry", Odometry, qos.ODOMETRY, "publish.odometry"),
    "camera_info": ("~/camera_info", CameraInfo, qos.LARGE, ""),
    "depth": ("~/depth/image", Image, qos.LARGE, "publish.depth"),
    "depth_info": ("~/depth/camera_info", CameraInfo, qos.LARGE, "publish.depth"),
    "confidence": ("~/depth/confidence", Image, qos.LARGE, "publish.depth"),
    "mask": ("~/mask/image", Image, qos.LARGE, "publish.mask"),
    "labels": ("~/mask/labels", Image, qos.LARGE, "publish.mask"),
    "points": ("~/points", PointCloud2, qos.LARGE, "publish.points"),
    "scene": ("~/scene/points", PointCloud2, qos.LARGE, "publish.scene"),
    "map": ("~/map/points", PointCloud2, qos.LATCHED, "publish.map map.enabled"),
    "meshes": ("~/meshes", HumanMeshArray, qos.LARGE, "publish.meshes"),
    "mesh_topology": ("~/mesh_topology", MeshTopology, qos.LATCHED, "publish.meshes"),
}
"""Every topic the node may publish besides /tf."""


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
    ) -> None:
        """Offer what the settings say.

        Args:
            node: publishes.
            settings: which outputs.
            warn: takes a kind and a text about a reader that cannot match.
        """
        self._node = node
        self._traffic = Traffic()
        self._publishers = {
            name: node.create_lifecycle_publisher(
                message_type,
                topic,
                # Overrides are written into the profile, which others share.
                copy.copy(profile),
                qos_overriding_options=qos.overridable(),
                event_callbacks=_events(node.resolve_topic_name(topic), warn),
            )
            for name, (topic, message_type, profile, _) in TOPICS.items()
            if is_offered(name, settings)
        }
        self._broadcaster = TransformBroadcaster(node) if settings.tf.mode != "none" else None

    def is_wanted(self, name: str) -> bool:
        """Whether the output is offered and somebody listens."""
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
