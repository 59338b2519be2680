"""Kinds of clocks."""

from enum import IntEnum


class ClockType(IntEnum):
    """Which time a clock shows."""

    UNINITIALIZED = 0
    ROS_TIME = 1
    """System time, or what /clock says when use_sim_time is set."""
    SYSTEM_TIME = 2
    STEADY_TIME = 3
