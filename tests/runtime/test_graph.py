"""Who is on the network."""

import pytest
from rclpy_lite.messages import get_message, get_service, type_hash
from rclpy_lite.node_graph import NodeNameNonExistentError
from rclpy_lite.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

String = get_message("std_msgs/msg/String")
SetBool = get_service("std_srvs/srv/SetBool")


def test_another_process_is_seen_with_its_topics_and_services(make_node, start_peer, spin):
    start_peer("managed.py").wait_for("ready")
    node = make_node()
    assert node.wait_for_node("managed", 10)
    spin(node, lambda: node.count_services("/switch") == 1)
    topics = dict(node.get_topic_names_and_types())
    assert topics["/managed/transition_event"] == ["lifecycle_msgs/msg/TransitionEvent"]
    services = dict(node.get_service_names_and_types_by_node("managed", "/"))
    assert services["/switch"] == ["std_srvs/srv/SetBool"]
    assert services["/managed/change_state"] == ["lifecycle_msgs/srv/ChangeState"]
    published = dict(node.get_publisher_names_and_types_by_node("managed", "/"))
    assert set(published) == {"/rosout", "/parameter_events", "/managed/transition_event"}
    assert ("managed", "/") in node.get_node_names_and_namespaces()


def test_publishers_and_subscriptions_of_a_topic_are_described(make_node, spin):
    node = make_node("mine", namespace="/ns")
    profile = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
    publisher = node.create_publisher(String, "topic", profile)
    node.create_subscription(String, "topic", lambda m: None, 5)
    spin(node, lambda: node.count_subscribers("topic") == 1 == node.count_publishers("topic"))
    info = node.get_publishers_info_by_topic("topic")[0]
    assert (info.node_name, info.node_namespace) == ("mine", "/ns")
    assert info.topic_type == "std_msgs/msg/String"
    assert info.topic_type_hash == type_hash("std_msgs/msg/String")
    assert bytes(info.endpoint_gid) == publisher._writer.gid
    assert info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert len(node.get_subscriptions_info_by_topic("topic")) == 1
    node.destroy_publisher(publisher)
    spin(node, lambda: node.count_publishers("topic") == 0)


def test_clients_and_services_are_counted(make_node, spin):
    node = make_node()
    node.create_service(SetBool, "switch", lambda request, response: response)
    node.create_client(SetBool, "switch")
    spin(node, lambda: (node.count_clients("switch"), node.count_services("switch")) == (1, 1))
    assert dict(node.get_service_names_and_types())["/switch"] == ["std_srvs/srv/SetBool"]


def test_an_unknown_node_is_an_error(make_node):
    node = make_node()
    with pytest.raises(NodeNameNonExistentError):
        node.get_publisher_names_and_types_by_node("nobody", "/")
    assert not node.wait_for_node("nobody", 0.05)


def test_eight_processes_on_loopback_all_hear_and_see_each_other(start_peer):
    peers = [start_peer("crowd.py", number, 8) for number in range(8)]
    for peer in peers:
        assert peer.wait_for("heard", 60) == "heard 8 saw 8"
    for peer in peers:
        peer.tell("done")


def test_the_endpoints_that_describe_the_nodes_carry_their_type_hash(make_node, spin):
    """Without it rmw_cyclonedds of Jazzy logs an error for each, in every process near us."""
    node = make_node()
    endpoints = node.context.graph.endpoints
    spin(node, lambda: len(endpoints("ros_discovery_info")) == 2)
    # Of the rmw_dds_common package as built for Jazzy.
    known = "RIHS01_91a0593bacdcc50ea9bdcf849a938b128412cc1ea821245c663bcd26f83c295e"
    for endpoint in endpoints("ros_discovery_info"):
        assert endpoint.user_data == f"typehash={known};".encode()
