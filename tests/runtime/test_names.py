"""Names, remapping, command lines, parameter files."""

import pytest
from rclpy_lite import names
from rclpy_lite.arguments import InvalidROSArgsError, matches, parse
from rclpy_lite.exceptions import (
    InvalidNamespaceException,
    InvalidNodeNameException,
    InvalidTopicNameException,
)
from rclpy_lite.messages import get_message

String = get_message("std_msgs/msg/String")


@pytest.mark.parametrize(
    ("given", "expanded"),
    [
        ("chatter", "/ns/chatter"),
        ("/chatter", "/chatter"),
        ("~/out", "/ns/node/out"),
        ("~", "/ns/node"),
        ("a/b", "/ns/a/b"),
        ("{node}/x", "/ns/node/x"),
        ("{ns}/x", "/ns/x"),
    ],
)
def test_names_are_expanded(given, expanded):
    assert names.expand(given, "node", "/ns") == expanded


@pytest.mark.parametrize("bad", ["", "a//b", "1a", "/a/", "a b", "~x", "a-b", "/" + "x" * 300])
def test_bad_topic_names_are_refused(bad):
    with pytest.raises(InvalidTopicNameException):
        names.expand(bad, "node", "/")


def test_bad_node_names_and_namespaces_are_refused(make_node):
    for bad in ("", "a/b", "1a", "a b"):
        with pytest.raises(InvalidNodeNameException):
            make_node(bad)
    with pytest.raises(InvalidNamespaceException):
        make_node("fine", namespace="/a//b")


def test_dds_names_are_those_of_ros_2():
    assert names.dds_topic_name("/a/b") == "rt/a/b"
    assert names.dds_service_names("/s") == ("rq/sRequest", "rr/sReply")
    assert names.dds_type_name("sensor_msgs/msg/Image") == "sensor_msgs::msg::dds_::Image_"
    assert names.ros_type_name("sensor_msgs::msg::dds_::Image_") == "sensor_msgs/msg/Image"
    assert names.ros_type_name("Something") == "Something"


def test_the_command_line_names_remaps_and_sets(make_node):
    node = make_node(
        "camera",
        cli_args=[
            "--ros-args",
            *("-r", "__node:=front", "-r", "__ns:=/robot", "-r", "image:=/raw"),
            *("--remap", "other:x:=/never", "-r", "~/out:=result"),
            *("-p", "rate:=2.5", "-p", "names:=[a, b]", "-p", "on:=true", "-p", "front:k:=7"),
            "--",
            "rest",
        ],
    )
    assert node.get_fully_qualified_name() == "/robot/front"
    assert node.resolve_topic_name("image") == "/raw"
    assert node.resolve_topic_name("~/out") == "/robot/result"
    assert node.resolve_topic_name("x") == "/robot/x"
    assert node.create_publisher(String, "image", 1).topic_name == "/raw"
    assert node.declare_parameter("rate", 1.0).value == 2.5
    assert node.declare_parameter("names", [""]).value == ["a", "b"]
    assert node.declare_parameter("on", False).value is True
    assert node.declare_parameter("k", 0).value == 7


def test_parameter_files_apply_to_the_nodes_they_name(make_node, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(
        "/**:\n  ros__parameters:\n    everywhere: 1\n    group:\n      inner: 2.0\n"
        "/robot/front:\n  ros__parameters:\n    mine: [1, 2.5]\n    everywhere: 3\n"
        "other:\n  ros__parameters:\n    mine: 9\n"
    )
    arguments = ["--ros-args", "--params-file", str(file)]
    node = make_node(
        "front",
        namespace="/robot",
        cli_args=arguments,
        automatically_declare_parameters_from_overrides=True,
    )
    assert node.get_parameter("everywhere").value == 3
    assert node.get_parameter("group.inner").value == 2.0
    assert node.get_parameter("mine").value == [1.0, 2.5]


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("/**", "/a/b", True),
        ("/*", "/a", True),
        ("/*", "/a/b", False),
        ("/**/b", "/a/b", True),
        ("/**/b", "/b", True),
        ("/a/*", "/a/b", True),
        ("/b", "/a/b", False),
    ],
)
def test_node_patterns(pattern, name, fits):
    assert matches(pattern, name) is fits


@pytest.mark.parametrize(
    "arguments",
    [
        ["--ros-args", "--unknown"],
        ["--ros-args", "-r"],
        ["--ros-args", "-r", "nothing"],
        ["--ros-args", "-p", "x"],
        ["--ros-args", "-p", "x:=[1, 2"],
        ["--ros-args", "--params-file", "/no/such/file.yaml"],
    ],
)
def test_wrong_arguments_are_errors(arguments):
    with pytest.raises(InvalidROSArgsError):
        parse(arguments)


@pytest.mark.parametrize("text", ["a: 1", "- 1", "a: {ros__parameters: [", "\x00"])
def test_wrong_parameter_files_are_errors(tmp_path, text):
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(InvalidROSArgsError, match="params"):
        parse(["--ros-args", "--params-file", str(file)])


def test_a_parameter_file_cannot_run_code(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("n: {ros__parameters: {x: !!python/object/apply:os.system ['exit 3']}}")
    with pytest.raises(InvalidROSArgsError):
        parse(["--ros-args", "--params-file", str(file)])


def test_arguments_for_others_are_left_alone():
    parsed = parse(["prog", "--mine", "--ros-args", "-r", "a:=b", "--", "more"])
    assert parsed.others == ["prog", "--mine", "more"]
    assert parse(["--ros-args", "--log-level", "debug"]).log_levels == {"": "debug"}


@pytest.mark.parametrize("value", ["x", "-1", "233", "1.5"])
def test_an_impossible_domain_id_is_an_error(monkeypatch, value):
    from rclpy_lite.context import Context
    from rclpy_lite.exceptions import RCLError

    monkeypatch.setenv("ROS_DOMAIN_ID", value)
    with pytest.raises(RCLError, match="ROS_DOMAIN_ID"):
        Context().init(args=[])
