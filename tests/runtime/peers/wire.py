"""Knows ROS 2's wire format and nothing of rclpy_lite: Cyclone DDS with plain IDL structs."""

import sys
import time
from dataclasses import dataclass

from cyclonedds.core import Qos
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, float64, int32, int64, sequence, uint8, uint32, uint64
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic


@dataclass
class Time_(IdlStruct, typename="builtin_interfaces.msg.dds_.Time_"):
    sec: int32
    nanosec: uint32


@dataclass
class Header_(IdlStruct, typename="std_msgs.msg.dds_.Header_"):
    stamp: Time_
    frame_id: str


@dataclass
class Point_(IdlStruct, typename="geometry_msgs.msg.dds_.Point_"):
    x: float64
    y: float64
    z: float64


@dataclass
class Quaternion_(IdlStruct, typename="geometry_msgs.msg.dds_.Quaternion_"):
    x: float64
    y: float64
    z: float64
    w: float64


@dataclass
class Pose_(IdlStruct, typename="geometry_msgs.msg.dds_.Pose_"):
    position: Point_
    orientation: Quaternion_


@dataclass
class PoseStamped_(IdlStruct, typename="geometry_msgs.msg.dds_.PoseStamped_"):
    header: Header_
    pose: Pose_


@dataclass
class Gid_(IdlStruct, typename="rmw_dds_common.msg.dds_.Gid_"):
    data: array[uint8, 16]


@dataclass
class NodeEntitiesInfo_(IdlStruct, typename="rmw_dds_common.msg.dds_.NodeEntitiesInfo_"):
    node_namespace: str
    node_name: str
    reader_gid_seq: sequence[Gid_]
    writer_gid_seq: sequence[Gid_]


@dataclass
class ParticipantEntitiesInfo_(
    IdlStruct, typename="rmw_dds_common.msg.dds_.ParticipantEntitiesInfo_"
):
    gid: Gid_
    node_entities_info_seq: sequence[NodeEntitiesInfo_]


@dataclass
class Request_(IdlStruct, typename="std_srvs.srv.dds_.SetBool_Request_"):
    guid: uint64
    sequence_number: int64
    data: bool


@dataclass
class Response_(IdlStruct, typename="std_srvs.srv.dds_.SetBool_Response_"):
    guid: uint64
    sequence_number: int64
    success: bool
    message: str


RELIABLE = Policy.Reliability.Reliable(10**9)
KEEP = Policy.History.KeepLast(10)


def wait_for(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("timed out")
        time.sleep(0.005)


def publish(participant):
    writer = DataWriter(
        participant, Topic(participant, "rt/pose", PoseStamped_), Qos(RELIABLE, KEEP)
    )
    wait_for(lambda: writer.get_publication_matched_status().current_count > 0)
    pose = Pose_(Point_(1.0, 2.0, 3.0), Quaternion_(0.0, 0.0, 0.6, 0.8))
    writer.write(PoseStamped_(Header_(Time_(12, 34), "wire"), pose))
    print("published")
    sys.stdin.readline()


def subscribe(participant):
    reader = DataReader(
        participant, Topic(participant, "rt/pose", PoseStamped_), Qos(RELIABLE, KEEP)
    )
    taken = []
    wait_for(lambda: taken.extend(reader.take(1)) or taken)
    got = taken[0]
    p, q = got.pose.position, got.pose.orientation
    print(
        "got",
        got.header.frame_id,
        got.header.stamp.sec,
        got.header.stamp.nanosec,
        p.x,
        p.y,
        p.z,
        q.w,
    )
    data = reader.get_matched_publication_data(reader.get_matched_publications()[0])
    print("user_data", data.qos[Policy.Userdata].data.decode())
    print("type", data.type_name)
    sys.stdin.readline()


def discovery(participant):
    latched = Qos(RELIABLE, Policy.Durability.TransientLocal, Policy.History.KeepAll)
    topic = Topic(participant, "ros_discovery_info", ParticipantEntitiesInfo_)
    reader = DataReader(participant, topic, latched)
    wanted = sys.argv[2]
    found = []

    def look():
        for message in reader.take(10):
            for node in message.node_entities_info_seq:
                if node.node_name == wanted and node.reader_gid_seq:
                    found.append((message, node))
        return found

    wait_for(look)
    message, node = found[-1]
    print("participant", bytes(message.gid.data).hex())
    print("node", node.node_namespace, node.node_name)
    print("readers", *[bytes(g.data).hex() for g in node.reader_gid_seq])
    print("writers", *[bytes(g.data).hex() for g in node.writer_gid_seq])
    sys.stdin.readline()


def call(participant):
    volatile = Qos(RELIABLE, Policy.Durability.Volatile, KEEP)
    writer = DataWriter(participant, Topic(participant, "rq/switchRequest", Request_), volatile)
    reader = DataReader(participant, Topic(participant, "rr/switchReply", Response_), volatile)
    wait_for(
        lambda: (
            writer.get_publication_matched_status().current_count > 0
            and reader.get_subscription_matched_status().current_count > 0
        )
    )
    guid = writer.instance_handle & (2**64 - 1)
    for number in (1, 2, 3):
        writer.write(Request_(guid, number, number == 2))
        taken = []
        wait_for(lambda taken=taken: taken.extend(reader.take(1)) or taken)
        reply = taken[0]
        print("reply", reply.guid == guid, reply.sequence_number, reply.success, reply.message)
    sys.stdin.readline()


def serve(participant):
    volatile = Qos(RELIABLE, Policy.Durability.Volatile, KEEP)
    reader = DataReader(participant, Topic(participant, "rq/switchRequest", Request_), volatile)
    writer = DataWriter(participant, Topic(participant, "rr/switchReply", Response_), volatile)
    print("serving")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for request in reader.take(10):
            writer.write(Response_(request.guid, request.sequence_number, not request.data, "wire"))
        time.sleep(0.005)


@dataclass
class Liar_(IdlStruct, typename="std_msgs.msg.dds_.String_"):
    length: uint32
    more: sequence[uint8]


@dataclass
class String_(IdlStruct, typename="std_msgs.msg.dds_.String_"):
    data: str


def lie(participant):
    topic = Topic(participant, "rt/text", Liar_)
    writer = DataWriter(participant, topic, Qos(RELIABLE, KEEP))
    wait_for(lambda: writer.get_publication_matched_status().current_count > 0)
    for length in (0xFFFFFFFF, 0, 5, 0x7FFFFFFF):
        writer.write(Liar_(length, [0xFF] * 12))
    print("lied")
    sys.stdin.readline()


def tell(participant):
    topic = Topic(participant, "rt/text", String_)
    writer = DataWriter(participant, topic, Qos(RELIABLE, KEEP))
    wait_for(lambda: writer.get_publication_matched_status().current_count > 0)
    writer.write(String_("the truth"))
    print("told")
    sys.stdin.readline()


ROLES = {
    "lie": lie,
    "tell": tell,
    "publish": publish,
    "subscribe": subscribe,
    "discovery": discovery,
    "call": call,
    "serve": serve,
}

if __name__ == "__main__":
    import os

    number = int(os.environ["ROS_DOMAIN_ID"])
    # ROS 2's own Cyclone knows no types to compare; Python's must be told to leave that.
    by_name = "<Compatibility><IgnoreTypeInformation>1.16</IgnoreTypeInformation></Compatibility>"
    domain = Domain(number, f"{os.environ['CYCLONEDDS_URI']},{by_name}")
    ROLES[sys.argv[1]](DomainParticipant(number))
