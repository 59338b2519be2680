"""Checks RViz and Foxglove layouts against the topics and QoS that are offered.

    python -m human3r_ros.commands.layout_check human3r.rviz human3r.json

listens to a running graph for a moment and says what these layouts would not show.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from human3r.errors import Human3RError, InputError

_FOXGLOVE_TYPES = {
    "3D": {"PointCloud2", "MarkerArray"},
    "imageTopic": {"Image", "CompressedImage"},
    "calibrationTopic": {"CameraInfo"},
    "topicToRender": {"DiagnosticArray"},
}
_LISTEN_S = 5.0


@dataclass(frozen=True)
class Shown:
    """One topic of a layout."""

    topic: str
    types: frozenset[str]
    """Short names of the message types that can be shown there; empty: any."""
    is_reliable: bool = False
    """Whether a best-effort publisher would not be heard."""
    is_latched: bool = False
    """Whether a volatile publisher would not be heard."""
    fields: tuple[str, ...] = ()
    """Path of a field that must exist in the message."""


@dataclass(frozen=True)
class Offered:
    """One published topic."""

    type_name: str
    """Short name of its message type."""
    is_reliable: bool
    is_latched: bool


def shown_in(path: Path) -> list[Shown]:
    """What a layout shows.

    Raises:
        InputError: it is no RViz or Foxglove layout.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".rviz":
            return [_rviz(display) for display in _rviz_displays(yaml.safe_load(text))]
        return [
            one for kind, c in json.loads(text)["configById"].items() for one in _panel(kind, c)
        ]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: no layout ({type(error).__name__}: {error}); expected a .rviz file or the "
            "JSON that Foxglove exports. Check the file."
        ) from error


def _rviz_displays(document: Any) -> Iterator[dict]:
    for display in document["Visualization Manager"]["Displays"]:
        if "Topic" in display:
            yield display


def _rviz(display: dict) -> Shown:
    topic, kind = display["Topic"], display["Class"].rpartition("/")[2]
    if kind in ("Camera", "Image"):
        # RViz takes the transport from the topic's name.
        is_compressed = topic["Value"].endswith("/compressed")
        kind = "CompressedImage" if is_compressed else "Image"
    return Shown(
        topic["Value"],
        frozenset({kind}),
        is_reliable=topic["Reliability Policy"] == "Reliable",
        is_latched=topic["Durability Policy"] == "Transient Local",
    )


def _panel(name: str, config: dict) -> Iterator[Shown]:
    kind = name.partition("!")[0]
    for topic in config.get("topics", {}):
        yield Shown(topic, frozenset(_FOXGLOVE_TYPES["3D"]))
    for key in ("imageTopic", "calibrationTopic"):
        if topic := config.get("imageMode", {}).get(key):
            yield Shown(topic, frozenset(_FOXGLOVE_TYPES[key]))
    if topic := config.get("topicToRender"):
        yield Shown(topic, frozenset(_FOXGLOVE_TYPES["topicToRender"]))
    if kind == "Plot":
        for path in [*config["paths"], *filter(None, [config.get("xAxisPath")])]:
            topic, *fields = path["value"].split(".")
            yield Shown(topic, frozenset(), fields=tuple(fields))


def problems(shown: Iterable[Shown], offered: Mapping[str, Offered]) -> list[str]:
    """What would not be seen, one sentence each; empty when all is well.

    Args:
        shown: of one layout.
        offered: by full topic name.
    """
    found = []
    for one in shown:
        source = offered.get(one.topic)
        if source is None:
            found.append(f"{one.topic} is shown but has no publisher.")
            continue
        if one.types and source.type_name not in one.types:
            expected = " or ".join(sorted(one.types))
            found.append(f"{one.topic} is {source.type_name}, but shown as {expected}.")
        if one.is_reliable and not source.is_reliable:
            found.append(f"{one.topic} is best effort; the display asks for reliable.")
        if one.is_latched and not source.is_latched:
            found.append(f"{one.topic} is volatile; the display asks for transient local.")
    return list(dict.fromkeys(found))


def offered_on(node: Node) -> dict[str, Offered]:
    """What is published on the graph as this node knows it by now."""
    found = {}
    for topic, type_names in node.get_topic_names_and_types():
        profiles = [info.qos_profile for info in node.get_publishers_info_by_topic(topic)]
        if profiles:
            found[topic] = Offered(
                type_names[0].rpartition("/")[2],
                any(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles),
                any(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles),
            )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns 0 when every layout would show everything, else 1."""
    from human3r_ros.commands.client_session import client_session

    paths = [Path(word) for word in (sys.argv[1:] if argv is None else argv)]
    try:
        layouts = {path: shown_in(path) for path in paths}
    except Human3RError as error:
        sys.stderr.write(f"layout_check: {error}\n")
        return 1
    with client_session("human3r_layout_check", spin=True) as session:
        deadline_s = time.monotonic() + _LISTEN_S
        while True:
            offered = offered_on(session.node)
            found = {path: problems(shown, offered) for path, shown in layouts.items()}
            if not any(found.values()) or time.monotonic() > deadline_s:
                break
            session.stop.wait(0.1)
    for path, sentences in found.items():
        for sentence in sentences or [f"all {len(layouts[path])} topics are there."]:
            sys.stdout.write(f"{path.name}: {sentence}\n")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
