"""What ``human3r doctor`` checks of ROS: DDS itself, and a running node with ``--graph``."""

import os
import time
from collections.abc import Iterator, Mapping

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

from human3r.cli.doctor_check import FAIL, NOTE, OK, Check
from human3r.errors import DeviceError
from human3r_ros.commands.graph_view import GraphView, TopicView, look

_WATCH_S = 4.0
_LEVELS = (OK, NOTE, FAIL)
_NEXT = {
    "unconfigured": "ros2 lifecycle set {node} configure, then activate; or start it with "
    "`human3r live`, which does both.",
    "inactive": "ros2 lifecycle set {node} activate",
    "finalized": "Start the node again.",
}


def graph_checks(node_name: str) -> Iterator[Check]:
    """Everything about one running node, in the order in which one would ask.

    Args:
        node_name: its full name.
    """
    yield from checks_of(look("/" + node_name.strip("/"), _WATCH_S))


def checks_of(view: GraphView) -> Iterator[Check]:
    """The report about what was seen of a node."""
    if not view.is_there:
        yield _absent(view)
        return
    yield _state(view)
    count = view.node_names.count(view.target)
    if count > 1:
        yield Check(
            "node",
            FAIL,
            f"{count} nodes are named {view.target}; what follows mixes them",
            "Stop the others, or start one with --namespace, so that each has topics of its own.",
        )
    if view.last_frame:
        yield Check("last report", OK, view.last_frame)
    yield from _diagnostics(view)
    unread = [t.name for t in view.topics if t.is_output and not t.others and t.rate_hz is None]
    for topic in view.topics:
        if topic.name not in unread:
            yield from _topic(topic)
    if unread:
        yield Check("not read", OK, ", ".join(unread))
    yield from _wrong_topic(view)


def _absent(view: GraphView) -> Check:
    domain = os.environ.get("ROS_DOMAIN_ID", "") or "0 (not set)"
    names = ", ".join(view.node_names) or "none"
    return Check(
        "node",
        FAIL,
        f"no node {view.target} in DDS domain {domain}; there is {names}",
        "Start it: human3r live --image TOPIC. If it runs: give its full name, and set "
        "ROS_DOMAIN_ID and CYCLONEDDS_URI here as there.",
    )


def _state(view: GraphView) -> Check:
    inference = view.parts.get("inference")
    reported = inference.values.get("state", "") if inference else ""
    state = view.state or reported
    if not state:
        return Check(
            "node",
            FAIL,
            f"{view.target} is on the graph, but neither its services nor its diagnostics answer",
            "It may be busy with a long configure, or stopped; look at its log, try again.",
        )
    seen = f"{view.target} is {state}"
    if not view.state:
        seen += "; its services do not answer here (they need the same RMW implementation)"
    failure = inference.values.get("last_failure", "") if inference else ""
    if failure:
        return Check("node", FAIL, f"{seen} after: {failure}", "Mend that, then configure again.")
    advice = _NEXT.get(state, "").format(node=view.target)
    return Check("node", NOTE if advice else OK, seen, advice)


def _diagnostics(view: GraphView) -> Iterator[Check]:
    if not view.parts:
        yield Check(
            "diagnostics",
            NOTE,
            "nothing about this node on /diagnostics",
            "It says so every diagnostics.period_s; wait longer, or look at its log.",
        )
    for name, part in view.parts.items():
        # The message itself ends with what to do.
        yield Check(name, _LEVELS[min(part.level, 2)], part.message + _figures(name, part.values))


def _figures(name: str, values: Mapping[str, str]) -> str:
    wanted = {
        "input": ("rate_hz", "resolution", "encoding", "frame_id", "qos"),
        "inference": ("rate_hz", "latency_p50_s", "latency_p95_s", "network_p50_s"),
        "people": ("tracked", "coasting", "ids_issued"),
        "frames": ("mode", "broadcasts", "level_source"),
        "gpu": ("allocated_bytes", "free_bytes"),
    }.get(name, ())
    known = [f"{key} {values[key]}" for key in wanted if values.get(key) not in (None, "")]
    known = [figure for figure in known if not figure.endswith(" unknown")]
    return f" ({', '.join(known)})" if known else ""


def _topic(topic: TopicView) -> Iterator[Check]:
    others = ", ".join(topic.others) or "none"
    rate = "" if topic.rate_hz is None else f", {topic.rate_hz:.1f} messages per second"
    arrow = "read by" if topic.is_output else "from"
    yield Check(topic.name, OK, f"{arrow} {others}{rate}")
    for definition in topic.other_definitions:
        # Ends with what to do; QoS has nothing to do with it.
        yield Check(topic.name, FAIL, definition)
    for mismatch in topic.mismatches:
        ours = "publisher" if topic.is_output else "subscription"
        policy = "durability" if "olatile" in mismatch else "reliability"
        yield Check(
            topic.name,
            FAIL,
            f"exchanges nothing with {mismatch}",
            f"Change that end, or start this node with parameter "
            f"qos_overrides.{topic.name}.{ours}.{policy}.",
        )


def _wrong_topic(view: GraphView) -> Iterator[Check]:
    """The classical mistake: images flow, but on another topic."""
    read = [topic for topic in view.topics if not topic.is_output]
    images = [
        t for t in read if t.name.rpartition("/")[2] not in ("camera_info", "tf", "tf_static")
    ]
    unheard = [topic.name for topic in images if not topic.others and topic.name != "/clock"]
    elsewhere = [topic for topic in view.image_topics if topic not in {t.name for t in read}]
    if unheard and elsewhere:
        yield Check(
            "image topic",
            FAIL,
            f"{unheard[0]} has no publisher, but there are images on {', '.join(elsewhere)}",
            _use_topic(elsewhere[0]),
        )


def _use_topic(topic: str) -> str:
    plain = topic.removesuffix("/compressed")
    flag, setting = (" --compressed", " with compressed:=true") if plain != topic else ("", "")
    return f"human3r live --image {plain}{flag}, or image:={plain}{setting}."


def loopback_test(timeout_s: float) -> float:
    """Send a message to ourselves over DDS.

    Args:
        timeout_s: how long to wait for it.

    Returns:
        Milliseconds until it came back.

    Raises:
        DeviceError: it never came back.
    """
    context = Context()
    context.init(args=[])
    node = Node("human3r_doctor", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        topic = f"/human3r_doctor_{os.getpid()}"
        heard: list[float] = []
        node.create_subscription(String, topic, lambda _: heard.append(time.monotonic()), 5)
        publisher = node.create_publisher(String, topic, 5)
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            sent_s = time.monotonic()
            publisher.publish(String(data="hello"))
            executor.spin_once(timeout_sec=0.2)
            if heard:
                return 1e3 * (heard[0] - sent_s)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    raise DeviceError(
        f"a message to ourselves did not come back within {timeout_s:g} s; expected it at once. "
        "Check CYCLONEDDS_URI, ROS_DOMAIN_ID and the firewall on the loopback interface."
    )
