"""Parameters, clocks, timers, transforms."""

import time

import pytest
import tf2_ros
from geometry_msgs.msg import TransformStamped
from rcl_interfaces.msg import (
    FloatingPointRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.exceptions import ParameterAlreadyDeclaredException, ParameterNotDeclaredException
from rclpy.parameter import Parameter
from rclpy.time import Time
from rosgraph_msgs.msg import Clock as ClockMsg


def test_parameters_are_declared_checked_and_set(make_node):
    node = make_node(parameter_overrides=[Parameter("rate", value=3.0)])
    limits = FloatingPointRange(from_value=0.0, to_value=10.0)
    declared = node.declare_parameter(
        "rate", 1.0, ParameterDescriptor(floating_point_range=[limits])
    )
    assert declared.value == 3.0
    assert not node.set_parameters([Parameter("rate", value=11.0)])[0].successful
    assert not node.set_parameters([Parameter("rate", value="fast")])[0].successful
    assert node.set_parameters([Parameter("rate", value=4.0)])[0].successful
    assert node.get_parameter("rate").value == 4.0
    node.declare_parameter("fixed", 1, ParameterDescriptor(read_only=True))
    assert not node.set_parameters([Parameter("fixed", value=2)])[0].successful
    with pytest.raises(ParameterAlreadyDeclaredException):
        node.declare_parameter("rate", 1.0)
    with pytest.raises(ParameterNotDeclaredException):
        node.get_parameter("unknown")


def test_a_callback_may_refuse_an_atomic_set(make_node):
    node = make_node()
    node.declare_parameters("", [("a", 1), ("b", 1)])
    node.add_on_set_parameters_callback(
        lambda parameters: SetParametersResult(
            successful=all(p.value > 0 for p in parameters), reason="must be positive"
        )
    )
    result = node.set_parameters_atomically([Parameter("a", value=5), Parameter("b", value=-5)])
    assert not result.successful
    assert result.reason == "must be positive"
    assert node.get_parameter("a").value == 1


def test_simulated_time_and_backward_jumps(make_node, spin_until):
    node = make_node("simulated", parameter_overrides=[Parameter("use_sim_time", value=True)])
    publisher = make_node("simulator").create_publisher(ClockMsg, "/clock", 10)
    spin_until(lambda: publisher.get_subscription_count() == 1)
    jumps = []
    handle = node.get_clock().create_jump_callback(
        JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=False),
        post_callback=lambda jump: jumps.append(jump),
    )
    for seconds in (100, 110, 50):
        message = ClockMsg()
        message.clock.sec = seconds
        publisher.publish(message)
        wanted = seconds * 10**9
        spin_until(lambda wanted=wanted: node.get_clock().now().nanoseconds == wanted)
    assert len(jumps) == 1
    handle.unregister()


def test_wall_timers_fire_and_cancel(make_node, spin_until):
    node, calls = make_node(), []
    clock = Clock(clock_type=ClockType.STEADY_TIME)
    timer = node.create_timer(0.02, lambda: calls.append(time.monotonic()), clock=clock)
    spin_until(lambda: len(calls) >= 5)
    assert calls[4] - calls[0] > 0.04
    timer.cancel()
    assert timer.is_canceled()


def test_time_arithmetic():
    assert Time(seconds=2) - Time(seconds=1) == Duration(seconds=1)
    assert Time(seconds=1) + Duration(seconds=0.5) == Time(nanoseconds=1_500_000_000)
    with pytest.raises(TypeError):
        _ = Time(clock_type=ClockType.ROS_TIME) < Time(clock_type=ClockType.STEADY_TIME)


def _edge(parent, child, seconds, x):
    made = TransformStamped(child_frame_id=child)
    made.header.frame_id = parent
    made.header.stamp.sec = seconds
    made.transform.translation.x = x
    return made


def test_transforms_are_interpolated_and_not_extrapolated():
    buffer = tf2_ros.Buffer()
    for seconds in (1, 2):
        buffer.set_transform(_edge("odom", "base", seconds, float(seconds)), "test")
    buffer.set_transform_static(_edge("base", "camera", 0, 10.0), "test")
    found = buffer.lookup_transform("odom", "camera", Time(seconds=1.5))
    assert found.transform.translation.x == pytest.approx(11.5)
    with pytest.raises(tf2_ros.ExtrapolationException):
        buffer.lookup_transform("odom", "camera", Time(seconds=3))
    with pytest.raises(tf2_ros.LookupException):
        buffer.lookup_transform("map", "camera", Time())
    assert buffer.can_transform("odom", "camera", Time())
