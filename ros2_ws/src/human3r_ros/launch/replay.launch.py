"""Play a recorded bag through the node under simulated time, and record the results on request.

    ros2 launch human3r_ros replay.launch.py bag:=B image:=/camera/image_raw weights:=W ...
    ... lockstep:=true record:=results     # every image, at the node's own speed

The player starts paused, so no image is missed. In real time it is resumed when the node is active;
in lock-step human3r_replay_pacer asks it for one message after the other. Only the inputs of the
node are played: results in the bag would mix with the new ones.
"""

import sys
import tempfile
from pathlib import Path

import yaml
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

sys.path.insert(0, str(Path(__file__).parent))
from _node_actions import (
    NODE,
    bridge_and_rviz,
    bridge_arguments,
    common_arguments,
    flag,
    full_name,
    input_topics,
    node_actions,
    node_arguments,
    output_topics,
    rviz_argument,
    text,
    value_of,
)

_TF = ["/tf", "/tf_static"]


def generate_launch_description() -> LaunchDescription:
    """Arguments, the node, the paused player, and a recorder on request."""
    return LaunchDescription(
        [
            *common_arguments(use_sim_time="true"),
            *node_arguments(tf_mode="odometry"),
            *bridge_arguments(outputs=""),
            rviz_argument(),
            DeclareLaunchArgument("bag", description="Bag to play."),
            text("rate", "1.0", "Playing speed; without meaning in lock-step."),
            flag("loop", "false", "Play again; not in lock-step."),
            flag("lockstep", "false", "Play the next image when the node is done with the last."),
            text("patience", "60", "How many seconds one image may take in lock-step."),
            text("record", "", "Bag to write the results to; empty: none."),
            OpaqueFunction(function=_player),
            OpaqueFunction(function=_recorder),
            *node_actions([OpaqueFunction(function=_start)], takes_every_image=True),
            *bridge_and_rviz(),
        ]
    )


def _player(context) -> list:
    is_lockstep = value_of(context, "lockstep") == "true"
    loops = value_of(context, "loop") == "true"
    if is_lockstep and loops:
        raise ValueError("loop:=true with lockstep:=true; expected one of them. Drop loop.")
    inputs = list(input_topics(context))
    command = ["ros2", "bag", "play", LaunchConfiguration("bag"), "--start-paused"]
    command += ["--topics", *inputs, *_TF]
    if is_lockstep:
        # The pacer publishes /clock. Reliable delivery, whatever the camera offered.
        command += ["--qos-profile-overrides-path", _reliable(inputs)]
    else:
        command += ["--clock", "--rate", LaunchConfiguration("rate")]
    if loops:
        command.append("--loop")
    return [ExecuteProcess(cmd=command, output="screen", name="player")]


def _reliable(topics: list[str]) -> str:
    """A file that makes the player offer these topics reliably; it stays until the next boot."""
    profile = {"reliability": "reliable", "durability": "volatile", "history": "keep_last"}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", prefix="human3r_", delete=False) as file:
        yaml.safe_dump({topic: {**profile, "depth": 10} for topic in topics}, file)
    return file.name


def _start(context) -> list:
    """When the node is active."""
    if value_of(context, "lockstep") != "true":
        request = ["ros2", "service", "call", "/rosbag2_player/resume"]
        request.append("rosbag2_interfaces/srv/Resume")
        return [ExecuteProcess(cmd=request, output="log", name="resume")]
    image, *others = input_topics(context)
    pacer = Node(
        package="human3r_ros",
        executable="human3r_replay_pacer",
        arguments=[
            *("--bag", value_of(context, "bag"), "--image", image, "--topics", *others, *_TF),
            *("--status", full_name(context, f"{NODE}/status")),
            *("--patience", value_of(context, "patience")),
        ],
        output="screen",
    )
    end = EmitEvent(event=Shutdown(reason="the bag is played"))
    return [
        pacer,
        RegisterEventHandler(OnProcessExit(target_action=pacer, on_exit=[end])),
    ]


def _recorder(context) -> list:
    bag = value_of(context, "record")
    if not bag:
        return []
    qos = [FindPackageShare("human3r_ros"), "/config/record_qos.yaml"]
    command = ["ros2", "bag", "record", "-o", bag, "--qos-profile-overrides-path", qos]
    return [ExecuteProcess(cmd=[*command, *output_topics(context)], output="log")]
