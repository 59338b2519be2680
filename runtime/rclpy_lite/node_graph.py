"""The half of a node that asks who else is there."""

from typing import Any

from rclpy_lite import names
from rclpy_lite.graph import EndpointRecord, Graph, NodeRecord, TopicEndpointInfo, endpoint_info

NamesAndTypes = list[tuple[str, list[str]]]


class NodeNameNonExistentError(Exception):
    """No node of that name is known."""

    def __init__(self, name: str) -> None:
        super().__init__(f"cannot get names and types for nonexistent node: {name}")


class NodeGraph:
    """Graph queries; a base of `Node`."""

    context: Any

    @property
    def _graph(self) -> Graph:
        return self.context.graph

    def get_node_names_and_namespaces(self) -> list[tuple[str, str]]:
        """Every known node."""
        return [(node.name, node.namespace) for node in self._graph.nodes()]

    def get_node_names(self) -> list[str]:
        """Names of every known node."""
        return [node.name for node in self._graph.nodes()]

    def get_fully_qualified_node_names(self) -> list[str]:
        """Names with namespaces of every known node."""
        return [names.full_name(node.namespace, node.name) for node in self._graph.nodes()]

    def get_node_names_and_namespaces_with_enclaves(self) -> list[tuple[str, str, str]]:
        """Every known node; without security there is one enclave."""
        return [(node.name, node.namespace, "/") for node in self._graph.nodes()]

    def get_topic_names_and_types(self, no_demangle: bool = False) -> NamesAndTypes:
        """Every known topic with its types."""
        if no_demangle:
            raise NotImplementedError("graph queries with no_demangle")
        return self._graph.types_by_topic(self._graph.endpoints())

    def get_service_names_and_types(self) -> NamesAndTypes:
        """Every known service with its types."""
        return self._graph.types_by_service(self._graph.endpoints())

    def _endpoints_of(self, name: str, namespace: str) -> tuple[list, list]:
        found: list[NodeRecord] = [
            node
            for node in self._graph.nodes()
            if node.name == name and node.namespace == names.check_namespace(namespace)
        ]
        if not found:
            raise NodeNameNonExistentError(names.full_name(namespace, name))
        writers = {gid for node in found for gid in node.writers}
        readers = {gid for node in found for gid in node.readers}
        known = self._graph.endpoints()
        return (
            [e for e in known if e.is_writer and e.gid in writers],
            [e for e in known if not e.is_writer and e.gid in readers],
        )

    def get_publisher_names_and_types_by_node(
        self, node_name: str, node_namespace: str, no_demangle: bool = False
    ) -> NamesAndTypes:
        """Topics a node publishes."""
        return self._graph.types_by_topic(self._endpoints_of(node_name, node_namespace)[0])

    def get_subscriber_names_and_types_by_node(
        self, node_name: str, node_namespace: str, no_demangle: bool = False
    ) -> NamesAndTypes:
        """Topics a node subscribes to."""
        return self._graph.types_by_topic(self._endpoints_of(node_name, node_namespace)[1])

    def get_service_names_and_types_by_node(
        self, node_name: str, node_namespace: str
    ) -> NamesAndTypes:
        """Services a node offers."""
        readers = self._endpoints_of(node_name, node_namespace)[1]
        return self._graph.types_by_service([e for e in readers if e.dds_topic.startswith("rq/")])

    def get_client_names_and_types_by_node(
        self, node_name: str, node_namespace: str
    ) -> NamesAndTypes:
        """Services a node has clients of."""
        writers = self._endpoints_of(node_name, node_namespace)[0]
        return self._graph.types_by_service([e for e in writers if e.dds_topic.startswith("rq/")])

    def _of_topic(self, topic_name: str, is_writer: bool) -> list[EndpointRecord]:
        absolute = self.resolve_topic_name(topic_name)  # type: ignore[attr-defined]
        found = self._graph.endpoints(names.dds_topic_name(absolute))
        return [endpoint for endpoint in found if endpoint.is_writer == is_writer]

    def count_publishers(self, topic_name: str) -> int:
        """Number of publishers of a topic on the network, ours included."""
        return len(self._of_topic(topic_name, is_writer=True))

    def count_subscribers(self, topic_name: str) -> int:
        """Number of subscriptions of a topic on the network, ours included."""
        return len(self._of_topic(topic_name, is_writer=False))

    def _of_service(self, service_name: str, is_writer: bool) -> int:
        absolute = self.resolve_service_name(service_name)  # type: ignore[attr-defined]
        request = names.dds_service_names(absolute)[0]
        return sum(e.is_writer == is_writer for e in self._graph.endpoints(request))

    def count_clients(self, service_name: str) -> int:
        """Number of clients of a service."""
        return self._of_service(service_name, is_writer=True)

    def count_services(self, service_name: str) -> int:
        """Number of servers of a service."""
        return self._of_service(service_name, is_writer=False)

    def get_publishers_info_by_topic(
        self, topic_name: str, no_mangle: bool = False
    ) -> list[TopicEndpointInfo]:
        """Publishers of a topic with node, type and QoS."""
        return [endpoint_info(self._graph, e) for e in self._of_topic(topic_name, is_writer=True)]

    def get_subscriptions_info_by_topic(
        self, topic_name: str, no_mangle: bool = False
    ) -> list[TopicEndpointInfo]:
        """Subscriptions of a topic with node, type and QoS."""
        return [endpoint_info(self._graph, e) for e in self._of_topic(topic_name, is_writer=False)]

    def wait_for_node(self, fully_qualified_node_name: str, timeout: float) -> bool:
        """True as soon as a node of that name is known, False after ``timeout`` seconds."""
        wanted = fully_qualified_node_name
        wanted = wanted if wanted.startswith("/") else f"/{wanted}"
        with self._graph.changed:
            return self._graph.changed.wait_for(
                lambda: wanted in self.get_fully_qualified_node_names(), timeout
            )
