"""Start the node on a live image topic, configure and activate it, and show it in RViz.

    ros2 launch human3r_ros live.launch.py image:=/camera/image_raw weights:=W body_model:=B

With ``bridge:=true outputs:="[markers, people, hri]"`` the package human3r_bridge publishes the
people in other formats as well; all arguments of its bridge.launch.py can be given here.

What is given here wins over the parameter file; what is not given is left to it, but for tf_mode,
which is odometry here: the node's own default is to broadcast nothing. All other defaults come from
human3r.config.
"""

import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.substitutions import FindPackageShare

# Launch files are not importable as a package; the shared part lies beside this file.
sys.path.insert(0, str(Path(__file__).parent))
from _node_actions import declare_arguments, node_actions

_PASSED_ON = ("namespace", "image", "outputs", "use_sim_time", "log_level")


def generate_launch_description() -> LaunchDescription:
    """Arguments, then the node, RViz and, on request, the bridge."""
    return LaunchDescription(
        [
            *declare_arguments(use_sim_time="false"),
            DeclareLaunchArgument(
                "bridge",
                default_value="false",
                choices=["true", "false"],
                description="Also start human3r_bridge, which must be installed.",
            ),
            DeclareLaunchArgument(
                "outputs",
                default_value="",
                description="Formats of the bridge, for example [markers, hri]; empty: those of "
                "its parameter file.",
            ),
            node_actions(),
            OpaqueFunction(function=_bridge),
        ]
    )


def _bridge(context) -> list:
    # Looked up only when it is wanted: human3r_bridge depends on this package, not the reverse.
    if LaunchConfiguration("bridge").perform(context) != "true":
        return []
    source = [FindPackageShare("human3r_bridge"), "/launch/bridge.launch.py"]
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(source),
            launch_arguments=[(name, LaunchConfiguration(name)) for name in _PASSED_ON],
        )
    ]
