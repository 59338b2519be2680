"""Start the node on a live image topic, configure and activate it, and show it in RViz.

    ros2 launch human3r_ros live.launch.py image:=/camera/image_raw weights:=W body_model:=B

human3r_bridge goes with it and publishes the people in other formats; ``outputs:="[markers, hri]"``
says which, and all other arguments of its bridge.launch.py can be given here too.

What is given here wins over the parameter file; what is not given is left to it, but for tf_mode,
which is odometry here: the node's own default is to broadcast nothing. All other defaults come from
human3r.config.
"""

import sys
from pathlib import Path

from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]

# Launch files are not importable as a package; the shared part lies beside this file.
sys.path.insert(0, str(Path(__file__).parent))
from _node_actions import (
    bridge_and_rviz,
    bridge_arguments,
    checks,
    common_arguments,
    node_actions,
    node_arguments,
    rviz_argument,
)


def generate_launch_description() -> LaunchDescription:
    """Arguments, then the node, the bridge and RViz."""
    return LaunchDescription(
        [
            *common_arguments(use_sim_time="false"),
            *node_arguments(tf_mode="odometry"),
            *bridge_arguments(outputs=""),
            rviz_argument(),
            checks(),
            *node_actions(),
            *bridge_and_rviz(),
        ]
    )
