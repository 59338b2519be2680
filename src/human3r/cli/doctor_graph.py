"""``human3r doctor --graph``: is the running node well, and if not, what to do."""

import os
from collections.abc import Iterator
from typing import Any

from human3r.cli.doctor_check import FAIL, NOTE, OK, Check
from human3r.cli.ros_part import ros_module

DEFAULT_NODE = "/human3r"
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

    Raises:
        MissingExtraError: the ROS part is not installed.
    """
    view = ros_module("graph_view").look("/" + node_name.strip("/"), _WATCH_S)
    yield from checks_of(view)


def checks_of(view: Any) -> Iterator[Check]:
    """The report about a ``human3r_ros.graph_view.GraphView``."""
    if not view.is_there:
        yield _absent(view)
        return
    yield _state(view)
    if view.last_frame:
        yield Check("last report", OK, view.last_frame)
    yield from _diagnostics(view)
    unread = [t.name for t in view.topics if t.is_output and not t.others and t.rate_hz is None]
    for topic in view.topics:
        if topic.name not in unread:
            yield from _topic(topic)
    if unread:
        yield Check("read by nobody", OK, ", ".join(unread))
    yield from _wrong_topic(view)


def _absent(view: Any) -> Check:
    domain = os.environ.get("ROS_DOMAIN_ID", "") or "0 (not set)"
    names = ", ".join(view.node_names) or "nobody"
    return Check(
        "node",
        FAIL,
        f"no node {view.target} in DDS domain {domain}; there is {names}",
        "Start it: human3r live --image TOPIC. If it runs: give its full name, and set "
        "ROS_DOMAIN_ID and CYCLONEDDS_URI here as there.",
    )


def _state(view: Any) -> Check:
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


def _diagnostics(view: Any) -> Iterator[Check]:
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


def _figures(name: str, values: Any) -> str:
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


def _topic(topic: Any) -> Iterator[Check]:
    others = ", ".join(topic.others) or "nobody"
    rate = "" if topic.rate_hz is None else f", {topic.rate_hz:.1f} messages per second"
    arrow = "read by" if topic.is_output else "from"
    yield Check(topic.name, OK, f"{arrow} {others}{rate}")
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


def _wrong_topic(view: Any) -> Iterator[Check]:
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
            f"nobody publishes {unheard[0]}, but there are images on {', '.join(elsewhere)}",
            _use_topic(elsewhere[0]),
        )


def _use_topic(topic: str) -> str:
    plain = topic.removesuffix("/compressed")
    flag, setting = (" --compressed", " with compressed:=true") if plain != topic else ("", "")
    return f"human3r live --image {plain}{flag}, or image:={plain}{setting}."
