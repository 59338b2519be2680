"""The node's subscriptions from activate to deactivate: images and calibration."""

import copy
import math
import time
from collections.abc import Callable, Hashable

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.io.image_messages import is_rectified_topic
from human3r_ros import qos
from human3r_ros.calibration import CalibrationCache
from human3r_ros.depth_images import COMPRESSED_SUFFIXES, DepthImages
from human3r_ros.diagnostic_facts import InputFacts
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
        depths: DepthImages,
        warn: Callable[[Hashable, str], None],
    ) -> None:
        """Subscribe with ``open``.

        Args:
            node: subscribes.
            group: callback group of the subscriptions.
            intake: takes the images.
            calibrations: takes the calibrations.
            depths: takes the depth images, where scale.mode asks for them.
            warn: takes a kind and a text about a publisher that cannot match.
        """
        self._warn = warn
        self._node = node
        self._group = group
        self._intake = intake
        self._calibrations = calibrations
        self._depths = depths
        self._subscriptions: list = []
        self._loses_by_overflow = False
        self._last_image_s = -math.inf
        self._depth_topic = ""

    def open(self, settings: Settings) -> None:
        """Subscribe.

        Raises:
            ConfigError: the images need no undistortion, as their topic's name says.
        """
        policy = settings.input
        self._loses_by_overflow = policy.policy == "every"
        is_raw = policy.transport == "raw"
        # The suffix comes after remapping, so users remap `image` alone.
        suffix = "" if is_raw else "/compressed"
        image_topic = self._node.resolve_topic_name("image") + suffix
        is_rectified = is_rectified_topic(image_topic.removesuffix(suffix))
        self._calibrations.uses_p = policy.camera_matrix == "P" or (
            policy.camera_matrix == "auto" and is_rectified
        )
        image_type = Image if is_raw else CompressedImage
        if self._calibrations.uses_p and policy.undistort:
            raise ConfigError(
                f"input.undistort is set, but {image_topic} is named as rectified images are, "
                "which have no distortion left; expected one of the two. Set input.undistort to "
                "false, or input.camera_matrix to K if the images are not rectified."
            )
        # Where every image counts, it is our queue that overflows, and counts what it loses.
        depth = max(_ROOM, policy.queue) if self._loses_by_overflow else 1
        # Raw: an image is decoded by the worker, and only when its turn comes.
        self._subscribe(image_type, image_topic, self._on_image, qos.image_input(depth), raw=True)
        if policy.camera_info != "ignore":
            info_topic = self._node.resolve_topic_name("camera_info")
            self._subscribe(
                CameraInfo, info_topic, self._calibrations.store, qos.CAMERA_INFO_INPUT, raw=False
            )
        if settings.scale.mode == "depth":
            depth_topic = self._depth_topic = self._node.resolve_topic_name("depth")
            self._subscribe(Image, depth_topic, self._depths.store, qos.image_input(5), raw=False)

    def close(self) -> None:
        """Unsubscribe; harmless when repeated."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def topics(self) -> list[str]:
        """Full names of the topics read, images first."""
        return [subscription.topic_name for subscription in self._subscriptions]

    def facts(self, now_s: float, active_s: float) -> InputFacts:
        """The image topic as it is now.

        Args:
            now_s: steady clock.
            active_s: since activation.
        """
        subscription = self._subscriptions[0]
        topic, publishers = subscription.topic_name, []
        ours = subscription.qos_profile
        words, unmatched = [f"{qos.in_words(ours)} here"], []
        for info in self._node.get_publishers_info_by_topic(topic):
            name = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            publishers.append(name)
            words.append(f"{qos.in_words(info.qos_profile)} from {name}")
            if reason := qos.mismatch(info.qos_profile, ours):
                unmatched.append(f"{topic}: nothing arrives from {name}: {reason}")
        silent_s = min(active_s, now_s - self._last_image_s)
        return InputFacts(topic, publishers, "; ".join(words), unmatched, silent_s)

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

    def look_for_depth(self) -> None:
        """See why no depth image can come, where scale.mode asks for them."""
        topic = self._depth_topic
        if not topic:
            return
        publishers = self._node.get_publishers_info_by_topic(topic)
        kinds = sorted({info.topic_type for info in publishers})
        beside = [topic + suffix for suffix in COMPRESSED_SUFFIXES]
        self._depths.see_topic(topic, kinds, [t for t in beside if self._node.count_publishers(t)])

    def _subscribe(self, message_type, topic, callback, profile, *, raw: bool) -> None:
        def warn(text: str) -> None:
            self._warn(("subscription", topic), text)

        self._subscriptions.append(
            self._node.create_subscription(
                message_type,
                topic,
                callback,
                # Overrides are written into the profile, which others share.
                copy.copy(profile),
                callback_group=self._group,
                event_callbacks=qos.subscription_events(topic, warn),
                qos_overriding_options=qos.overridable(),
                raw=raw,
            )
        )

    def _on_image(self, data: bytes) -> None:
        self._last_image_s = time.monotonic()
        arrival = Arrival(bytes(data), self._node.get_clock().now().nanoseconds)
        if not self._intake.put(arrival) and self._loses_by_overflow:
            self._node.get_logger().error(
                f"the queue of {self._intake.capacity} images is full and one was lost; expected "
                "room for every image. Play slower, or raise input.queue.",
                throttle_duration_sec=_QUIET_S,
            )
