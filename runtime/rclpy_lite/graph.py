"""Who is on the network: endpoints from DDS discovery, nodes from ``ros_discovery_info``."""

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cyclonedds.builtin import (
    BuiltinDataReader,
    BuiltinTopicDcpsParticipant,
    BuiltinTopicDcpsPublication,
    BuiltinTopicDcpsSubscription,
)
from cyclonedds.core import DDSException, DDSStatus, InstanceState

from rclpy_lite import names
from rclpy_lite.messages import get_message, type_hash
from rclpy_lite.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    from_cyclone,
    to_cyclone,
)
from rclpy_lite.serialization import deserialize_message, serialize_message
from rclpy_lite.transport.cyclone import Participant, user_data_of
from rclpy_lite.transport.idl_types import idl_type

_TYPE = "rmw_dds_common/msg/ParticipantEntitiesInfo"
_TAKE_AT_ONCE = 512
MAX_PARTICIPANTS = 4096
"""Processes whose nodes are remembered."""


@dataclass(frozen=True)
class EndpointRecord:
    """One reader or writer found by discovery, ours included."""

    gid: bytes
    participant_gid: bytes
    dds_topic: str
    dds_type: str
    is_writer: bool
    qos: Any
    user_data: bytes


@dataclass
class NodeRecord:
    """One node as its process describes it."""

    name: str
    namespace: str
    readers: set[bytes]
    writers: set[bytes]


