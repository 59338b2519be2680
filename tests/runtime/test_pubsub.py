"""Topics between two processes."""

import threading
import time

import pytest
from rclpy_lite.exceptions import RCLError
from rclpy_lite.messages import get_message, store
from rclpy_lite.qos import (
    MAX_BLOCKING_NS,
    MAX_KEEP_ALL,
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from rclpy_lite.transport import idl_types
from rclpy_lite.transport.cyclone import _FreeWriter

String = get_message("std_msgs/msg/String")
Image = get_message("sensor_msgs/msg/Image")


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("reliability", ["reliable", "best_effort"])
def test_images_at_30_hz_arrive_complete_and_in_order(
    make_node, spin, start_peer, raw, reliability
):
    node = make_node()
    numbers = []

    def on_image(message):
        numbers.append(int.from_bytes(bytes(message.data[:8]), "little"))

    def on_bytes(cdr):
        assert isinstance(cdr, bytes)
        from rclpy_lite.serialization import deserialize_message

        on_image(deserialize_message(cdr, Image))

    policy = ReliabilityPolicy[reliability.upper()]
    # As deep as there are images: a shallow queue may lose some on a busy machine, rightly so.
    node.create_subscription(
        Image,
        "image",
        on_bytes if raw else on_image,
        QoSProfile(depth=30, reliability=policy),
        raw=raw,
    )
    peer = start_peer("images.py", 30, reliability)
    # The peer sends the second half when the first has arrived: nothing waits until the end.
    peer.wait_for("half")
    enough = 15 if reliability == "reliable" else 7
    spin(node, lambda: len(numbers) >= enough)
    peer.tell("go on")
    spin(node, lambda: len(numbers) >= 2 * enough)
    if reliability == "reliable":
        assert numbers == list(range(30))
    else:
        assert numbers == sorted(set(numbers))
    peer.wait_for("sent")


def test_a_subscription_keeps_no_more_than_its_depth(make_node, spin):
    node = make_node()
    got = []
    subscription = node.create_subscription(String, "bounded", lambda m: got.append(m.data), 3)
    publisher = node.create_publisher(String, "bounded", 100)
    spin(node, lambda: publisher.get_subscription_count() == 1)
    for number in range(50):
        publisher.publish(String(data=str(number)))
    time.sleep(0.2)
    spin(node, lambda: "49" in got)
    assert got == ["47", "48", "49"]
    assert subscription.get_publisher_count() == 1


def test_a_topic_goes_with_its_last_endpoint(make_node):
    """Names may be many over a long life: one per person, for example."""
    node = make_node()
    before = set(node.context.participant._topics)
    publisher = node.create_publisher(String, "passing", 1)
    subscription = node.create_subscription(String, "passing", lambda m: None, 1)
    assert len(node.context.participant._topics) == len(before) + 1
    node.destroy_publisher(publisher)
    assert len(node.context.participant._topics) == len(before) + 1
    node.destroy_subscription(subscription)
    assert set(node.context.participant._topics) == before
    again = node.create_publisher(String, "passing", 1)
    again.publish(String())


def test_the_first_message_finds_its_type_compiled(make_node, monkeypatch):
    node, cache = make_node(), store.typestore.cache
    sent, heard = "sensor_msgs/msg/Range", "sensor_msgs/msg/Joy"
    for name in (sent, heard):  # Other tests may have used them in this process.
        monkeypatch.delitem(cache, name, raising=False)
        monkeypatch.delitem(idl_types._types, name, raising=False)
    node.create_publisher(get_message(sent), "sent", 5)
    assert sent in cache
    # A raw one too: its messages are decoded later, but just as soon as the first is there.
    node.create_subscription(get_message(heard), "heard", lambda cdr: None, 5, raw=True)
    assert heard in cache


def test_a_late_joiner_gets_the_kept_history(make_node, spin):
    node = make_node()
    profile = QoSProfile(depth=3, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = node.create_publisher(String, "latched", profile)
    for number in range(5):
        publisher.publish(String(data=str(number)))
    got = []
    node.create_subscription(String, "latched", lambda m: got.append(m.data), profile)
    spin(node, lambda: len(got) >= 3)
    assert got == ["2", "3", "4"]


def test_ready_cdr_can_be_published(make_node, spin):
    from rclpy_lite.serialization import serialize_message

    node = make_node()
    got = []
    node.create_subscription(String, "cdr", lambda m: got.append(m.data), 5)
    publisher = node.create_publisher(String, "cdr", 5)
    spin(node, lambda: publisher.get_subscription_count() == 1)
    publisher.publish(serialize_message(String(data="bytes")))
    spin(node, lambda: got)
    assert got == ["bytes"]


def test_a_publisher_that_waits_for_a_slow_reader_lets_other_threads_run(make_node):
    everything = QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE)
    node = make_node()
    # Nobody spins the node, so the reader's queue fills up.
    node.create_subscription(String, "talk", lambda message: None, everything)
    publisher = node.create_publisher(String, "talk", everything)
    turns, is_done = 0, threading.Event()

    def watch():
        nonlocal turns
        while not is_done.wait(0.01):
            turns += 1

    watcher = threading.Thread(target=watch)
    watcher.start()
    waited_s = 0.0
    for number in range(2 * MAX_KEEP_ALL):
        began_s, turns_before = time.monotonic(), turns
        publisher.publish(String(data=str(number)))
        waited_s = time.monotonic() - began_s
        turns_meanwhile = turns - turns_before
        if waited_s > 0.9 * MAX_BLOCKING_NS * 1e-9:
            break
    is_done.set()
    watcher.join()
    assert waited_s > 0.9 * MAX_BLOCKING_NS * 1e-9, "the reader has held nobody up"
    # A publisher that kept the others from running would let one through at its end, if any.
    assert turns_meanwhile > 2


@pytest.mark.parametrize("is_free", [True, False])
def test_messages_arrive_with_every_way_of_sending(is_free, make_node, spin, monkeypatch):
    monkeypatch.setattr(_FreeWriter, "is_free", is_free)
    node, got = make_node(), []
    node.create_subscription(String, "said", got.append, 10)
    publisher = node.create_publisher(String, "said", 10)
    spin(node, lambda: publisher.get_subscription_count() == 1)
    publisher.publish(String(data="Grüße"))
    spin(node, lambda: got)
    assert [message.data for message in got] == ["Grüße"]


def test_bytes_that_are_not_cdr_of_the_type_are_refused(make_node):

    publisher = make_node().create_publisher(Image, "refused", 5)
    with pytest.raises(RCLError, match="refused 8 bytes"):
        publisher.publish(b"\0\1\0\0\xff\xff\xff\xff")


def test_another_message_type_is_refused(make_node):
    publisher = make_node().create_publisher(Image, "refused", 5)
    with pytest.raises(TypeError, match="got String, expected Image, bytes"):
        publisher.publish(String())


def test_the_callback_may_ask_for_message_info(make_node, spin):
    node = make_node()
    seen = []
    node.create_subscription(String, "info", lambda m, info: seen.append(info), 5)
    publisher = node.create_publisher(String, "info", 5)
    spin(node, lambda: publisher.get_subscription_count() == 1)
    before_ns = time.time_ns()
    publisher.publish(String())
    spin(node, lambda: seen)
    assert before_ns <= seen[0]["source_timestamp"] <= seen[0]["received_timestamp"]


def test_incompatible_qos_is_told_to_the_callback_with_the_policy(make_node, spin):
    from rclpy_lite.event_handler import SubscriptionEventCallbacks
    from rclpy_lite.qos import QoSPolicyKind

    node = make_node()
    told = []
    node.create_subscription(
        String,
        "mismatch",
        lambda m: None,
        5,
        event_callbacks=SubscriptionEventCallbacks(incompatible_qos=told.append),
    )
    node.create_publisher(String, "mismatch", qos_profile_sensor_data)
    spin(node, lambda: told)
    assert told[0].last_policy_kind == QoSPolicyKind.RELIABILITY
    assert told[0].total_count == 1


def test_incompatible_qos_is_a_warning_by_default(make_node, spin, capfd):
    node = make_node()
    node.create_subscription(String, "mismatch", lambda m: None, 5)
    node.create_publisher(String, "mismatch", qos_profile_sensor_data)
    seen = []

    def warned():
        seen.append(capfd.readouterr().err)
        return "offering incompatible QoS" in "".join(seen)

    spin(node, warned)
    assert "RELIABILITY" in "".join(seen)


def test_a_destroyed_publisher_says_so(make_node):
    from rclpy_lite.exceptions import InvalidHandle

    node = make_node()
    publisher = node.create_publisher(String, "gone", 5)
    assert node.destroy_publisher(publisher)
    assert not node.destroy_publisher(publisher)
    with pytest.raises(InvalidHandle):
        publisher.publish(String())
