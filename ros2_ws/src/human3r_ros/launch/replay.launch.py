"""Play a recorded bag through the node under simulated time, and record the results on request.

    ros2 launch human3r_ros replay.launch.py bag:=B image:=/camera/image_raw weights:=W ...

The player starts paused and is resumed when the node is active, so no image is missed.
"""

import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.substitutions import LaunchConfiguration

sys.path.insert(0, str(Path(__file__).parent))
from _node_actions import declare_arguments, node_actions, output_topics


def generate_launch_description() -> LaunchDescription:
    """Arguments, the node, the paused player, and a recorder on request."""
    return LaunchDescription(
        [
            *declare_arguments(use_sim_time="true"),
            DeclareLaunchArgument("bag", description="Bag to play."),
            DeclareLaunchArgument("rate", default_value="1.0", description="Playing speed."),
            DeclareLaunchArgument(
                "loop", default_value="false", choices=["true", "false"], description="Play again."
            ),
            DeclareLaunchArgument(
                "record", default_value="", description="Bag to write the results to; empty: none."
            ),
            OpaqueFunction(function=_player),
            OpaqueFunction(function=_recorder),
            node_actions(when_active=[_resume()]),
        ]
    )


def _player(context) -> list:
    command = ["ros2", "bag", "play", LaunchConfiguration("bag"), "--clock", "--start-paused"]
    command += ["--rate", LaunchConfiguration("rate")]
    if LaunchConfiguration("loop").perform(context) == "true":
        command.append("--loop")
    return [ExecuteProcess(cmd=command, output="screen", name="player")]


def _resume() -> ExecuteProcess:
    request = ["ros2", "service", "call", "/rosbag2_player/resume", "rosbag2_interfaces/srv/Resume"]
    return ExecuteProcess(cmd=request, output="log", name="resume")


def _recorder(context) -> list:
    bag = LaunchConfiguration("record").perform(context)
    if not bag:
        return []
    topics = output_topics(LaunchConfiguration("namespace").perform(context))
    return [ExecuteProcess(cmd=["ros2", "bag", "record", "-o", bag, *topics], output="log")]
