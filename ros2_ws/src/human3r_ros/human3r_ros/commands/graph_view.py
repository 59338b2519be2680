"""A running node as other nodes on the graph see it, for ``human3r doctor --graph``."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from human3r_msgs.msg import FrameStatus
from lifecycle_msgs.msg import State
from rclpy.node import Node
from rclpy.qos import QoSProfile

from human3r_ros import qos
from human3r_ros.commands.client_session import client_session
from human3r_ros.commands.lifecycle_client import LifecycleClient
from human3r_ros.commands.message_class import message_class
from human3r_ros.diagnostics import TOPIC as DIAGNOSTICS
from human3r_ros.outputs import made_by_human3r

_STATES = {
    State.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    State.PRIMARY_STATE_INACTIVE: "inactive",
    State.PRIMARY_STATE_ACTIVE: "active",
    State.PRIMARY_STATE_FINALIZED: "finalized",
}
_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_ALWAYS_SENT = ("humans", "status")
"""Topics whose rate can be measured without making the node do more than it does."""
_FIND_S = 5.0
_SETTLE_S = 1.0


@dataclass(frozen=True)
class TopicView:
    """One topic of the node."""

    name: str
    is_output: bool
    others: Sequence[str]
    """Nodes at the other end."""
    mismatches: Sequence[str]
    """Other ends whose QoS keeps them from exchanging anything with the node, and why."""
    rate_hz: float | None = None
    """As received here; None where it was not measured."""
    other_definitions: Sequence[str] = ()
    """Other ends that have another type, or another version of it, and what to do."""


@dataclass(frozen=True)
class PartView:
    """One status of the node's diagnostics."""

    level: int
    message: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class GraphView:
    """What was seen of a node."""

    target: str
    is_there: bool
    node_names: Sequence[str]
    """All nodes on the graph but our own; a name twice where two nodes have it."""
    state: str = ""
    """Empty when its services do not answer."""
    parts: Mapping[str, PartView] = field(default_factory=dict)
    topics: Sequence[TopicView] = ()
    last_frame: str = ""
    """What the last report said that was about a frame or an idle second."""
    image_topics: Sequence[str] = ()
    """Published topics with images, the node's own left out."""


def look(target: str, watch_s: float) -> GraphView:
    """Find the node and listen for a while.

    Args:
        target: its full name.
        watch_s: how long to count messages.
    """
    with client_session("human3r_doctor", spin=True) as session:
        node = session.node
        is_there = _wait_for(lambda: target in _names(node), _FIND_S)
        # Others announce themselves at their own pace.
        time.sleep(_SETTLE_S)
        names = [name for name in _names(node) if name != node.get_fully_qualified_name()]
        if not is_there:
            return GraphView(target, False, sorted(set(names)), image_topics=_images(node, ()))
        return _watch(node, target, names, watch_s)


def _watch(node: Node, target: str, names: Sequence[str], watch_s: float) -> GraphView:
    outputs, inputs = _topics_of(node, target)
    counts = {topic: 0 for topic in outputs if topic.removeprefix(f"{target}/") in _ALWAYS_SENT}
    reports: list[DiagnosticArray] = []
    statuses: list[FrameStatus] = []
    for topic in counts:
        _listen(node, topic, outputs[topic], lambda _, topic=topic: _add(counts, topic), raw=True)
    _listen(node, f"{target}/status", "human3r_msgs/msg/FrameStatus", statuses.append)
    _listen(node, DIAGNOSTICS, "diagnostic_msgs/msg/DiagnosticArray", reports.append)
    lifecycle = LifecycleClient(node, target)
    time.sleep(watch_s)
    state = lifecycle.state()
    topics = [
        topic_view(
            node, target, topic, is_output, counts[topic] / watch_s if topic in counts else None
        )
        for found, is_output in ((inputs, False), (outputs, True))
        for topic in sorted(found)
    ]
    return GraphView(
        target=target,
        is_there=True,
        node_names=sorted(names),
        state=_STATES.get(state, str(state)) if state is not None else "",
        parts=_parts(target, reports),
        topics=topics,
        last_frame=_in_words(statuses[-1]) if statuses else "",
        image_topics=_images(node, outputs),
    )


