"""What the bridge publishes goes into a bag and out again, without any ROS 2 package."""

import array
import subprocess
import sys

import numpy as np
import pytest
from geometry_msgs.msg import Pose
from hri_msgs.msg import IdsList, Skeleton2D
from human3r_ros.bag_file import BagFile
from human3r_ros.commands import record
from human3r_ros.commands.message_class import message_class
from people_msgs.msg import People, Person
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import BoundingBox3D, Detection3D, Detection3DArray

from human3r.io import open_source

# Stops where the recorder would meet the network, and says which types it could write.
WHAT_IS_KNOWN = """
import sys
from human3r_ros.commands import record
from human3r_ros.bag_file import describe_type
from human3r_ros.commands.message_class import message_class

NAMES = ("hri_msgs/msg/IdsList", "people_msgs/msg/People", "vision_msgs/msg/Detection3DArray")

def known():
    count = 0
    for name in NAMES:
        try:
            describe_type(name), message_class(name)
        except LookupError:
            continue
        count += 1
    return count

def session(*args, **kwargs):
    print(before, known())
    sys.exit(0)

before = known()
record.client_session = session
record.main(["--out", sys.argv[1], "--all"])
"""


def test_the_recorder_knows_the_messages_of_the_bridge(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WHAT_IS_KNOWN, str(tmp_path / "bag")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert before < after == 3


def test_a_recorder_without_the_bridge_goes_on(monkeypatch):
    monkeypatch.setattr(record, "find_spec", lambda name: None)
    monkeypatch.setattr(record, "import_module", lambda name: pytest.fail(f"imported {name}"))
    record.know_bridge_messages()


def messages():
    header = Header(frame_id="camera_optical")
    header.stamp.sec = 7
    skeleton = Skeleton2D(header=header)
    skeleton.skeleton[Skeleton2D.LEFT_EAR].x = 0.25
    box = BoundingBox3D(center=Pose())
    box.size.z = 1.7
    pixels = array.array("B", np.arange(4 * 6 * 3, dtype=np.uint8).tobytes())
    return {
        "/camera/image_raw": Image(
            header=header, height=4, width=6, encoding="rgb8", step=18, data=pixels
        ),
        "/humans/bodies/tracked": IdsList(header=header, ids=["h3r00001", "h3r00002"]),
        "/humans/bodies/h3r00001/skeleton2d": skeleton,
        "/people": People(header=header, people=[Person(name="h3r00001", reliability=0.75)]),
        "/human3r_bridge/detections": Detection3DArray(
            header=header, detections=[Detection3D(header=header, bbox=box, id="h3r00001")]
        ),
    }


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_bag_with_every_kind_of_message_is_read_by_any_reader(tmp_path, storage):
    sent, bag = messages(), BagFile(tmp_path / "bag", storage)
    for number, (topic, message) in enumerate(sent.items()):
        typename = type(message).__module__.split(".")[0] + "/msg/" + type(message).__name__
        connection = bag.add_topic(topic, typename, [QoSProfile(depth=5)])
        bag.write(connection, 7_000_000_000 + number, serialize_message(message))
    bag.finish({})

    # The definitions are in the bag: the reader is given none.
    with AnyReader([tmp_path / "bag"]) as reader:
        raw = {c.topic: (c.msgtype, bytes(data)) for c, _, data in reader.messages()}
        read = {c.topic: reader.deserialize(data, c.msgtype) for c, _, data in reader.messages()}
    assert read["/humans/bodies/tracked"].ids == ["h3r00001", "h3r00002"]
    assert read["/people"].people[0].reliability == 0.75
    assert read["/human3r_bridge/detections"].detections[0].bbox.size.z == 1.7
    ear = read["/humans/bodies/h3r00001/skeleton2d"].skeleton[Skeleton2D.LEFT_EAR]
    assert ear.x == 0.25
    # Byte for byte what a player would send.
    for topic, (typename, data) in raw.items():
        assert deserialize_message(data, message_class(typename)) == sent[topic]

    # `human3r play` finds the images among them.
    with open_source(tmp_path / "bag") as source:
        (frame,) = source
    assert (frame.image.shape, frame.frame_id) == ((4, 6, 3), "camera_optical")
