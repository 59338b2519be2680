"""The node's publishers. Lazy: an output without subscriber costs no work."""

from collections.abc import Callable

from human3r_msgs.msg import FrameStatus, HumanArray, SkeletonInfo
from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecycleNodeMixin
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tf2_ros import TransformBroadcaster

from human3r.config import Settings
from human3r.types import FrameEstimate, Intrinsics, PointSet
from human3r_ros import qos, scene_messages

TOPICS = {
    # name: (topic, type, QoS, setting that offers it)
    "humans": ("~/humans", HumanArray, qos.HUMANS, ""),
    "skeleton": ("~/skeleton", SkeletonInfo, qos.LATCHED, ""),
    "status": ("~/status", FrameStatus, qos.STATUS, ""),
    "odometry": ("~/odometry", Odometry, qos.ODOMETRY, "publish.odometry"),
    "depth": ("~/depth/image", Image, qos.LARGE, "publish.depth"),
    "depth_info": ("~/depth/camera_info", CameraInfo, qos.LARGE, "publish.depth"),
    "mask": ("~/mask/image", Image, qos.LARGE, "publish.mask"),
    "points": ("~/points", PointCloud2, qos.LARGE, "publish.points"),
    "scene": ("~/scene/points", PointCloud2, qos.LARGE, "publish.scene"),
}
"""Every topic the node may publish besides /tf."""


class Outputs:
    """Publishers from configure to cleanup; the worker alone publishes frame data."""

    def __init__(
        self, node: LifecycleNodeMixin, settings: Settings, warn: Callable[[str], None]
    ) -> None:
        offered = settings.flat()
        self._node = node
        self._publishers = {
            name: node.create_lifecycle_publisher(
                message_type,
                topic,
                profile,
                qos_overriding_options=qos.overridable(),
                event_callbacks=qos.publisher_events(node.resolve_topic_name(topic), warn),
            )
            for name, (topic, message_type, profile, setting) in TOPICS.items()
            if not setting or offered[setting]
        }
        self._broadcaster = TransformBroadcaster(node) if settings.tf.mode == "odometry" else None

    def is_wanted(self, name: str) -> bool:
        """Whether the output is offered and somebody listens."""
        publisher = self._publishers.get(name)
        return publisher is not None and publisher.get_subscription_count() > 0

    def send(self, name: str, message) -> None:
        """Publish, when the output is offered."""
        publisher = self._publishers.get(name)
        if publisher is not None:
            publisher.publish(message)

    def send_transform(self, transform) -> None:
        """Broadcast one edge in a message of its own."""
        if self._broadcaster is not None:
            self._broadcaster.sendTransform([transform])

    def destroy(self) -> None:
        """Give everything back; harmless when repeated."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}
        if self._broadcaster is not None:
            self._node.destroy_publisher(self._broadcaster.pub_tf)
            self._broadcaster = None


class SceneOutputs:
    """Depth, mask and clouds of one stream, made only for those who listen."""

    def __init__(
        self,
        outputs: Outputs,
        points: Callable[[FrameEstimate], PointSet],
        scene_points: Callable[[FrameEstimate], PointSet],
    ) -> None:
        self._outputs = outputs
        self._points = points
        self._scene_points = scene_points

    def publish(
        self,
        estimate: FrameEstimate,
        depth_camera: Intrinsics,
        header: Header,
        mask_threshold: float,
    ) -> None:
        """Send what is listened to, all with ``header``."""
        out = self._outputs
        if out.is_wanted("depth") or out.is_wanted("depth_info"):
            out.send("depth_info", scene_messages.camera_info(depth_camera, header))
        if out.is_wanted("depth"):
            out.send("depth", scene_messages.depth_image(estimate, header))
        if out.is_wanted("mask"):
            out.send("mask", scene_messages.mask_image(estimate, mask_threshold, header))
        if out.is_wanted("points"):
            out.send(
                "points", scene_messages.cloud(self._points(estimate), header, with_labels=True)
            )
        if out.is_wanted("scene"):
            points = self._scene_points(estimate)
            out.send("scene", scene_messages.cloud(points, header, with_labels=False))
