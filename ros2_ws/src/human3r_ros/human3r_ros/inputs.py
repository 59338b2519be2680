"""The node's subscriptions.

From activate to deactivate: images, calibration and depth. From configure to cleanup: TF, and until
activation which camera there is.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from human3r.camera.calibration import CalibrationCache, uses_p
from human3r.config import Settings
from human3r_ros import qos
from human3r_ros.diagnostics.facts import InputFacts
from human3r_ros.outputs import made_by_human3r
from human3r_ros.transforms import COMPRESSED_SUFFIXES, DepthImages, FrameTree, needs_tf
from human3r_ros.worker import Arrival, CountedStream

_QUIET_S = 5.0
_WAIT_S = 2.0
_RARELY_S = 30.0
_ROOM = 10
_SUFFIX = "/compressed"
_RAW, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_COMPRESSED_ADVICE = (
    "add --compressed to `human3r live`, compressed:=true to the launch file, or set "
    "input.transport to compressed; image is then named without /compressed"
)
_RAW_ADVICE = (
    "leave --compressed and compressed:=true out, or set input.transport to raw; image is then "
    "the topic itself"
)
_MOST_TOPICS = 5


def names_depth(node: Node) -> bool:
    """Whether whoever started the node says where depth comes from, by remapping topic depth."""
    return node.resolve_topic_name("depth") != f"{node.get_namespace().rstrip('/')}/depth"


class Inputs:
    """Callbacks that only store: bytes of images, and the latest calibrations."""

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        queue: CountedStream,
        calibrations: CalibrationCache,
        depths: DepthImages,
        warn: Callable[..., None],
        topics: tuple[str, str] = ("image", "camera_info"),
    ) -> None:
        """Subscribe with ``open``.

        Args:
            node: subscribes.
            group: callback group of the subscriptions.
            queue: takes the images.
            calibrations: takes the calibrations.
            depths: takes the depth images, where scale.mode asks for them: depth does, and fused
                where ``names_depth``.
            warn: ``ThrottledLog.warn``; takes what is wrong with the publishers.
            topics: images, without the suffix of compressed ones, and calibrations.
        """
        self._image, self._info = topics
        self._warn = warn
        self._node = node
        self._group = group
        self._queue = queue
        self._calibrations = calibrations
        self._depths = depths
        self._subscriptions: list = []
        self._camera_info: CameraInfoInput | None = None
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
        suffix = "" if is_raw else _SUFFIX
        image_topic = self._node.resolve_topic_name(self._image) + suffix
        self._calibrations.uses_p = uses_p(policy, image_topic.removesuffix(suffix))
        image_type = Image if is_raw else CompressedImage
        # Where every image counts, it is our queue that overflows, and counts what it loses.
        depth = max(_ROOM, policy.queue) if self._loses_by_overflow else 1
        # First, so that of a calibration and an image that wait together the image is the second.
        if policy.camera_info != "ignore":
            self._camera_info = CameraInfoInput(
                self._node,
                self._group,
                self._calibrations.store,
                self._warn_of(self._info),
                self._info,
            )
            self._calibrations.source = self._camera_info.in_words
        # Raw: an image is decoded by the worker, and only when its turn comes.
        self._subscribe(image_type, image_topic, self._on_image, qos.image_input(depth), raw=True)
        depth_topic = self._node.resolve_topic_name("depth")
        mode = settings.scale.mode
        if mode == "depth" or (mode == "fused" and names_depth(self._node)):
            self._depth_topic = depth_topic
            self._subscribe(Image, depth_topic, self._depths.store, qos.image_input(5), raw=False)

    def close(self) -> None:
        """Unsubscribe; harmless when repeated."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        if self._camera_info is not None:
            self._camera_info.close()

    def topics(self) -> list[str]:
        """Full names of the topics read, images first."""
        others = [self._camera_info.topic] if self._camera_info is not None else []
        names = [subscription.topic_name for subscription in self._subscriptions]
        return [*names[:1], *others, *names[1:]]

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
        cause = self.wrong_kind() if silent_s > _WAIT_S else ""
        if not cause and (trouble := other_definitions(self._node, topic)):
            unmatched.append(trouble)
        return InputFacts(topic, publishers, "; ".join(words), unmatched, silent_s, cause)

    def check(self, active_s: float) -> None:
        """Once per second: what the graph shows beside the messages.

        Args:
            active_s: since activation.
        """
        if not self._subscriptions:
            return
        if self._camera_info is not None:
            self._camera_info.follow()
        self._look_for_depth()
        if trouble := self._other_publishers():
            self._warn("publishers", trouble)
        # What is wrong with images is reported below.
        for topic in self.topics()[1:]:
            if trouble := other_definitions(self._node, topic):
                self._warn(("subscription", topic), trouble, period_s=_RARELY_S)
        silent_s = min(active_s, time.monotonic() - self._last_image_s)
        if silent_s > _QUIET_S:
            topic = self._subscriptions[0].topic_name
            advice = self.wrong_kind() or self._nobody()
            if advice:
                text = f"no image on {topic} for {silent_s:.0f} s; expected a stream. {advice}"
                self._warn(("no_image", advice), text, period_s=_RARELY_S)

    def wrong_kind(self) -> str:
        """Why no image comes although there is a camera: its messages are of another type."""
        ours = self._subscriptions[0]
        topic, wanted = ours.topic_name, "sensor_msgs/msg/" + ours.msg_type.__name__
        found = {info.topic_type for info in self._node.get_publishers_info_by_topic(topic)}
        is_raw = ours.msg_type is Image
        if found and wanted not in found:
            kinds = ", ".join(sorted(found))
            if kinds == _COMPRESSED and is_raw:
                return f"The topic carries {kinds}: {_COMPRESSED_ADVICE}."
            if kinds == _RAW:
                return f"The topic carries {kinds}: {_RAW_ADVICE}."
            return f"The topic carries {kinds}; expected {wanted}. Remap image to the camera's."
        other = topic + _SUFFIX if is_raw else topic.removesuffix(_SUFFIX)
        if not found and other != topic and self._node.count_publishers(other):
            return f"Only {other} is published: {_COMPRESSED_ADVICE if is_raw else _RAW_ADVICE}."
        return ""

    def _nobody(self) -> str:
        """What to say where our topic has no publisher; empty where it has one."""
        if self._node.count_publishers(self._subscriptions[0].topic_name):
            return ""
        topics = [
            topic
            for topic, types in self._node.get_topic_names_and_types()
            if {_RAW, _COMPRESSED} & set(types)
            and not topic.startswith(made_by_human3r(self._node))
            and self._node.count_publishers(topic)
        ]
        there = (
            f"; there are images on {', '.join(sorted(topics)[:_MOST_TOPICS])}" if topics else ""
        )
        return f"It has no publisher{there}. Start the camera, or remap image."

    def _other_publishers(self) -> str:
        """What to say when more than one node publishes images; empty otherwise."""
        topics = self.topics()
        publishers = self._node.get_publishers_info_by_topic(topics[0])
        if len(publishers) < 2:
            return ""
        names = ", ".join(sorted({info.node_name for info in publishers}))
        return (
            f"{topics[0]} has {len(publishers)} publishers ({names}); expected one camera. Stop "
            "the others, or remap image."
        )

    def _look_for_depth(self) -> None:
        """See why no depth image can come, where scale.mode asks for them."""
        topic = self._depth_topic
        if not topic:
            return
        publishers = self._node.get_publishers_info_by_topic(topic)
        kinds = sorted({info.topic_type for info in publishers})
        beside = [topic + suffix for suffix in COMPRESSED_SUFFIXES]
        self._depths.check_topic(
            topic, kinds, [t for t in beside if self._node.count_publishers(t)]
        )

    def _subscribe(self, message_type, topic, callback, profile, *, raw: bool) -> None:
        self._subscriptions.append(
            self._node.create_subscription(
                message_type,
                topic,
                callback,
                # Overrides are written into the profile, which others share.
                copy.copy(profile),
                callback_group=self._group,
                event_callbacks=qos.subscription_events(topic, self._warn_of(topic)),
                qos_overriding_options=qos.overridable(),
                raw=raw,
            )
        )

    def _warn_of(self, topic: str) -> Callable[[str], None]:
        return lambda text: self._warn(("subscription", topic), text)

    def _on_image(self, data: bytes) -> None:
        self._last_image_s = time.monotonic()
        arrival = Arrival(bytes(data), self._node.get_clock().now().nanoseconds)
        if not self._queue.put(arrival) and self._loses_by_overflow:
            self._node.get_logger().error(
                f"the queue of {self._queue.capacity} images is full and one was lost; expected "
                "room for every image. Play slower, or raise input.queue.",
                throttle_duration_sec=_QUIET_S,
            )


