"""The half of a node that knows its own name and those of its topics and services."""

from typing import Any

from rclpy_lite import arguments as ros_arguments
from rclpy_lite import names


class NodeNames:
    """Names, with remapping; a base of `Node`."""

    _context: Any

    def _read_arguments(
        self, cli_args: list[str] | None, use_global: bool
    ) -> ros_arguments.RosArguments:
        local = ros_arguments.parse(cli_args or [])
        self._arguments = [local]
        if use_global:
            self._arguments.append(self._context.arguments)
        return self._context.arguments if use_global else local

    def _set_names(self, name: str, namespace: str) -> None:
        names.check_node_name(name)
        found = {"name": name, "namespace": names.check_namespace(namespace)}
        for arguments in reversed(self._arguments):
            for rule in arguments.rules:
                if rule.node in (None, name):
                    if rule.source in ("__node", "__name"):
                        found["name"] = names.check_node_name(rule.target)
                    elif rule.source == "__ns":
                        found["namespace"] = names.check_namespace(rule.target)
        self._given_name = name
        self._name = found["name"]
        self._namespace = found["namespace"]

    def get_name(self) -> str:
        """The name, without namespace."""
        return self._name

    def get_namespace(self) -> str:
        """The namespace, with a leading slash."""
        return self._namespace

    def get_fully_qualified_name(self) -> str:
        """Namespace and name."""
        return names.full_name(self._namespace, self._name)

    # Names of topics and services.

    def _resolve(self, name: str, only_expand: bool) -> str:
        expanded = names.expand(name, self._name, self._namespace)
        if only_expand:
            return expanded
        for arguments in self._arguments:
            for rule in arguments.rules:
                if rule.source.startswith("__") or rule.node not in (None, self._given_name):
                    continue
                source = rule.source.split("://")[-1]
                if names.expand(source, self._name, self._namespace) == expanded:
                    return names.expand(rule.target, self._name, self._namespace)
        return expanded

    def resolve_topic_name(self, topic: str, *, only_expand: bool = False) -> str:
        """The absolute name after remapping."""
        return self._resolve(topic, only_expand)

    def resolve_service_name(self, service: str, *, only_expand: bool = False) -> str:
        """The absolute name after remapping."""
        return self._resolve(service, only_expand)
