"""What every format is to the node, and the simplest kind of format."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from human3r_msgs.msg import HumanArray
from human3r_ros import qos
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from human3r_bridge.people import Person

Warn = Callable[[str, str], object]
"""Takes a kind, of which one warning is written in a while, and the text."""


@dataclass(frozen=True)
class PeopleFrame:
    """One frame as the formats need it."""

    array: HumanArray
    people: list[Person]
    """The confirmed people of ``array``."""

    @property
    def header(self) -> Header:
        """Stamp of the image and its optical frame."""
        return self.array.header


class Output(Protocol):
    """One format."""

    def publish(self, frame: PeopleFrame) -> None:
        """Send a frame to whoever listens; a frame without people removes all."""

    def tick(self) -> None:
        """Called some times per second, also while no frame comes."""


def make_publisher(
    node: Node, message_type: type, topic: str, profile: QoSProfile, warn: Warn
) -> Any:
    """A publisher whose policies the integrator can change, and which explains mismatches."""
    name = node.resolve_topic_name(topic)
    return node.create_publisher(
        message_type,
        topic,
        profile,
        qos_overriding_options=qos.overridable(),
        event_callbacks=qos.publisher_events(name, lambda text: warn(f"qos {name}", text)),
    )


def is_wanted(publisher: Any) -> bool:
    """Whether anybody listens."""
    return publisher.get_subscription_count() > 0


class ConvertedOutput:
    """A format that is a pure function of people and header."""

    def __init__(
        self,
        node: Node,
        warn: Warn,
        topic: str,
        message_type: type,
        convert: Callable[[list[Person], Header], Any],
    ) -> None:
        self._publisher = make_publisher(node, message_type, topic, qos.HUMANS, warn)
        self._convert = convert

    def publish(self, frame: PeopleFrame) -> None:
        """Send the frame when anybody listens."""
        if is_wanted(self._publisher):
            self._publisher.publish(self._convert(frame.people, frame.header))

    def tick(self) -> None:
        """Nothing to do between frames."""
