"""Topics, raw subscriptions, services, names."""

import array

import pytest
from rclpy.qos import (
    DurabilityPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Float32MultiArray, String
from std_srvs.srv import SetBool


def test_messages_arrive_in_order(make_node, spin_until):
    node, got = make_node(), []
    node.create_subscription(String, "topic", lambda m: got.append(m.data), 10)
    publisher = node.create_publisher(String, "topic", 10)
    spin_until(lambda: publisher.get_subscription_count() == 1)
    for number in range(5):
        publisher.publish(String(data=str(number)))
    spin_until(lambda: len(got) == 5)
    assert got == ["0", "1", "2", "3", "4"]


def test_raw_subscriptions_get_the_serialised_message(make_node, spin_until):
    node, got = make_node(), []
    node.create_subscription(Image, "image", got.append, qos_profile_sensor_data, raw=True)
    publisher = node.create_publisher(Image, "image", qos_profile_sensor_data)
    spin_until(lambda: publisher.get_subscription_count() == 1)
    message = Image(
        height=2, width=2, encoding="mono8", step=2, data=array.array("B", [1, 2, 3, 4])
    )
    publisher.publish(message)
    spin_until(lambda: got)
    assert isinstance(got[0], bytes)
    assert deserialize_message(got[0], Image) == message
    assert got[0][:4] == b"\0\1\0\0"


def test_serialised_bytes_can_be_published(make_node, spin_until):
    node, got = make_node(), []
    node.create_subscription(String, "topic", lambda m: got.append(m.data), 10)
    publisher = node.create_publisher(String, "topic", 10)
    spin_until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(serialize_message(String(data="bytes")))
    spin_until(lambda: got)
    assert got == ["bytes"]


def test_latched_messages_reach_late_joiners(make_node, spin_until):
    node, got = make_node(), []
    profile = QoSProfile(
        depth=1,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
        reliability=ReliabilityPolicy.RELIABLE,
    )
    publisher = node.create_publisher(String, "latched", profile)
    publisher.publish(String(data="early"))
    node.create_subscription(String, "latched", lambda m: got.append(m.data), profile)
    spin_until(lambda: got)
    assert got == ["early"]


def test_private_and_relative_names(make_node):
    node = make_node("camera", namespace="/robot")
    assert node.get_fully_qualified_name() == "/robot/camera"
    assert node.resolve_topic_name("~/out") == "/robot/camera/out"
    assert node.create_publisher(String, "image", 1).topic_name == "/robot/image"
    remapped = make_node("front", cli_args=["--ros-args", "-r", "image:=/raw"])
    assert remapped.resolve_topic_name("image") == "/raw"


def test_a_service_answers(make_node, executor):
    node = make_node()

    def switch(request, response):
        response.success = request.data
        response.message = "done"
        return response

    node.create_service(SetBool, "~/switch", switch)
    client = node.create_client(SetBool, "node/switch")
    assert client.wait_for_service(timeout_sec=10)
    future = client.call_async(SetBool.Request(data=True))
    executor.spin_until_future_complete(future, timeout_sec=10)
    assert future.result().success
    assert future.result().message == "done"


def test_fields_are_checked():
    with pytest.raises(AssertionError):
        Image(height="high")
    with pytest.raises(AssertionError):
        Image(no_such_field=1)
    with pytest.raises(AttributeError):
        Image().no_such_field = 1
    assert list(Float32MultiArray(data=array.array("f", [0.5])).data) == [0.5]


def test_publishing_the_wrong_type_is_an_error(make_node):
    publisher = make_node().create_publisher(String, "topic", 1)
    with pytest.raises(TypeError):
        publisher.publish(Image())
