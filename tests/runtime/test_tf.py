"""Transforms over time."""

import math

import numpy as np
import pytest
import yaml
from rclpy_lite.clock import ClockType
from rclpy_lite.duration import Duration
from rclpy_lite.messages import get_message
from rclpy_lite.parameter import Parameter
from rclpy_lite.tf import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    StaticTransformBroadcaster,
    TransformBroadcaster,
    TransformListener,
)
from rclpy_lite.time import Time

TransformStamped = get_message("geometry_msgs/msg/TransformStamped")


def at(seconds):
    return Time(seconds=seconds, clock_type=ClockType.ROS_TIME)


def transform(parent, child, seconds=0.0, xyz=(0.0, 0.0, 0.0), yaw=0.0):
    made = TransformStamped(child_frame_id=child)
    made.header.frame_id = parent
    made.header.stamp = at(seconds).to_msg()
    t, r = made.transform.translation, made.transform.rotation
    t.x, t.y, t.z = (float(v) for v in xyz)
    r.z, r.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return made


@pytest.fixture
def buffer():
    made = Buffer()
    for seconds in (1.0, 2.0, 3.0):
        made.set_transform(
            transform("odom", "base", seconds, (seconds, 0, 0), yaw=seconds * math.pi / 2), "test"
        )
    made.set_transform_static(transform("base", "camera", 0, (0, 0, 1)), "test")
    return made


def position(found):
    t = found.transform.translation
    return [t.x, t.y, t.z]


def test_look_ups_chain_invert_and_interpolate(buffer):
    found = buffer.lookup_transform("odom", "camera", at(1.5))
    assert position(found) == pytest.approx([1.5, 0, 1])
    assert found.header.frame_id == "odom"
    assert found.child_frame_id == "camera"
    yaw = 2 * math.atan2(found.transform.rotation.z, found.transform.rotation.w)
    assert yaw == pytest.approx(1.5 * math.pi / 2)
    back = buffer.lookup_transform("camera", "odom", at(1.0))
    # A point at the origin of odom is behind a camera that looks along y, 1 m up.
    assert position(back) == pytest.approx([0, 1, -1], abs=1e-9)


def test_time_zero_is_the_newest(buffer):
    found = buffer.lookup_transform("odom", "camera", Time())
    assert (found.header.stamp.sec, found.header.stamp.nanosec) == (3, 0)
    assert buffer.get_latest_common_time("odom", "camera") == at(3)


def test_static_transforms_hold_at_all_times(buffer):
    assert position(buffer.lookup_transform("base", "camera", at(999))) == [0, 0, 1]


@pytest.mark.parametrize(("seconds", "words"), [(0.5, "into the past"), (3.5, "into the future")])
def test_nothing_is_extrapolated(buffer, seconds, words):
    with pytest.raises(ExtrapolationException, match=words):
        buffer.lookup_transform("odom", "camera", at(seconds))
    assert not buffer.can_transform("odom", "camera", at(seconds))


def test_unknown_unconnected_and_empty_frames_are_told_apart(buffer):
    with pytest.raises(LookupException, match=r'"map".* does not exist'):
        buffer.lookup_transform("map", "camera", Time())
    buffer.set_transform_static(transform("island", "hut"), "test")
    with pytest.raises(ConnectivityException, match="not part of the same tree"):
        buffer.lookup_transform("hut", "camera", at(2.0))
    with pytest.raises(InvalidArgumentException, match="empty"):
        buffer.lookup_transform("", "camera", Time())
    assert position(buffer.lookup_transform("camera", "camera", Time())) == [0, 0, 0]


def test_an_edge_above_the_common_frame_does_not_matter(buffer):
    buffer.set_transform(transform("map", "odom", 1.0), "test")
    buffer.set_transform_static(transform("odom", "beacon", 0, (5, 0, 0)), "test")
    assert position(buffer.lookup_transform("beacon", "camera", at(2.0))) == pytest.approx(
        [-3, 0, 1]
    )


