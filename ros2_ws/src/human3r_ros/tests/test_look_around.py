"""What the graph shows beside the messages: kinds of topics, durability, names; no process."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from human3r_msgs.msg import FrameStatus
from human3r_ros import qos
from human3r_ros.commands import graph_view
from human3r_ros.inputs import Inputs, other_definitions
from human3r_ros.throttled_log import ThrottledLog
from human3r_ros.timers import namesakes
from human3r_ros.transforms import DepthImages
from human3r_ros.worker import FrameQueue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from human3r.camera.calibration import CalibrationCache
from human3r.config import Settings
from ros2_ws.src.human3r_ros.tests.node_process import intrinsics_info
from ros2_ws.src.human3r_ros.tests.running_process import Peer, wait_until

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def peer(private_domain):
    made = Peer("human3r")
    yield made
    made.close()


@pytest.fixture
def other(private_domain):
    context = Context()
    rclpy.init(args=[], context=context)
    node = Node("camera", context=context, use_global_arguments=False)
    yield node
    node.destroy_node()
    context.try_shutdown()


@pytest.fixture
def inputs(peer):
    """Opened with these settings; ``said`` collects the warnings."""
    opened = []

    def open_inputs(**settings):
        said, calibrations = [], CalibrationCache()
        made = Inputs(
            *(peer.node, MutuallyExclusiveCallbackGroup(), FrameQueue(1, keep_newest=True)),
            *(calibrations, DepthImages(10**6), ThrottledLog(said.append).warn),
        )
        made.open(Settings().replace({name.replace("__", "."): v for name, v in settings.items()}))
        opened.append(made)
        return SimpleNamespace(it=made, said=said, calibrations=calibrations)

    yield open_inputs
    for made in opened:
        made.close()


@pytest.mark.parametrize(
    ("transport", "topic", "kind", "words"),
    [
        ("raw", "/image/compressed", CompressedImage, "Only /image/compressed is published: add"),
        ("raw", "/image", CompressedImage, "carries sensor_msgs/msg/CompressedImage: add --comp"),
        ("compressed", "/image", Image, "Only /image is published: leave --compressed"),
        ("compressed", "/image/compressed", Image, "carries sensor_msgs/msg/Image: leave --comp"),
        ("raw", "/image", CameraInfo, "carries sensor_msgs/msg/CameraInfo; expected sensor_msgs"),
        ("raw", "/elsewhere", Image, "It has no publisher; there are images on /elsewhere"),
        ("raw", "/image", Image, ""),
    ],
)
def test_silence_names_its_cause(inputs, peer, other, transport, topic, kind, words):
    other.create_publisher(kind, topic, 5)
    opened = inputs(input__transport=transport)
    wait_until(lambda: peer.node.count_publishers(topic), what="discovery")
    opened.it.check(1.0)
    # DDS may have said already that the types differ.
    assert all("another type" in text for text in opened.said)
    opened.said.clear()
    opened.it.check(6.0)
    said = [text for text in opened.said if "another type" not in text]
    assert len(said) == bool(words)
    assert all(words in text and "no image on" in text for text in said)
    facts = opened.it.facts(time.monotonic(), 6.0)
    assert (facts.cause in words or words in facts.cause) or topic == "/elsewhere"


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_calibration_that_was_sent_once_before_the_start_is_heard(inputs, peer, other, is_alone):
    other.create_publisher(CameraInfo, "/camera_info", LATCHED).publish(intrinsics_info())
    if not is_alone:
        other.create_publisher(CameraInfo, "/camera_info", 5)
    opened = inputs()

    def is_there():
        opened.it.check(0.0)
        return opened.calibrations.frames()

    wait_until(is_there, 10, "the calibration")
    assert opened.it.topics() == ["/image", "/camera_info"]
    assert opened.calibrations.for_image("camera_optical", 80, 60).intrinsics.fx == 90.0


def test_a_calibration_that_is_not_latched_needs_no_second_subscription(inputs, peer, other):
    publisher = other.create_publisher(CameraInfo, "/camera_info", 5)
    opened = inputs()
    wait_until(lambda: publisher.get_subscription_count(), what="discovery")
    opened.it.check(0.0)
    assert publisher.get_subscription_count() == 1
    publisher.publish(intrinsics_info(d=np.zeros(8)))
    wait_until(opened.calibrations.frames, what="the calibration")


def test_nodes_of_the_same_name_are_counted(peer, private_domain):
    assert namesakes(peer.node) == ""
    twin = Peer("human3r")
    try:
        wait_until(lambda: namesakes(peer.node), what="discovery")
        assert namesakes(twin.node).startswith("2 nodes are named /human3r")
    finally:
        twin.close()


def test_another_definition_of_the_same_message_is_said_with_the_fields_here(peer, other):
    publisher = peer.node.create_publisher(Image, "/own", 1)
    other.create_subscription(Image, "/own", lambda _: None, 1)
    wait_until(lambda: peer.node.count_subscribers("/own"), 10, "the reader")
    ours = peer.node.get_publishers_info_by_topic(publisher.topic_name)[0]
    theirs = peer.node.get_subscriptions_info_by_topic(publisher.topic_name)[0]
    assert other_definitions(peer.node, "/own") == ""
    assert qos.other_definition(ours, theirs) == ""
    theirs.topic_type_hash = "RIHS01_" + 64 * "7"
    told = qos.other_definition(ours, theirs)
    assert told.startswith("has another definition of sensor_msgs/msg/Image")
    assert "width (uint32)" in told
    assert "encoding (string)" in told
    theirs.topic_type = "sensor_msgs/msg/CompressedImage"
    assert "has the topic as sensor_msgs/msg/CompressedImage" in qos.other_definition(ours, theirs)
    theirs.topic_type = ours.topic_type
    theirs.topic_type_hash = "INVALID"
    assert qos.other_definition(ours, theirs) == ""


@pytest.mark.parametrize("is_output", [True, False])
def test_doctor_says_whose_end_of_a_topic_has_another_type(peer, other, is_output):
    end = {True: "create_publisher", False: "create_subscription"}
    ends = [(peer.node, Image, is_output), (other, CompressedImage, not is_output)]
    for node, kind, publishes in ends:
        arguments = (kind, "/x", 1) if publishes else (kind, "/x", lambda _: None, 1)
        getattr(node, end[publishes])(*arguments)
    viewer = Peer("viewer")
    try:
        ask = viewer.node.count_subscribers, viewer.node.count_publishers
        wait_until(lambda: all(count("/x") for count in ask), 10, "both ends")
        seen = graph_view.topic_view(viewer.node, "/human3r", "/x", is_output, None)
    finally:
        viewer.close()
    assert seen.mismatches == []
    (told,) = seen.other_definitions
    assert told.startswith(
        "/camera has the topic as sensor_msgs/msg/CompressedImage; expected sensor_msgs/msg/Image"
    )


def test_pictures_of_another_human3r_are_no_camera_to_be_read(inputs, peer, other):
    other.create_publisher(FrameStatus, "/r2/human3r/status", 5)
    other.create_publisher(Image, "/r2/human3r/depth/image", 5)
    other.create_publisher(CameraInfo, "/r2/human3r/depth/camera_info", 5)
    other.create_publisher(Image, "/front/image_raw", 5)
    opened = inputs()
    wait_until(lambda: peer.node.count_publishers("/front/image_raw"), what="discovery")
    opened.it.check(6.0)
    (said,) = (text for text in opened.said if "no image on" in text)
    assert "there are images on /front/image_raw. Start the camera" in said
    assert "/r2" not in opened.calibrations.source()
    view = graph_view._images(peer.node, ())
    assert view == ["/front/image_raw"]
