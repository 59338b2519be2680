"""Domain id and Cyclone DDS configuration, from the environment or by default."""

import os

from rclpy_lite.exceptions import RCLError

_LOOPBACK = """
<General>
  <AllowMulticast>false</AllowMulticast>
  <Interfaces><NetworkInterface address="127.0.0.1"/></Interfaces>
</General>
<Discovery>
  <ParticipantIndex>auto</ParticipantIndex>
  <MaxAutoParticipantIndex>40</MaxAutoParticipantIndex>
  <Peers><Peer address="127.0.0.1"/></Peers>
</Discovery>"""

# Measured with 1280x720 RGB images: with the kernel's default buffers 38 % of best-effort images
# are lost, with 4 MB none. Without a minimum, Cyclone takes what the kernel allows and goes on.
_BUFFERS = '<Internal><SocketReceiveBufferSize max="4MB"/></Internal>'

# ROS 2 matches types by name alone. Python's cyclonedds also announces their structure, and two
# such processes refuse each other over a mere string bound; 1.16 is Eclipse's vendor id. Never in
# an environment variable: ROS 2's Cyclone DDS 0.10 does not know the element and refuses to start.
_BY_NAME = "<Compatibility><IgnoreTypeInformation>1.16</IgnoreTypeInformation></Compatibility>"

MAX_DOMAIN_ID = 232
"""Above this the ports of DDS do not fit into 16 bits."""


def _configuration(inside: str) -> str:
    compact = "".join(line.strip() for line in inside.splitlines())
    return f'<CycloneDDS><Domain Id="any">{compact}</Domain></CycloneDDS>'


def _is_local_only() -> bool:
    return (
        os.environ.get("ROS_LOCALHOST_ONLY", "0") == "1"
        or os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper() == "LOCALHOST"
    )


def participant_configuration() -> str:
    """What our own participant is configured with; no other process sees it.

    CYCLONEDDS_URI, or what goes without it, behind a fragment of ours, so that the user's word
    wins over it.
    """
    given = os.environ.get("CYCLONEDDS_URI")
    if not given:
        given = _configuration((_LOOPBACK if _is_local_only() else "") + _BUFFERS)
    return f"{_configuration(_BY_NAME)},{given}"


def domain_id_from_environment() -> int:
    """ROS_DOMAIN_ID, or 0.

    Raises:
        RCLError: it is not a number from 0 to 232.
    """
    text = os.environ.get("ROS_DOMAIN_ID", "").strip() or "0"
    if not text.isdigit() or int(text) > MAX_DOMAIN_ID:
        raise RCLError(
            f"ROS_DOMAIN_ID: got {text!r}; expected a number from 0 to {MAX_DOMAIN_ID}. "
            "Unset it or set such a number."
        )
    return int(text)


def loopback_environment(domain_id: int) -> dict[str, str]:
    """Environment variables that keep a process on 127.0.0.1, without multicast.

    Valid for ROS 2's Cyclone DDS too, so that its nodes can take part.
    For tests and demonstrations; 41 processes can take part at once.

    Raises:
        RCLError: the domain id is out of range.
    """
    if not 0 <= domain_id <= MAX_DOMAIN_ID:
        raise RCLError(f"domain_id: got {domain_id}; expected 0 to {MAX_DOMAIN_ID}.")
    return {
        "ROS_DOMAIN_ID": str(domain_id),
        "CYCLONEDDS_URI": _configuration(_LOOPBACK + _BUFFERS),
    }