def _add(counts: dict[str, int], topic: str) -> None:
    counts[topic] += 1


def _listen(node: Node, topic: str, typename: str, keep: Any, *, raw: bool = False) -> None:
    profile = QoSProfile(depth=50)
    node.create_subscription(message_class(typename), topic, keep, profile, raw=raw)


def _wait_for(condition: Any, timeout_s: float) -> bool:
    end_s = time.monotonic() + timeout_s
    while not (is_true := condition()) and time.monotonic() < end_s:
        time.sleep(0.05)
    return is_true


def _full_name(name: str, namespace: str) -> str:
    return f"{namespace.rstrip('/')}/{name}"


def _names(node: Node) -> list[str]:
    return [_full_name(*found) for found in node.get_node_names_and_namespaces()]


def _topics_of(node: Node, target: str) -> tuple[dict[str, str], dict[str, str]]:
    """Topic to type: what the node publishes, and what it reads."""
    namespace, _, name = target.rpartition("/")
    asked = (name, namespace or "/")
    published = node.get_publisher_names_and_types_by_node(*asked)
    read = node.get_subscriber_names_and_types_by_node(*asked)
    ours = (f"{target}/", DIAGNOSTICS, "/tf")
    return (
        {topic: types[0] for topic, types in published if topic.startswith(ours)},
        {topic: types[0] for topic, types in read if not topic.startswith("/parameter_events")},
    )


def topic_view(
    node: Node, target: str, topic: str, is_output: bool, rate_hz: float | None
) -> TopicView:
    """A topic of the node ``target``, as ``node`` sees it in the graph."""
    writers = node.get_publishers_info_by_topic(topic)
    readers = node.get_subscriptions_info_by_topic(topic)
    mine, theirs = (writers, readers) if is_output else (readers, writers)
    me = node.get_fully_qualified_name()
    own = [info for info in mine if _name_of(info) == target]
    others = [info for info in theirs if _name_of(info) not in (target, me)]
    mismatches, definitions = [], []
    for ours in own[:1]:
        for other in others:
            pair = (ours, other) if is_output else (other, ours)
            if reason := qos.mismatch(pair[0].qos_profile, pair[1].qos_profile):
                mismatches.append(f"{_name_of(other)}: {reason}")
            if reason := qos.other_definition(ours, other):
                definitions.append(f"{_name_of(other)} {reason}")
    names = sorted({_name_of(info) for info in others})
    return TopicView(topic, is_output, names, mismatches, rate_hz, definitions)


def _name_of(info: Any) -> str:
    return _full_name(info.node_name, info.node_namespace)


def _images(node: Node, ours: Any) -> list[str]:
    made = made_by_human3r(node)
    return [
        topic
        for topic, types in node.get_topic_names_and_types()
        if set(types) & set(_IMAGES)
        and topic not in ours
        and not topic.startswith(made)
        and node.count_publishers(topic)
    ]


def _parts(target: str, reports: Sequence[DiagnosticArray]) -> dict[str, PartView]:
    prefix = f"{target.lstrip('/')}: "
    found = {}
    for report in reports:
        for status in report.status:
            if status.name.startswith(prefix):
                found[status.name.removeprefix(prefix)] = _part(status)
    return found


def _part(status: DiagnosticStatus) -> PartView:
    level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
    return PartView(level, status.message, {pair.key: pair.value for pair in status.values})


def _in_words(status: FrameStatus) -> str:
    outcome = ("processed", "degraded", "rejected", "failed", "idle")[status.outcome]
    parts = [outcome, f"session {status.session}"]
    if status.outcome != FrameStatus.IDLE:
        parts.append(f"frame {status.frame_index}")
    parts.append(f"{status.processed} of {status.received} images processed")
    return ", ".join(parts) + (f"; {status.message}" if status.message else "")
