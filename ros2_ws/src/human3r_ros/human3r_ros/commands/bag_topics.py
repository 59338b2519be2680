"""Topics of a bag that go out again beside its images, as they were recorded."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.interfaces import Connection, QosDurability

from human3r.errors import InputError
from human3r.io.bag import open_bag
from human3r_ros.commands.message_class import message_class

_DEPTH = 100


class BagTopics:
    """Republishes some topics of a bag in step with a player of its images.

    Args:
        node: publishes.
        path: the bag.
        topics: full names.

    Raises:
        InputError: no such bag, a topic it does not hold, or a type unknown here.
    """

    def __init__(self, node: Node, path: Path, topics: Sequence[str]) -> None:
        self._reader = open_bag(path)
        try:
            wanted = self._connections(path, topics)
            self._publishers = {c.topic: _publisher(node, c) for c in wanted}
        except BaseException:
            self.close()
            raise
        self._messages = self._reader.messages(connections=wanted)
        self._next: tuple[Connection, int, bytes] | None = next(self._messages, None)

    def send_until(self, recorded_ns: int) -> None:
        """Send what was recorded up to this time and has not been sent yet."""
        while self._next is not None and self._next[1] <= recorded_ns:
            connection, _, data = self._next
            self._publishers[connection.topic].publish(bytes(data))
            self._next = next(self._messages, None)

    def close(self) -> None:
        """Close the bag."""
        self._reader.close()

    def _connections(self, path: Path, topics: Sequence[str]) -> list[Connection]:
        names = ["/" + topic.strip("/") for topic in topics]
        absent = sorted(set(names) - set(self._reader.topics))
        if absent or not self._reader.is2:
            raise InputError(
                f"{path}: {', '.join(absent) or 'a ROS 1 bag'} cannot be sent again; expected "
                f"topics of a ROS 2 bag, which holds {', '.join(sorted(self._reader.topics))}. "
                "Correct --also."
            )
        return [c for c in self._reader.connections if c.topic in names]


def _publisher(node: Node, connection: Connection) -> Any:
    try:
        kind = message_class(connection.msgtype)
    except LookupError as error:
        raise InputError(f"{connection.topic}: {error}") from error
    profiles = getattr(connection.ext, "offered_qos_profiles", None) or ()
    is_latched = connection.topic == "/tf_static" or any(
        profile.durability == QosDurability.TRANSIENT_LOCAL for profile in profiles
    )
    durability = DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE
    return node.create_publisher(
        kind, connection.topic, QoSProfile(depth=_DEPTH, durability=durability)
    )


def recorded_images(path: Path, topics: Sequence[str], image: str) -> Iterator[tuple[int, int]]:
    """What a player that plays these topics sends, message by message.

    Args:
        path: the bag.
        topics: what is played.
        image: which of them holds the images.

    Yields:
        Time of recording and, for an image, its stamp, else -1; both in nanoseconds.

    Raises:
        InputError: no such bag, or no image topic of this name in it.
    """
    reader = open_bag(path)
    try:
        wanted = [c for c in reader.connections if c.topic in topics]
        if not any(c.topic == image for c in wanted):
            raise InputError(
                f"{path}: no topic {image}; expected one of {', '.join(sorted(reader.topics))}. "
                "Correct the image topic."
            )
        for connection, recorded_ns, data in reader.messages(connections=wanted):
            stamp_ns = -1
            if connection.topic == image:
                stamp = reader.deserialize(data, connection.msgtype).header.stamp  # pyright: ignore[reportAttributeAccessIssue]
                stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
            yield recorded_ns, stamp_ns
    finally:
        reader.close()
