"""Against a peer that knows ROS 2's wire format and nothing of rclpy_lite."""

from rclpy_lite.messages import get_message, get_service

PoseStamped = get_message("geometry_msgs/msg/PoseStamped")
String = get_message("std_msgs/msg/String")
SetBool = get_service("std_srvs/srv/SetBool")


def test_we_read_what_a_plain_dds_writer_sends(make_node, spin, start_peer):
    node = make_node()
    got = []
    node.create_subscription(PoseStamped, "pose", got.append, 10)
    start_peer("wire.py", "publish").wait_for("published")
    spin(node, lambda: got)
    expected = PoseStamped()
    expected.header.frame_id = "wire"
    expected.header.stamp.sec, expected.header.stamp.nanosec = 12, 34
    position, rotation = expected.pose.position, expected.pose.orientation
    position.x, position.y, position.z = 1.0, 2.0, 3.0
    rotation.z, rotation.w = 0.6, 0.8
    assert got == [expected]


def test_a_plain_dds_reader_reads_what_we_send(make_node, spin, start_peer):
    node = make_node()
    publisher = node.create_publisher(PoseStamped, "pose", 10)
    peer = start_peer("wire.py", "subscribe")
    spin(node, lambda: publisher.get_subscription_count() == 1, 15)
    message = PoseStamped()
    message.header.frame_id = "ours"
    message.header.stamp.sec = 7
    message.pose.position.y = -2.5
    publisher.publish(message)
    assert peer.wait_for("got") == "got ours 7 0 0.0 -2.5 0.0 1.0"
    user_data = peer.wait_for("user_data").split(" ", 1)[1]
    assert user_data.startswith("typehash=RIHS01_")
    assert user_data.endswith(";")
    assert peer.wait_for("type") == "type geometry_msgs::msg::dds_::PoseStamped_"


def test_discovery_info_names_the_node_and_all_its_endpoints(make_node, start_peer):
    node = make_node("seen", namespace="/ns")
    subscription = node.create_subscription(PoseStamped, "pose", lambda m: None, 10)
    publisher = node.create_publisher(PoseStamped, "other", 10)
    peer = start_peer("wire.py", "discovery", "seen")
    assert peer.wait_for("participant").split()[1] == node.context.participant.gid.hex()
    assert peer.wait_for("node") == "node /ns seen"
    readers = peer.wait_for("readers").split()[1:]
    writers = peer.wait_for("writers").split()[1:]
    assert subscription._reader.gid.hex() in readers
    assert publisher._writer.gid.hex() in writers
    # Six parameter services, /rosout and /parameter_events are there too.
    assert len(readers) == 1 + 6
    assert len(writers) == 1 + 6 + 2


def test_a_plain_dds_client_can_call_us(make_node, spin, start_peer):
    node = make_node()

    def answer(request, response):
        response.success = request.data
        response.message = f"data was {request.data}"
        return response

    node.create_service(SetBool, "switch", answer)
    peer = start_peer("wire.py", "call")
    replies = []

    def finished():
        while not peer._queue.empty():
            replies.append(peer._queue.get())
        return len(replies) == 3

    spin(node, finished, 15)
    assert replies == [
        "reply True 1 False data was False",
        "reply True 2 True data was True",
        "reply True 3 False data was False",
    ]


def test_malformed_samples_from_outside_are_dropped_and_the_next_good_one_is_read(
    make_node, spin, start_peer
):
    node = make_node()
    got = []
    subscription = node.create_subscription(String, "text", lambda m: got.append(m.data), 10)
    start_peer("wire.py", "lie").wait_for("lied")
    start_peer("wire.py", "tell").wait_for("told")
    spin(node, lambda: got)
    assert got == ["the truth"]
    assert subscription.get_publisher_count() == 2


def test_undecodable_bytes_are_counted_told_once_and_never_reach_the_callback(
    make_node, spin, capfd
):
    node = make_node()
    got = []
    subscription = node.create_subscription(String, "text", got.append, 10)
    for bad in (b"", b"\0\1\0\0", b"\7" * 20):
        assert subscription._decode(bad) is None
    assert capfd.readouterr().err.count("malformed message") == 1
    assert subscription._refused == 3
    assert got == []


def test_we_can_call_a_plain_dds_server(make_node, spin, start_peer):
    node = make_node()
    start_peer("wire.py", "serve").wait_for("serving")
    client = node.create_client(SetBool, "switch")
    assert client.wait_for_service(10)
    futures = [client.call_async(SetBool.Request(data=bool(n % 2))) for n in range(5)]
    spin(node, lambda: all(f.done() for f in futures))
    assert [f.result().success for f in futures] == [True, False, True, False, True]
    assert futures[0].result().message == "wire"
