"""``human3r record``: topics into a rosbag2, as they are on the wire."""

import argparse
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Condition

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Connection

from human3r.errors import OutputError
from human3r.setting import CommandParser
from human3r_ros.bag_file import BagFile, refuse_existing
from human3r_ros.commands.client_session import ClientSession, client_session
from human3r_ros.commands.command_log import speak_plainly
from human3r_ros.commands.message_class import message_class
from human3r_ros.names import topic_name

log = logging.getLogger(__name__)

_BRIDGE = "human3r_bridge"
_MAX_WAITING_BYTES = 256 * 2**20
_DEPTH = 100
_LOOK_S = 0.1
_DRAIN_S = 2.0


@dataclass(frozen=True)
class _Received:
    topic: str
    received_ns: int
    cdr: bytes


class MessageQueue:
    """Messages between the network and the disk; bounded, and what does not fit is counted.

    Args:
        max_bytes: bound on the messages waiting.
    """

    def __init__(self, max_bytes: int = _MAX_WAITING_BYTES) -> None:
        self._max_bytes = max_bytes
        self._waiting: deque[_Received] = deque()
        self._num_bytes = 0
        self._arrived = Condition()
        self.dropped: Counter[str] = Counter()

    def put(self, topic: str, cdr: bytes) -> None:
        """Take a message, or count it as dropped when the disk is too slow."""
        item = _Received(topic, time.time_ns(), bytes(cdr))
        with self._arrived:
            if self._num_bytes + len(item.cdr) > self._max_bytes:
                self.dropped[topic] += 1
                return
            self._waiting.append(item)
            self._num_bytes += len(item.cdr)
            self._arrived.notify()

    def take(self, timeout_s: float) -> _Received | None:
        """The oldest message; None when none comes in time."""
        with self._arrived:
            if not self._waiting:
                self._arrived.wait(timeout_s)
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._num_bytes -= len(item.cdr)
            return item

    def give_up(self) -> None:
        """Count everything still waiting as dropped."""
        with self._arrived:
            self.dropped.update(item.topic for item in self._waiting)
            self._waiting.clear()
            self._num_bytes = 0


class Recorder:
    """Subscribes to topics as they appear, and writes what arrives.

    Args:
        node: subscribes; its owner spins it.
        bag: where messages go; used from the caller's thread only.
        wanted: whether a topic of this name is recorded.
    """

    def __init__(self, node: Node, bag: BagFile, wanted: Callable[[str], bool]) -> None:
        self._node, self._bag, self._wanted = node, bag, wanted
        self._connections: dict[str, Connection] = {}
        self._refused: set[str] = set()
        self.queue = MessageQueue()
        self.written: Counter[str] = Counter()

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics subscribed so far."""
        return tuple(self._connections)

    def check(self) -> None:
        """Subscribe to wanted topics that are published by now."""
        for topic, typenames in self._node.get_topic_names_and_types():
            known = topic in self._connections or topic in self._refused
            if known or not self._wanted(topic):
                continue
            publishers = self._node.get_publishers_info_by_topic(topic)
            if publishers:
                self._subscribe(topic, typenames, [info.qos_profile for info in publishers])

    def write_waiting(self, deadline_s: float) -> None:
        """Write what arrives until this time of the monotonic clock."""
        while (rest_s := deadline_s - time.monotonic()) > 0:
            item = self.queue.take(rest_s)
            if item is not None:
                self._write(item)

    def drain(self, timeout_s: float) -> None:
        """Write what is waiting; what a slow disk does not take in time is counted as dropped."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            item = self.queue.take(0)
            if item is None:
                return
            self._write(item)
        self.queue.give_up()

    def _write(self, item: _Received) -> None:
        self._bag.write(self._connections[item.topic], item.received_ns, item.cdr)
        self.written[item.topic] += 1

    def _subscribe(self, topic: str, typenames: list[str], offered: list[QoSProfile]) -> None:
        try:
            if len(typenames) > 1:
                raise LookupError(f"it is published as {' and '.join(typenames)}")
            kind = message_class(typenames[0])
            # The topic must be known before its first message arrives in the other thread.
            self._connections[topic] = self._bag.add_topic(topic, typenames[0], offered)
        except (LookupError, NotImplementedError) as error:
            self._refused.add(topic)
            log.warning("%s is not recorded: %s", topic, error)
            return
        self._node.create_subscription(
            kind,
            topic,
            lambda cdr, name=topic: self.queue.put(name, cdr),
            matching_qos(offered),
            raw=True,
        )
        log.info("recording %s [%s]", topic, typenames[0])