_TYPE = "sensor_msgs/msg/CameraInfo"


class CameraInfoInput:
    """One subscription that every publisher matches, and one for calibrations sent only once.

    A driver that sends its calibration once, transient local, is heard by subscriptions that ask
    for that alone; one that asks for it hears no others. So the second is made when it is seen in
    the graph that a publisher offers it.
    """

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        store: Callable[[CameraInfo], None],
        warn: Callable[[str], None],
        topic: str = "camera_info",
    ) -> None:
        """Subscribe to the node's camera_info.

        Args:
            node: subscribes.
            group: of the callbacks.
            store: takes the messages.
            warn: takes a text about a publisher that cannot match.
            topic: before remapping.
        """
        self._node, self._group, self._store = node, group, store
        self.topic = node.resolve_topic_name(topic)
        self._latched: Any = None
        self._usual = node.create_subscription(
            CameraInfo,
            self.topic,
            store,
            # Overrides are written into the profile, which others share.
            copy.copy(qos.CAMERA_INFO_INPUT),
            callback_group=group,
            event_callbacks=qos.subscription_events(self.topic, warn),
            qos_overriding_options=qos.overridable(),
        )
        self.follow()

    def follow(self) -> None:
        """Look who publishes by now."""
        if self._usual is None or self._latched is not None:
            return
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        offered = {info.qos_profile.durability for info in publishers}
        if DurabilityPolicy.TRANSIENT_LOCAL in offered:
            self._latched = self._node.create_subscription(
                CameraInfo,
                self.topic,
                self._store,
                copy.copy(qos.LATCHED),
                callback_group=self._group,
                event_callbacks=qos.no_events(),
            )

    def in_words(self) -> str:
        """The topic, whether it has a publisher, and other topics with calibrations."""
        made = made_by_human3r(self._node)
        others = sorted(
            name
            for name, kinds in self._node.get_topic_names_and_types()
            if _TYPE in kinds
            and name != self.topic
            and not name.startswith(made)
            and self._node.count_publishers(name)
        )
        is_published = self._node.count_publishers(self.topic)
        words = self.topic if is_published else f"{self.topic}, which has no publisher"
        return f"{words} (there is {', '.join(others)})" if others else words

    def close(self) -> None:
        """Unsubscribe; harmless when repeated."""
        for subscription in (self._usual, self._latched):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._usual = self._latched = None


