"""The node's subscriptions from activate to deactivate: images and calibration."""

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from human3r.config import Settings
from human3r_ros import qos
from human3r_ros.calibration import CalibrationCache
from human3r_ros.intake import Arrival, Intake

_QUIET_S = 5.0
_ROOM = 10


class Inputs:
    """Callbacks that only store: bytes of images, and the latest calibrations."""

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        intake: Intake,
        calibrations: CalibrationCache,
    ) -> None:
        self._node = node
        self._group = group
        self._intake = intake
        self._calibrations = calibrations
        self._subscriptions: list = []
        self._loses_by_overflow = False

    def open(self, settings: Settings) -> None:
        """Subscribe."""
        policy = settings.input
        self._loses_by_overflow = policy.policy == "every"
        is_raw = policy.transport == "raw"
        # The suffix comes after remapping, so users remap `image` alone.
        suffix = "" if is_raw else "/compressed"
        image_topic = self._node.resolve_topic_name("image") + suffix
        image_type = Image if is_raw else CompressedImage
        # Where every image counts, it is our queue that overflows, and counts what it loses.
        depth = max(_ROOM, policy.queue) if self._loses_by_overflow else 1
        # Raw: an image is decoded by the worker, and only when its turn comes.
        self._subscribe(image_type, image_topic, self._on_image, qos.image_input(depth), raw=True)
        if policy.camera_info != "ignore":
            info_topic = self._node.resolve_topic_name("camera_info")
            self._subscribe(
                CameraInfo, info_topic, self._calibrations.store, qos.CAMERA_INFO_INPUT, raw=False
            )

    def close(self) -> None:
        """Unsubscribe; harmless when repeated."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def topics(self) -> list[str]:
        """Full names of the topics read, images first."""
        return [subscription.topic_name for subscription in self._subscriptions]

    def other_publishers(self) -> str:
        """What to say when more than one node publishes images; empty otherwise."""
        topics = self.topics()
        publishers = self._node.get_publishers_info_by_topic(topics[0]) if topics else []
        if len(publishers) < 2:
            return ""
        names = ", ".join(sorted({info.node_name for info in publishers}))
        return (
            f"{topics[0]} has {len(publishers)} publishers ({names}); expected one camera. Stop "
            "the others, or remap image."
        )

    def _subscribe(self, message_type, topic, callback, profile, *, raw: bool) -> None:
        warn = self._node.get_logger().warning
        self._subscriptions.append(
            self._node.create_subscription(
                message_type,
                topic,
                callback,
                profile,
                callback_group=self._group,
                event_callbacks=qos.subscription_events(topic, warn),
                qos_overriding_options=qos.overridable(),
                raw=raw,
            )
        )

    def _on_image(self, data: bytes) -> None:
        arrival = Arrival(bytes(data), self._node.get_clock().now().nanoseconds)
        if not self._intake.put(arrival) and self._loses_by_overflow:
            self._node.get_logger().error(
                f"the queue of {self._intake.capacity} images is full and one was lost; expected "
                "room for every image. Play slower, or raise input.queue.",
                throttle_duration_sec=_QUIET_S,
            )
