"""Cyclone's configuration: what we set or print must be valid for ROS 2's Cyclone DDS 0.10 too."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from rclpy_lite.transport import loopback_environment, participant_configuration

ROOT = Path(__file__).resolve().parents[2]
# Of Cyclone DDS 0.10.5 (Humble to Kilted): children and attributes of the elements that a
# configuration of a ROS node usually holds. It ends the process when it meets another one.
CHILDREN = {
    "CycloneDDS": "Domain",
    "Domain": "Compatibility Discovery General Internal Partitioning SSL Security SharedMemory "
    "Sizing TCP Threads Tracing",
    "Compatibility": "AssumeRtiHasPmdEndpoints ExplicitlyPublishQosSetToDefault ManySocketsMode "
    "StandardsConformance",
    "General": "AllowMulticast DontRoute EnableMulticastLoopback EntityAutoNaming "
    "ExternalNetworkAddress ExternalNetworkMask FragmentSize Interfaces MaxMessageSize "
    "MaxRexmitMessageSize MulticastRecvNetworkInterfaceAddresses MulticastTimeToLive "
    "RedundantNetworking Transport UseIPv6",
    "Interfaces": "NetworkInterface",
    "Discovery": "DSGracePeriod DefaultMulticastAddress EnableTopicDiscoveryEndpoints "
    "ExternalDomainId LeaseDuration MaxAutoParticipantIndex ParticipantIndex Peers Ports "
    "SPDPInterval SPDPMulticastAddress Tag",
    "Peers": "Peer",
    "Internal": "MaxSampleSize SocketReceiveBufferSize SocketSendBufferSize Watermarks",
    "Tracing": "AppendToFile Category OutputFile PacketCaptureFile Verbosity",
}
ATTRIBUTES = {
    "Domain": "Id",
    "NetworkInterface": "address autodetermine multicast name prefer_multicast presence_required "
    "priority",
    "Peer": "Address address",
    "SocketReceiveBufferSize": "max min",
    "SocketSendBufferSize": "max min",
}


def unknown_to_0_10(configuration: str) -> list[str]:
    """Elements and attributes of a fragment that Cyclone DDS 0.10 refuses."""
    unknown = []

    def look(element):
        for child in element:
            if child.tag not in CHILDREN.get(element.tag, "").split():
                unknown.append(f"{element.tag}/{child.tag}")
            look(child)
        known = ATTRIBUTES.get(element.tag, "").split()
        unknown.extend(f"{element.tag}@{name}" for name in element.attrib if name not in known)

    root = ElementTree.fromstring(configuration)
    # Cyclone takes fragments that begin further inside.
    if root.tag != "CycloneDDS" and root.tag not in " ".join(CHILDREN.values()).split():
        unknown.append(root.tag)
    look(root)
    return unknown


def printed_configurations() -> list[tuple[str, str]]:
    """(file, XML) of every piece of Cyclone configuration in documents and shipped files."""
    kinds = ("*.md", "*.xml", "*.yaml", "Dockerfile", "*.repos")
    names = "|".join({*CHILDREN, *ATTRIBUTES, *" ".join(CHILDREN.values()).split()})
    piece = re.compile(rf"<({names})\b[^>]*>.*?</\1>", re.DOTALL)
    folders = [ROOT / "docs", ROOT / "runtime", ROOT / "ros2_ws", ROOT / "examples"]
    files = [path for folder in folders for kind in kinds for path in folder.rglob(kind)]
    files += [path for kind in kinds for path in ROOT.glob(kind)]
    return [
        (path.name, found.group(0))
        for path in files
        for found in piece.finditer(path.read_text(errors="replace"))
    ]


def test_the_validator_refuses_what_cyclone_0_10_refuses():
    wrong = "<Compatibility><IgnoreTypeInformation>1.16</IgnoreTypeInformation></Compatibility>"
    assert unknown_to_0_10(wrong) == ["Compatibility/IgnoreTypeInformation"]


def test_every_configuration_that_other_processes_get_is_valid_for_cyclone_0_10():
    environment = loopback_environment(1)["CYCLONEDDS_URI"]
    for origin, configuration in [("environment", environment), *printed_configurations()]:
        assert unknown_to_0_10(configuration) == [], f"{origin}: {configuration}"


@pytest.mark.parametrize("given", ["", "<General/>", "file:///etc/cyclonedds.xml"])
def test_our_participant_matches_types_by_name_whatever_the_environment_says(monkeypatch, given):
    monkeypatch.setenv("CYCLONEDDS_URI", given)
    ours, _, rest = participant_configuration().partition(",")
    assert "<IgnoreTypeInformation>1.16</IgnoreTypeInformation>" in ours
    if given:
        assert rest == given, "the user's comes last and wins"
    else:
        assert unknown_to_0_10(rest) == []
        assert "SocketReceiveBufferSize" in rest
