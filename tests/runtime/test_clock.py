"""Time, simulated time, jumps."""

import pytest
from rclpy_lite.clock import Clock, ClockChange, ClockType, JumpThreshold, ROSClock
from rclpy_lite.duration import Duration
from rclpy_lite.messages import get_message
from rclpy_lite.parameter import Parameter
from rclpy_lite.time import Time

ClockMsg = get_message("rosgraph_msgs/msg/Clock")


def clock_message(seconds):
    message = ClockMsg()
    message.clock.sec, message.clock.nanosec = divmod(int(seconds * 1e9), 10**9)
    return message


@pytest.fixture
def simulated(make_node, spin):
    """A node on /clock, and a function that sets the time."""
    node = make_node("simulated", parameter_overrides=[Parameter("use_sim_time", value=True)])
    publisher = make_node("simulator").create_publisher(ClockMsg, "/clock", 10)
    spin(node, lambda: publisher.get_subscription_count() == 1)

    def set_time(seconds):
        publisher.publish(clock_message(seconds))
        spin(node, lambda: node.get_clock().now().nanoseconds == int(seconds * 1e9))

    return node, set_time


def test_a_node_follows_the_clock_topic(simulated):
    node, set_time = simulated
    assert node.get_clock().now().nanoseconds == 0
    set_time(100.5)
    assert node.get_clock().now() == Time(seconds=100.5, clock_type=ClockType.ROS_TIME)
    node.set_parameters([Parameter("use_sim_time", value=False)])
    assert node.get_clock().now().nanoseconds > 10**18


def test_jump_callbacks_hear_of_jumps_beyond_their_threshold(simulated):
    node, set_time = simulated
    set_time(100.0)
    jumps, before = [], []
    handle = node.get_clock().create_jump_callback(
        JumpThreshold(
            min_forward=Duration(seconds=5), min_backward=Duration(seconds=-1), on_clock_change=True
        ),
        pre_callback=lambda: before.append(node.get_clock().now().nanoseconds),
        post_callback=jumps.append,
    )
    set_time(101.0)
    set_time(100.5)
    assert jumps == []
    set_time(110.0)
    set_time(50.0)
    assert [j.delta.nanoseconds / 1e9 for j in jumps] == [9.5, -60.0]
    assert before == [100_500_000_000, 110_000_000_000]
    node.set_parameters([Parameter("use_sim_time", value=False)])
    assert jumps[-1].clock_change == ClockChange.ROS_TIME_DEACTIVATED
    handle.unregister()
    node.set_parameters([Parameter("use_sim_time", value=True)])
    assert len(jumps) == 3


def test_timers_follow_simulated_time_and_wall_timers_do_not(simulated, spin):
    node, set_time = simulated
    set_time(10.0)
    ticks, walls = [], []
    node.create_timer(1.0, lambda: ticks.append(node.get_clock().now().nanoseconds))
    node.create_timer(0.01, lambda: walls.append(1), clock=Clock(clock_type=ClockType.STEADY_TIME))
    spin(node, lambda: len(walls) >= 5)
    assert ticks == []
    set_time(11.5)
    spin(node, lambda: len(ticks) == 1)
    set_time(2.0)  # Back: the timer starts anew instead of waiting until 12.
    set_time(3.5)
    spin(node, lambda: len(ticks) == 2)


def test_time_arithmetic_keeps_clocks_apart():
    one = Time(seconds=1, clock_type=ClockType.ROS_TIME)
    assert (one + Duration(seconds=0.5)).nanoseconds == 1_500_000_000
    assert one - Time(nanoseconds=1, clock_type=ClockType.ROS_TIME) == Duration(
        nanoseconds=999_999_999
    )
    with pytest.raises(TypeError, match="different clock types"):
        _ = one < Time(seconds=2)
    with pytest.raises(ValueError, match="negative"):
        Time(seconds=-1)
    assert Time.from_msg(one.to_msg()) == one
    assert Duration.from_msg(Duration(seconds=-1.5).to_msg()) == Duration(seconds=-1.5)


def test_sleeping_follows_the_clock(context):
    clock = Clock()
    start = clock.now()
    assert clock.sleep_for(Duration(seconds=0.05), context)
    assert clock.now() - start >= Duration(seconds=0.05)
    assert isinstance(Clock(clock_type=ClockType.ROS_TIME), ROSClock)
