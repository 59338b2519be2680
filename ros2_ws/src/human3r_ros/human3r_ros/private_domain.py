"""A DDS domain of its own: on this machine only, and not one that somebody uses."""

import random
import socket

from rclpy_lite.transport import loopback_environment

from human3r.errors import DeviceError

# Above 101 the ports of a domain lie where systems take the ports of outgoing connections from.
_CANDIDATES = range(20, 101)
_PORTS_FROM = 7400
_PORTS_PER_DOMAIN = 250
_FIRST_UNICAST_PORT = 10


def private_environment() -> dict[str, str]:
    """Environment variables for the processes of one private, loopback-only domain.

    Raises:
        DeviceError: every candidate is in use.
    """
    for domain_id in random.sample(_CANDIDATES, len(_CANDIDATES)):
        if _is_free(domain_id):
            return loopback_environment(domain_id)
    raise DeviceError(
        f"all DDS domains from {_CANDIDATES[0]} to {_CANDIDATES[-1]} are in use on this machine; "
        "expected a free one. End some ROS processes."
    )


def _is_free(domain_id: int) -> bool:
    """Whether nobody holds the port that the first participant of the domain would take."""
    port = _PORTS_FROM + _PORTS_PER_DOMAIN * domain_id + _FIRST_UNICAST_PORT
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
