"""A run as a rosbag2: the messages the node would have published, with the source's stamps.

The conversion is the node's own, so bag and node cannot disagree.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from human3r_msgs.msg import FrameStatus
from rclpy.serialization import serialize_message
from tf2_msgs.msg import TFMessage

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.pipeline import Pipeline
from human3r.types import Frame, FrameEstimate
from human3r_ros import convert, parameters
from human3r_ros.bag_file import BagFile
from human3r_ros.frame_publisher import FramePublisher
from human3r_ros.intake import Counters
from human3r_ros.outputs import TOPICS, is_offered
from human3r_ros.placement import Placement
from human3r_ros.qos import TF_INPUT
from human3r_ros.status import FrameReport
from human3r_ros.tracks import TrackBook
from human3r_ros.transforms import FrameTree

NODE_NAME = "/human3r"
"""Topics in the bag are those of a node of this name."""


class BagResults:
    """People, status, odometry, TF, depth, mask and clouds of every frame in one bag."""

    def __init__(self, path: Path, pipeline: Pipeline, storage: str = "mcap") -> None:
        """Begin a bag.

        Args:
            path: folder of the bag to be.
            pipeline: what made the estimates; its settings decide what is written.
            storage: sqlite3 or mcap.

        Raises:
            ConfigError: a setting that no message can carry, as in the node.
            OutputError: the bag cannot be made.
        """
        parameters.check(pipeline.settings)
        if pipeline.settings.level.source == "tf":
            raise ConfigError(
                "level.source is tf, but no TF is read without the node; expected camera or floor. "
                "Change it, or play the bag to `human3r live` (docs/replay.md)."
            )
        self._pipeline = pipeline
        self._tracks = TrackBook()
        self._bag = BagFile(path, storage)
        self._topics = _BagOutputs(self._bag, pipeline.settings)
        # On a robot TF may belong to somebody else; in a bag of our own it cannot.
        settings = pipeline.settings.replace({"tf.mode": "odometry"})
        self._placement = Placement(FrameTree(), self._topics, settings)
        self._publisher = FramePublisher(pipeline, self._topics, self._placement, self._tracks)
        self._count = 0

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        self._topics.stamp_ns = estimate.stamp_ns
        if self._count == 0:
            skeleton = convert.skeleton_message(self._publisher.skeleton, estimate.stamp_ns)
            self._topics.send("skeleton", skeleton)
            self._publisher.scene.meshes.announce(estimate.stamp_ns)
        self._count += 1
        humans = self._publisher.publish(frame, estimate, self._pipeline.settings)
        self._topics.send("status", self._status(frame, estimate, humans))

    def finish(self) -> None:
        self._publisher.scene.finish(self._pipeline.settings)
        self._bag.finish({"made_by": "human3r run"})

    def abort(self) -> None:
        with suppress(Exception):
            self._bag.discard()

    def _status(self, frame: Frame, estimate: FrameEstimate, humans: int) -> Any:
        report = FrameReport(
            stamp_ns=estimate.stamp_ns,
            frame_id=frame.frame_id,
            outcome=FrameStatus.PROCESSED,
            session=self._tracks.session(estimate.session),
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

    def is_wanted(self, name: str) -> bool:
        """Whether the settings offer the output; a bag listens to all of them."""
        return name in self._offered

    def send(self, name: str, message: Any) -> None:
        """Write a message, when its output is offered."""
        topic, _, profile, _ = TOPICS[name]
        if self.is_wanted(name):
            self._write(NODE_NAME + topic.removeprefix("~"), message, profile)

    def send_transform(self, transform: Any) -> None:
        """Write one edge of TF."""
        self._write("/tf", TFMessage(transforms=[transform]), TF_INPUT)

    def _write(self, topic: str, message: Any, profile: Any) -> None:
        if topic not in self._connections:
            package = type(message).__module__.partition(".")[0]
            typename = f"{package}/msg/{type(message).__name__}"
            self._connections[topic] = self._bag.add_topic(topic, typename, [profile])
        self._bag.write(self._connections[topic], self.stamp_ns, serialize_message(message))