@pytest.mark.parametrize(
    "bad",
    [
        transform("", "a"),
        transform("a", ""),
        transform("a", "a"),
        transform("a", "b", 0, (math.nan, 0, 0)),
    ],
)
def test_unusable_transforms_are_refused(buffer, bad):
    with pytest.raises(InvalidArgumentException):
        buffer.set_transform(bad, "test")
    unnormalised = transform("a", "b")
    unnormalised.transform.rotation.w = 2.0
    with pytest.raises(InvalidArgumentException, match="DENORMALIZED"):
        buffer.set_transform(unnormalised, "test")


def test_old_data_is_forgotten_and_clear_keeps_static_edges(buffer):
    buffer.set_transform(transform("odom", "base", 12.5), "test")
    with pytest.raises(ExtrapolationException, match="past"):
        buffer.lookup_transform("odom", "base", at(2.0))
    buffer.clear()
    with pytest.raises(LookupException):
        buffer.lookup_transform("odom", "base", Time())
    assert position(buffer.lookup_transform("base", "camera", Time())) == [0, 0, 1]


def test_frames_are_listed_with_parents(buffer):
    frames = yaml.safe_load(buffer.all_frames_as_yaml())
    assert {child: frame["parent"] for child, frame in frames.items()} == {
        "base": "odom",
        "camera": "base",
    }
    assert yaml.safe_load(Buffer().all_frames_as_yaml()) == {}
    assert "Frame camera exists with parent base." in buffer.all_frames_as_string()


def test_through_a_fixed_frame_two_times_can_be_compared(buffer):
    found = buffer.lookup_transform_full("base", at(3.0), "base", at(1.0), "odom")
    assert np.linalg.norm(position(found)) == pytest.approx(2.0)


def test_a_loop_is_an_error_not_an_endless_search():
    buffer = Buffer()
    buffer.set_transform(transform("a", "b", 1.0), "test")
    buffer.set_transform(transform("b", "a", 1.0), "test")
    buffer.set_transform(transform("c", "d", 1.0), "test")
    with pytest.raises((LookupException, ConnectivityException)):
        buffer.lookup_transform("d", "a", at(1.0))


def test_broadcasts_reach_listeners_late_ones_included_for_static(make_node, spin):
    sender, receiver = make_node("sender"), make_node("receiver")
    static = StaticTransformBroadcaster(sender)
    static.sendTransform(transform("base", "camera", 0, (0, 0, 1)))
    static.sendTransform(transform("base", "lidar", 0, (1, 0, 0)))
    buffer = Buffer(node=receiver)
    TransformListener(buffer, receiver)
    spin(receiver, lambda: buffer.can_transform("lidar", "camera", Time()))
    broadcaster = TransformBroadcaster(sender)
    spin(receiver, lambda: broadcaster.pub_tf.get_subscription_count() == 1)
    broadcaster.sendTransform([transform("odom", "base", 5.0, (2, 0, 0))])
    broadcaster.sendTransform(transform("odom", "base", 5.0, (math.nan, 0, 0)))
    spin(receiver, lambda: buffer.can_transform("odom", "camera", at(5.0)))
    assert position(buffer.lookup_transform("odom", "camera", at(5.0))) == [2, 0, 1]
    future = buffer.wait_for_transform_async("odom", "camera", at(6.0))
    assert not future.done()
    broadcaster.sendTransform(transform("odom", "base", 6.0))
    spin(receiver, future.done)


def test_a_backward_jump_of_time_clears_the_buffer(make_node):
    node = make_node(parameter_overrides=[Parameter("use_sim_time", value=True)])
    buffer = Buffer(node=node)
    node.get_clock().set_ros_time_override(at(100))
    buffer.set_transform(transform("odom", "base", 100.0), "test")
    node.get_clock().set_ros_time_override(at(101))
    assert buffer.can_transform("odom", "base", Time())
    node.get_clock().set_ros_time_override(at(50))
    assert not buffer.can_transform("odom", "base", Time())


def test_waiting_for_a_transform_ends_with_the_timeout(buffer):
    with pytest.raises(ExtrapolationException):
        buffer.lookup_transform("odom", "camera", at(4.0), timeout=Duration(seconds=0.05))