class StandingInputs:
    """Subscriptions that do not wait for activation, since activation asks for what they heard."""

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        tree: FrameTree,
        calibrations: CalibrationCache,
    ) -> None:
        """Subscribe with ``open``.

        Args:
            node: subscribes.
            group: callback group of the subscriptions.
            tree: takes the transforms.
            calibrations: takes calibrations until ``release_camera``; their frame is the camera's.
        """
        self._node, self._group = node, group
        self._tree, self._calibrations = tree, calibrations
        self._tf: list[Any] = []
        self._camera: CameraInfoInput | None = None

    def open(self, settings: Settings) -> None:
        """Subscribe to what these settings need."""
        if needs_tf(settings):
            self._hear("/tf", qos.TF_INPUT, is_static=False)
            self._hear("/tf_static", qos.TF_STATIC_INPUT, is_static=True)
        if settings.frames.base and settings.input.camera_info != "ignore":
            self._camera = CameraInfoInput(
                self._node, self._group, self._calibrations.store, self._node.get_logger().warning
            )

    def _hear(self, topic: str, profile: QoSProfile, *, is_static: bool) -> None:
        tree = self._tree
        self._tf.append(
            self._node.create_subscription(
                TFMessage,
                topic,
                lambda message: tree.update(message, is_static=is_static),
                profile,
                callback_group=self._group,
            )
        )

    def cameras(self) -> Sequence[str] | None:
        """Optical frames heard of so far; None where camera_info is not read."""
        if self._camera is None:
            return None
        self._camera.follow()
        return self._calibrations.frames()

    def release_camera(self) -> None:
        """The stream's own inputs take over; harmless when repeated."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def close(self) -> None:
        """Unsubscribe; harmless when repeated."""
        self.release_camera()
        while self._tf:
            self._node.destroy_subscription(self._tf.pop())


def other_definitions(node: Node, topic: str) -> str:
    """What to say where another node defines the type of one of our topics otherwise."""
    me = (node.get_name(), node.get_namespace())
    writers = node.get_publishers_info_by_topic(topic)
    readers = node.get_subscriptions_info_by_topic(topic)
    for mine, theirs in ((writers, readers), (readers, writers)):
        own = next((end for end in mine if (end.node_name, end.node_namespace) == me), None)
        for end in theirs if own is not None else ():
            if reason := qos.other_definition(own, end):
                return f"{topic}: {end.node_namespace.rstrip('/')}/{end.node_name} {reason}"
    return ""
