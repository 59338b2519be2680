"""Log lines on stderr and on /rosout."""

import re

import pytest
from rclpy_lite.logging import LoggingSeverity, get_logger
from rclpy_lite.messages import get_message
from rclpy_lite.qos import qos_profile_rosout_default


def test_lines_look_like_those_of_ros_2(capfd):
    get_logger("camera.front").warning("dark")
    assert re.fullmatch(
        r"\[WARN\] \[\d+\.\d{9}\] \[camera\.front\]: dark\n", capfd.readouterr().err
    )


def test_levels_are_inherited_and_respected(capfd):
    parent, child = get_logger("levels"), get_logger("levels.child")
    parent.set_level(LoggingSeverity.ERROR)
    assert not child.warning("no")
    assert child.error("yes")
    child.set_level("debug")
    assert child.debug("yes too")
    assert capfd.readouterr().err.count("yes") == 2
    with pytest.raises(RuntimeError, match="expected one of"):
        parent.set_level("loud")


def test_once_and_throttle_count_per_calling_line(capfd):
    logger = get_logger("limits")
    for _ in range(5):
        logger.info("once", once=True)
        logger.info("throttled", throttle_duration_sec=60.0)
        logger.info("skipped", skip_first=True)
    logger.info("once", once=True)
    text = capfd.readouterr().err
    assert text.count("once") == 2
    assert text.count("throttled") == 1
    assert text.count("skipped") == 4


def test_a_nodes_lines_are_on_rosout_for_late_listeners_too(make_node, spin):
    node = make_node("talker", namespace="/ns")
    node.get_logger().error("something happened")
    got = []
    listener = make_node("listener")
    log = get_message("rcl_interfaces/msg/Log")
    listener.create_subscription(log, "/rosout", got.append, qos_profile_rosout_default)
    spin(listener, lambda: any(m.msg == "something happened" for m in got))
    message = next(m for m in got if m.msg == "something happened")
    assert message.name == "ns.talker"
    assert message.level == 40
    assert message.function == "test_a_nodes_lines_are_on_rosout_for_late_listeners_too"