def matching_qos(offered: list[QoSProfile]) -> QoSProfile:
    """The strictest profile that every one of the publishers can serve."""
    is_reliable = all(p.reliability == ReliabilityPolicy.RELIABLE for p in offered)
    is_latched = all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )


def know_bridge_messages() -> None:
    """Make the messages of human3r_bridge known, where it is installed and ROS 2 is not."""
    if find_spec(_BRIDGE) is not None:
        import_module(_BRIDGE)  # Importing it hands its definitions to rclpy_lite.


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status.

    Raises:
        OutputError: the bag cannot be written, or nothing arrived to be written.
    """
    speak_plainly()
    options = _parse(argv)
    refuse_existing(options.out)
    names = {name if name.startswith("/") else f"/{name}" for name in options.topics}
    know_bridge_messages()
    with client_session("human3r_record", spin=True) as session:
        bag = BagFile(options.out, options.storage)
        try:
            recorder = Recorder(session.node, bag, _choice(names))
            _record(recorder, bag, session, options.duration)
            _finish(recorder, bag, names)
        except OutputError as error:
            if kept := bag.keep():
                raise OutputError(f"{error} {kept}") from error
            raise
        finally:
            bag.discard()
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser(
        prog="human3r record", description="Write topics into a rosbag2. Ctrl-C ends it properly."
    )
    add = parser.add_argument
    add(
        "topics",
        type=topic_name,
        metavar="TOPIC",
        nargs="*",
        help="topic to record; may appear later",
    )
    add("--out", required=True, type=Path, metavar="BAG", help="folder of the new bag")
    add("--all", action="store_true", help="record every topic that is not hidden")
    add("--storage", choices=("mcap", "sqlite3"), default="mcap", help="default mcap, which "
        "explains its messages to readers that do not know them")  # fmt: skip
    add("--duration", type=float, default=math.inf, metavar="S", help="stop after S seconds")
    options = parser.parse_args(argv)
    if bool(options.topics) == options.all:
        parser.error("name the topics to record, or use --all")
    if not options.duration > 0:
        parser.error(f"--duration is {options.duration:g}; expected more than 0")
    options.out = Path(str(options.out).rstrip("/"))
    return options


def _choice(names: set[str]) -> Callable[[str], bool]:
    if names:
        return names.__contains__
    return lambda topic: not any(part.startswith("_") for part in topic.split("/"))


def _record(recorder: Recorder, bag: BagFile, session: ClientSession, duration_s: float) -> None:
    end_s = time.monotonic() + duration_s
    while not session.stop.is_set() and time.monotonic() < end_s:
        recorder.check()
        bag.sync()
        recorder.write_waiting(min(end_s, time.monotonic() + _LOOK_S))
    recorder.drain(_DRAIN_S)


def _finish(recorder: Recorder, bag: BagFile, names: set[str]) -> None:
    missing = sorted(names - set(recorder.topics))
    if missing:
        log.warning("never published: %s", ", ".join(missing))
    total, dropped = recorder.written.total(), recorder.queue.dropped
    if not total:
        raise OutputError(
            f"{bag.path}: not one message arrived; expected some, so no bag was made. "
            "Check the names of the topics and ROS_DOMAIN_ID."
        )
    notes = {f"dropped {topic}": str(count) for topic, count in sorted(dropped.items())}
    bag.finish(notes)
    log.info(
        "%s: %d messages on %d topics, %d dropped",
        bag.path,
        total,
        len(recorder.written),
        dropped.total(),
    )
    if dropped:
        log.warning("the disk was too slow: %s", notes)
