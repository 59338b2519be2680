"""RViz and the bridge only: for a node that runs elsewhere, or for recorded results.

    ros2 launch human3r_ros view.launch.py image:=/camera/image_raw
    ros2 bag play results --clock      # with use_sim_time:=true here

The bridge makes the markers from the people on the topics; for a recording that holds the markers
already, add ``bridge:=false``.
"""

import sys
from pathlib import Path

from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]

sys.path.insert(0, str(Path(__file__).parent))
from _node_actions import (
    bridge_and_rviz,
    bridge_arguments,
    checks,
    common_arguments,
    rviz_argument,
)


def generate_launch_description() -> LaunchDescription:
    """Arguments, then the bridge and RViz."""
    return LaunchDescription(
        [
            *common_arguments(use_sim_time="false"),
            *bridge_arguments(outputs=""),
            rviz_argument(),
            checks(),
            *bridge_and_rviz(),
        ]
    )