class Graph:
    """The graph as seen from one participant, and our own entry in it."""

    def __init__(self, participant: Participant) -> None:
        self._participant = participant
        self._lock = threading.RLock()
        self.changed = threading.Condition()
        """Notified whenever anything changes."""
        self._endpoints: dict[bytes, EndpointRecord] = {}
        self._remote: dict[bytes, list[NodeRecord]] = {}
        self._own: list[NodeRecord] = []
        self._listeners: list[Callable[[], None]] = []
        profile = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        everything = QoSProfile(
            history=HistoryPolicy.KEEP_ALL, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        dds_type = idl_type(_TYPE)
        # As rmw_dds_common says it; without it every ROS process near us logs a parse error.
        user_data = f"typehash={type_hash(_TYPE)};".encode()
        self._message = get_message(_TYPE)
        self._writer = participant.create_writer(
            "ros_discovery_info",
            dds_type,
            to_cyclone(profile, user_data, True, False),
            lambda _: None,
        )
        self._reader = participant.create_reader(
            "ros_discovery_info",
            dds_type,
            to_cyclone(everything, user_data, False, True),
            lambda _: self._read_nodes(),
        )
        self._builtin = [
            self._watch(BuiltinTopicDcpsPublication, lambda s: self._on_endpoint(s, True)),
            self._watch(BuiltinTopicDcpsSubscription, lambda s: self._on_endpoint(s, False)),
            self._watch(BuiltinTopicDcpsParticipant, self._on_participant),
        ]
        self._read_nodes()

    def _watch(self, topic: Any, handle: Callable[[Any], None]) -> BuiltinDataReader:
        reader = BuiltinDataReader(self._participant.entity, topic)

        def take(_: int = 0) -> None:
            while True:
                try:
                    samples = reader.take(N=_TAKE_AT_ONCE)
                except DDSException:
                    return
                if not samples:
                    return
                with self._lock:
                    for sample in samples:
                        handle(sample)
                self._tell()

        self._participant.watch(reader, DDSStatus.DataAvailable, take)
        take()
        return reader

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after each change; the result ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()
        for listener in list(self._listeners):
            listener()

    def _on_endpoint(self, sample: Any, is_writer: bool) -> None:
        gid = sample.key.bytes
        info = sample.sample_info
        if info.instance_state != InstanceState.Alive or not info.valid_data:
            self._endpoints.pop(gid, None)
            return
        self._endpoints[gid] = EndpointRecord(
            gid,
            sample.participant_key.bytes,
            sample.topic_name,
            sample.type_name,
            is_writer,
            sample.qos,
            user_data_of(sample.qos),
        )

    def _on_participant(self, sample: Any) -> None:
        if sample.sample_info.instance_state != InstanceState.Alive:
            self._remote.pop(sample.key.bytes, None)

    def _read_nodes(self) -> None:
        while (taken := self._reader.take()) is not None:
            try:
                message = deserialize_message(taken[0], self._message)
            except Exception:
                continue
            nodes = [
                NodeRecord(
                    node.node_name,
                    node.node_namespace,
                    {bytes(gid.data)[:16] for gid in node.reader_gid_seq},
                    {bytes(gid.data)[:16] for gid in node.writer_gid_seq},
                )
                for node in message.node_entities_info_seq
            ]
            gid = bytes(message.gid.data)[:16]
            with self._lock:
                if gid in self._remote or len(self._remote) < MAX_PARTICIPANTS:
                    self._remote[gid] = nodes
        self._tell()

    # Our own entry.

    def add_node(self, name: str, namespace: str) -> NodeRecord:
        """Announce a node."""
        record = NodeRecord(name, namespace, set(), set())
        with self._lock:
            self._own.append(record)
        self.announce()
        return record

    def remove_node(self, record: NodeRecord) -> None:
        """Take a node back."""
        with self._lock:
            self._own = [own for own in self._own if own is not record]
        self.announce()

    def announce(self) -> None:
        """Describe this process anew; to be called whenever its nodes or entities changed."""
        gid_class = get_message("rmw_dds_common/msg/Gid")
        node_class = get_message("rmw_dds_common/msg/NodeEntitiesInfo")
        size = len(gid_class().data)

        def to_gid(gid: bytes) -> Any:
            return gid_class(data=gid.ljust(size, b"\0"))

        with self._lock:
            nodes = [
                node_class(
                    node_name=own.name,
                    node_namespace=own.namespace,
                    reader_gid_seq=[to_gid(g) for g in sorted(own.readers)],
                    writer_gid_seq=[to_gid(g) for g in sorted(own.writers)],
                )
                for own in self._own
            ]
            message = self._message(gid=to_gid(self._participant.gid), node_entities_info_seq=nodes)
            if not self._writer.is_closed:
                self._writer.write(serialize_message(message))
        self._tell()

    # Questions.

    def nodes(self) -> list[NodeRecord]:
        """Every known node, ours first."""
        with self._lock:
            return [*self._own, *(node for nodes in self._remote.values() for node in nodes)]

    def endpoints(self, dds_topic: str | None = None) -> list[EndpointRecord]:
        """Every known endpoint, or those of one DDS topic."""
        with self._lock:
            return [
                e for e in self._endpoints.values() if dds_topic is None or e.dds_topic == dds_topic
            ]

    def node_of(self, endpoint: EndpointRecord) -> NodeRecord | None:
        """The node that an endpoint belongs to, where it is known."""
        for node in self.nodes():
            if endpoint.gid in (node.writers if endpoint.is_writer else node.readers):
                return node
        return None

    def types_by_topic(self, endpoints: list[EndpointRecord]) -> list[tuple[str, list[str]]]:
        """ROS topics of ``endpoints`` with their types, sorted."""
        found: dict[str, set[str]] = {}
        for endpoint in endpoints:
            topic = names.ros_topic_name(endpoint.dds_topic)
            if topic is not None:
                found.setdefault(topic, set()).add(names.ros_type_name(endpoint.dds_type))
        return [(topic, sorted(types)) for topic, types in sorted(found.items())]

    def types_by_service(self, endpoints: list[EndpointRecord]) -> list[tuple[str, list[str]]]:
        """Services of ``endpoints`` with their types, sorted."""
        found: dict[str, set[str]] = {}
        for endpoint in endpoints:
            service = names.ros_service_name(endpoint.dds_topic)
            if service is not None:
                whole = names.ros_type_name(endpoint.dds_type)
                whole = whole.removesuffix("_Request").removesuffix("_Response")
                found.setdefault(service, set()).add(whole)
        return [(service, sorted(types)) for service, types in sorted(found.items())]


class TopicEndpointTypeEnum:
    """Kinds of endpoints."""

    INVALID = 0
    PUBLISHER = 1
    SUBSCRIPTION = 2


@dataclass
class TopicEndpointInfo:
    """One publisher or subscription of a topic, as `Node.get_publishers_info_by_topic` gives."""

    node_name: str
    node_namespace: str
    topic_type: str
    topic_type_hash: str
    endpoint_type: int
    endpoint_gid: list[int]
    qos_profile: QoSProfile


def endpoint_info(graph: Graph, endpoint: EndpointRecord) -> TopicEndpointInfo:
    """What ROS tells about an endpoint."""
    node = graph.node_of(endpoint)
    entries = dict(
        entry.split(b"=", 1) for entry in endpoint.user_data.split(b";") if b"=" in entry
    )
    return TopicEndpointInfo(
        node.name if node else "_NODE_NAME_UNKNOWN_",
        node.namespace if node else "_NODE_NAMESPACE_UNKNOWN_",
        names.ros_type_name(endpoint.dds_type),
        entries.get(b"typehash", b"INVALID").decode("ascii", "replace"),
        TopicEndpointTypeEnum.PUBLISHER
        if endpoint.is_writer
        else TopicEndpointTypeEnum.SUBSCRIPTION,
        list(endpoint.gid),
        from_cyclone(endpoint.qos),
    )


def service_user_data(role: bytes, gid: bytes, counter: int, type_hash: str) -> bytes:
    """USER_DATA of a service's endpoints: the same id on reader and writer, and the type hash."""
    identity = gid[:12] + struct.pack("<I", counter)
    dotted = ".".join(f"{byte:02x}" for byte in identity)
    return role + b"=" + dotted.encode() + b";typehash=" + type_hash.encode() + b";"


def service_identity(user_data: bytes | None, role: bytes) -> bytes | None:
    """The id in `service_user_data`, or None."""
    for entry in (user_data or b"").split(b";"):
        if entry.startswith(role + b"="):
            return entry.split(b"=", 1)[1]
    return None
