"""A DDS domain of its own: on this machine only, and not one that is in use."""

import atexit
import random
import socket

from human3r.errors import DeviceError
from human3r_ros.ros_api import is_before_iron, is_lite

# Above 101 the ports of a domain lie where systems take the ports of outgoing connections from.
_CANDIDATES = range(20, 101)
_PORTS_FROM = 7400
_PORTS_PER_DOMAIN = 250
_FIRST_UNICAST_PORT = 10
_LAST_PORT = 249  # No participant of a domain ever takes it.


def private_environment() -> dict[str, str]:
    """Environment variables for the processes of one private, loopback-only domain.

    No other process gets the same domain while this process lives, also not one that asks at the
    same moment.

    Raises:
        DeviceError: every candidate is in use.
    """
    for domain_id in random.sample(_CANDIDATES, len(_CANDIDATES)):
        if _reserve(domain_id):
            return _loopback_environment(domain_id)
    raise DeviceError(
        f"all DDS domains from {_CANDIDATES[0]} to {_CANDIDATES[-1]} are in use on this machine; "
        "expected a free one. End some ROS processes."
    )


def _loopback_environment(domain_id: int) -> dict[str, str]:
    if is_lite():
        from rclpy_lite.transport import loopback_environment

        return loopback_environment(domain_id)
    # ROS 2 with whatever middleware; Humble knows the older of the two variables alone.
    local = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    if is_before_iron():
        local = {"ROS_LOCALHOST_ONLY": "1"}
    return {"ROS_DOMAIN_ID": str(domain_id), **local}


def _reserve(domain_id: int) -> bool:
    """Whether the domain is not in use; then it is this process's."""
    base = _PORTS_FROM + _PORTS_PER_DOMAIN * domain_id
    held = _bound(base + _LAST_PORT)
    if held is None:
        return False
    first = _bound(base + _FIRST_UNICAST_PORT)
    if first is None:
        held.close()
        return False
    first.close()
    atexit.register(held.close)
    return True


def _bound(port: int) -> socket.socket | None:
    """A socket that holds a UDP port; None when the port is taken."""
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        held.bind(("", port))
    except OSError:
        held.close()
        return None
    return held
