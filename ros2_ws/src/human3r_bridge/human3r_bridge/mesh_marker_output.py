"""Publishes body meshes as decimated markers at a low rate."""

import time
from typing import Any

from human3r_msgs.msg import HumanMeshArray, MeshTopology
from human3r_ros import qos
from rclpy.node import Node
from visualization_msgs.msg import MarkerArray

from human3r.errors import InputError
from human3r_bridge.decimate import CoarseMesh
from human3r_bridge.geometry_messages import ns_from_time
from human3r_bridge.inputs import HUMANS, MESH_TOPOLOGY, MESHES
from human3r_bridge.marker_parts import ShownMarkers
from human3r_bridge.output import PeopleFrame, Warn, is_wanted, make_publisher
from human3r_bridge.parameters import BridgeSettings
from human3r_bridge.people import Person
from human3r_bridge.to_mesh_markers import coarse_topology, mesh_marker

_PATIENCE_S = 5.0


class MeshMarkerOutput:
    """Meshes are subscribed to only while their markers have a subscriber: they cost the node."""

    def __init__(self, node: Node, settings: BridgeSettings, warn: Warn) -> None:
        self._publisher = make_publisher(node, MarkerArray, "~/mesh_markers", qos.LARGE, warn)
        self._node, self._warn = node, warn
        self._period_ns = round(1e9 / settings.markers.mesh_rate_hz)
        self._shown = ShownMarkers()
        self._people: dict[int, Person] = {}
        self._topology: MeshTopology | None = None
        self._coarse: CoarseMesh | None = None
        self._subscriptions: list[Any] = []
        self._last_ns = 0
        self._subscribed_at_s = 0.0
        self._told: set[bool] = set()

    def publish(self, frame: PeopleFrame) -> None:
        """Remember who there is; meshes come on their own topic."""
        self._people = {person.track_id: person for person in frame.people}
        if not frame.people and is_wanted(self._publisher):
            gone = self._shown.replace([], frame.header)
            if gone.markers:
                self._publisher.publish(gone)

    def tick(self) -> None:
        """Subscribe to meshes while their markers have a subscriber."""
        if is_wanted(self._publisher):
            if not self._subscriptions:
                self._subscribe()
            self._warn_of_silence()
        else:
            for subscription in self._subscriptions:
                self._node.destroy_subscription(subscription)
            self._subscriptions = []

    def _subscribe(self) -> None:
        self._subscribed_at_s = time.monotonic()
        subscribe = self._node.create_subscription
        self._subscriptions = [
            subscribe(MeshTopology, MESH_TOPOLOGY, self._on_topology, qos.LATCHED),
            subscribe(HumanMeshArray, MESHES, self._on_meshes, qos.LARGE),
        ]

    def _warn_of_silence(self) -> None:
        """Once per cause, until there are meshes: nothing changes by itself meanwhile."""
        topic, humans = map(self._node.resolve_topic_name, (MESHES, HUMANS))
        if self._node.count_publishers(topic):
            self._told.clear()
            return
        if time.monotonic() - self._subscribed_at_s <= _PATIENCE_S:
            return
        has_node = self._node.count_publishers(humans) > 0
        if has_node in self._told:
            return
        self._told.add(has_node)
        remedy = "Set its parameter publish.meshes." if has_node else "See whether it runs."
        self._warn(
            "no meshes" if has_node else "no node",
            f"{topic} has no publisher, so there are no mesh markers; expected the node to do so. "
            f"{remedy}",
        )

    def _on_topology(self, message: MeshTopology) -> None:
        if self._topology is None or message.topology_id != self._topology.topology_id:
            self._topology, self._coarse = message, None

    def _on_meshes(self, message: HumanMeshArray) -> None:
        stamp_ns = ns_from_time(message.header.stamp)
        if 0 <= stamp_ns - self._last_ns < self._period_ns or self._topology is None:
            return
        if message.topology_id != self._topology.topology_id:
            self._warn(
                "topology",
                f"meshes of topology {message.topology_id[:40]!r}; expected "
                f"{self._topology.topology_id[:40]!r}, the last one heard. Wait for the new one.",
            )
            return
        self._last_ns = stamp_ns
        try:
            markers = [
                self._marker(self._people[mesh.track_id], mesh, message)
                for mesh in message.meshes
                if mesh.track_id in self._people
            ]
        except InputError as error:
            self._warn("mesh", str(error))
            return
        self._publisher.publish(self._shown.replace(markers, message.header))

    def _marker(self, person: Person, mesh, message: HumanMeshArray):
        if self._coarse is None:
            self._coarse = coarse_topology(self._topology, mesh)
        count = self._topology.num_vertices  # pyright: ignore[reportOptionalMemberAccess]
        return mesh_marker(person, mesh, self._coarse, count, message.header)
