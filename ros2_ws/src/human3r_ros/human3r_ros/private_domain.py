"""A DDS domain of its own: on this machine only, and not one that somebody uses."""

import atexit
import random
import socket

from rclpy_lite.transport import loopback_environment

from human3r.errors import DeviceError

# Above 101 the ports of a domain lie where systems take the ports of outgoing connections from.
_CANDIDATES = range(20, 101)
_PORTS_FROM = 7400
_PORTS_PER_DOMAIN = 250
_FIRST_UNICAST_PORT = 10
_LAST_PORT = 249  # No participant of a domain ever takes it.


def private_environment() -> dict[str, str]:
    """Environment variables for the processes of one private, loopback-only domain.

    Nobody else is given the same domain while this process lives, also not one that asks at the
    same moment.

    Raises:
        DeviceError: every candidate is in use.
    """
    for domain_id in random.sample(_CANDIDATES, len(_CANDIDATES)):
        if _reserve(domain_id):
            return loopback_environment(domain_id)
    raise DeviceError(
        f"all DDS domains from {_CANDIDATES[0]} to {_CANDIDATES[-1]} are in use on this machine; "
        "expected a free one. End some ROS processes."
    )


def _reserve(domain_id: int) -> bool:
    """Whether nobody uses the domain; then it is this process's."""
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
    """A socket that keeps a UDP port taken; None when somebody else has it."""
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        held.bind(("", port))
    except OSError:
        held.close()
        return None
    return held
