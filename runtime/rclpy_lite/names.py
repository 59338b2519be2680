"""Names: ROS rules, expansion and remapping, and what they become in DDS."""

import re

from rclpy_lite.exceptions import (
    InvalidNamespaceException,
    InvalidNodeNameException,
    InvalidTopicNameException,
)

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
MAX_NAME_LENGTH = 255 - len("rr/") - len("Reply")


def check_node_name(name: str) -> str:
    """The name itself.

    Raises:
        InvalidNodeNameException: empty, too long, or other characters than letters, digits, _.
    """
    if not name or len(name) > 255 or not _TOKEN.match(name):
        raise InvalidNodeNameException(
            name, "node names hold letters, digits and underscores and do not start with a digit"
        )
    return name


def check_namespace(namespace: str) -> str:
    """The namespace with one leading slash and no trailing one.

    Raises:
        InvalidNamespaceException: it breaks ROS 2's rules.
    """
    absolute = namespace if namespace.startswith("/") else f"/{namespace}"
    if absolute == "/":
        return absolute
    if not all(_TOKEN.match(part) for part in absolute[1:].split("/")):
        raise InvalidNamespaceException(
            namespace, "namespaces are tokens of letters, digits and underscores between slashes"
        )
    return absolute


def full_name(namespace: str, name: str) -> str:
    """``/namespace/name``."""
    return f"{namespace.rstrip('/')}/{name}"


def expand(name: str, node_name: str, namespace: str) -> str:
    """A topic or service name as an absolute one; ``~/x`` is private, ``{node}``, ``{ns}`` known.

    Raises:
        InvalidTopicNameException: it breaks ROS 2's rules.
    """
    if not name:
        raise InvalidTopicNameException(name, "it is empty")
    own = full_name(namespace, node_name)
    filled = name.replace("{node}", node_name)
    for key in ("{ns}", "{namespace}"):
        filled = filled.replace(key, namespace)
    if filled.startswith("~"):
        if filled not in ("~",) and not filled.startswith("~/"):
            raise InvalidTopicNameException(name, "'~' must be followed by '/'")
        filled = own + filled[1:]
    elif not filled.startswith("/"):
        filled = full_name(namespace, filled)
    return check_absolute(filled, name)


def check_absolute(name: str, as_given: str | None = None) -> str:
    """The absolute name itself.

    Raises:
        InvalidTopicNameException: it breaks ROS 2's rules.
    """
    as_given = name if as_given is None else as_given
    parts = name[1:].split("/")
    if not name.startswith("/") or not all(_TOKEN.match(part) for part in parts):
        raise InvalidTopicNameException(
            as_given,
            "names are tokens of letters, digits and underscores between single slashes, and a "
            "token does not start with a digit",
        )
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidTopicNameException(as_given, f"longer than {MAX_NAME_LENGTH} characters")
    return name


def dds_topic_name(topic: str) -> str:
    """``rt/chatter`` for ``/chatter``."""
    return f"rt{topic}"


def dds_service_names(service: str) -> tuple[str, str]:
    """DDS topics for request and reply of a service."""
    return f"rq{service}Request", f"rr{service}Reply"


def dds_type_name(typename: str) -> str:
    """``sensor_msgs::msg::dds_::Image_`` for ``sensor_msgs/msg/Image``."""
    package, kind, name = typename.split("/")
    return f"{package}::{kind}::dds_::{name}_"


def ros_type_name(dds_type: str) -> str:
    """The inverse of `dds_type_name`; other names come back as they are."""
    match = re.fullmatch(r"(\w+)::(msg|srv|action)::dds_::(\w+)_", dds_type)
    return "/".join(match.groups()) if match else dds_type


def ros_topic_name(dds_topic: str) -> str | None:
    """``/chatter`` for ``rt/chatter``; None for what is not a ROS topic."""
    return dds_topic[2:] if dds_topic.startswith("rt/") else None


def ros_service_name(dds_topic: str) -> str | None:
    """The service of a request or reply topic; None for what is neither."""
    for prefix, suffix in (("rq/", "Request"), ("rr/", "Reply")):
        if dds_topic.startswith(prefix) and dds_topic.endswith(suffix):
            return dds_topic[2 : -len(suffix)]
    return None
