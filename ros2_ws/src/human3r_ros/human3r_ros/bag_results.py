"""A run as a rosbag2: the messages the node would have published, with the source's stamps.

The conversion is the node's own, so bag and node cannot disagree.
"""

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from human3r_msgs.msg import FrameStatus, SkeletonInfo
from rclpy.serialization import serialize_message
from tf2_msgs.msg import TFMessage

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.pipeline import Pipeline
from human3r.types import Frame, FrameEstimate
from human3r_ros import convert
from human3r_ros.bag_file import BagFile
from human3r_ros.outputs import TOPICS, is_offered
from human3r_ros.placement import Placement
from human3r_ros.processor import FramePublisher
from human3r_ros.qos import TF_INPUT
from human3r_ros.status import FrameReport
from human3r_ros.transforms import FrameTree
from human3r_ros.worker import Counters

NODE_NAME = "/human3r"
"""Topics in the bag are those of a node of this name."""


class BagResults:
    """People, status, odometry, TF, image, depth, mask and clouds of every frame in one bag.

    Markers of the people too, where ``human3r_bridge`` is installed, which makes them.
    """

    def __init__(self, path: Path, pipeline: Pipeline, storage: str = "mcap") -> None:
        """Begin a bag.

        Args:
            path: folder of the bag to be.
            pipeline: what made the estimates; its settings decide what is written.
            storage: sqlite3 or mcap.

        Raises:
            ConfigError: a setting that needs the node.
            OutputError: the bag cannot be made.
        """
        if pipeline.settings.level.source == "tf":
            raise ConfigError(
                "level.source is tf, but no TF is read without the node; expected camera or floor. "
                "Change it, or play the bag to `human3r live` (docs/replay.md)."
            )
        self._pipeline = pipeline
        self._bag = BagFile(path, storage)
        self._topics = _BagOutputs(self._bag, pipeline.settings)
        # On a robot TF may belong to another node; in a bag of our own it cannot.
        settings = pipeline.settings.replace({"tf.mode": "odometry"})
        self._placement = Placement(FrameTree(), self._topics, pipeline.level, settings)
        self._publisher = FramePublisher(pipeline, self._topics, self._placement)
        self._count = 0

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        self._topics.stamp_ns = estimate.stamp_ns
        if self._count == 0:
            skeleton = convert.skeleton_message(self._publisher.skeleton, estimate.stamp_ns)
            self._topics.send("skeleton", skeleton)
            self._topics.draw_people(skeleton)
            self._publisher.scene.meshes.announce(estimate.stamp_ns)
        self._count += 1
        if frame.begins_session:
            self._placement.begin_world()
            self._publisher.scene.map.clear()
        frame = self._placement.located(frame, self._pipeline.settings)
        humans = self._publisher.publish(frame, estimate, self._pipeline.settings)
        self._topics.send("status", self._status(frame, estimate, humans))

    def finish(self) -> None:
        self._publisher.scene.finish(self._pipeline.settings)
        self._bag.finish({"made_by": "human3r run"})

    def abort(self) -> None:
        with suppress(Exception):
            # Without a word: it goes with its folder when no frame was finished.
            self._bag.keep()
            self._bag.discard()

    def _status(self, frame: Frame, estimate: FrameEstimate, humans: int) -> Any:
        report = FrameReport(
            stamp_ns=estimate.stamp_ns,
            frame_id=frame.frame_id,
            outcome=FrameStatus.PROCESSED,
            session=estimate.session,
            frame_index=estimate.frame_index,
            humans=humans,
            level_source=self._placement.level_source,
            # Wall times would make two runs differ; summary.json has the rate.
            estimate=estimate,
            calibrated=frame.intrinsics,
            scale=self._pipeline.scale.report(),
        )
        return report.to_message(Counters(received=self._count, processed=self._count))


class _BagOutputs:
    """Takes messages as the node's ``Outputs`` does, and writes them into a bag."""

    def __init__(self, bag: BagFile, settings: Settings) -> None:
        self.stamp_ns = 0
        self._bag = bag
        self._offered = {name for name in TOPICS if is_offered(name, settings)}
        self._connections: dict[str, Any] = {}
        self._markers: Any = None

    def draw_people(self, skeleton: SkeletonInfo) -> None:
        """From now on write markers beside people, so that viewers show them at once."""
        if find_spec("human3r_bridge") is not None:
            self._markers = import_module("human3r_bridge.bag_markers").BagMarkers(skeleton)

    def is_wanted(self, name: str) -> bool:
        """Whether the settings offer the output; a bag listens to all of them."""
        return name in self._offered

    def send(self, name: str, message: Any) -> None:
        """Write a message, when its output is offered."""
        topic, _, profile, _ = TOPICS[name]
        if self.is_wanted(name):
            self._write(NODE_NAME + topic.removeprefix("~"), message, profile)
        if name == "humans" and self._markers is not None:
            self._write(self._markers.topic, self._markers.of(message), self._markers.profile)

    def send_transform(self, transform: Any) -> None:
        """Write one edge of TF."""
        self._write("/tf", TFMessage(transforms=[transform]), TF_INPUT)

    def _write(self, topic: str, message: Any, profile: Any) -> None:
        if topic not in self._connections:
            package = type(message).__module__.partition(".")[0]
            typename = f"{package}/msg/{type(message).__name__}"
            self._connections[topic] = self._bag.add_topic(topic, typename, [profile])
        self._bag.write(self._connections[topic], self.stamp_ns, serialize_message(message))
