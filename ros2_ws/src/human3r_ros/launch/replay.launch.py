"""Play a recorded bag through the node under simulated time, and record the results on request.

    ros2 launch human3r_ros replay.launch.py bag:=B image:=/camera/image_raw weights:=W ...
    ... lockstep:=true record:=results     # every image, at the node's own speed

The player starts paused, so no image is missed. In real time it is resumed when the node is active;
in lock-step human3r_replay_pacer asks it for one message after the other. Only the inputs of the
node are played: results in the bag would mix with the new ones. The launch ends with the bag, and
not with exit code 0 when something failed. Whether the images are compressed is read from the bag.
"""

import os
import sys
import tempfile
from pathlib import Path

import yaml
from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

sys.path.insert(0, str(Path(__file__).parent))
from _node_actions import (
    ENVIRONMENT,
    NODE,
    bridge_and_rviz,
    bridge_arguments,
    checks,
    common_arguments,
    flag,
    full_name,
    give_up,
    input_topics,
    node_actions,
    node_arguments,
    output_topics,
    rviz_argument,
    text,
    value_of,
)

_TF = ["/tf", "/tf_static"]
_RECORDER = "rosbag2_recorder"  # Its name by default; Humble cannot give it another.
_LAST_FRAME_S = 3.0
_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


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
            checks(_packages),
            OpaqueFunction(function=_look_into_bag),
            OpaqueFunction(function=_player),
            OpaqueFunction(function=_recorder),
            *node_actions([OpaqueFunction(function=_start)], is_replay=True),
            *bridge_and_rviz(),
        ]
    )


def _packages(context) -> dict[str, str]:
    return {"ros2bag": "", "rosbag2_transport": ""}


def _look_into_bag(context) -> list:
    """Find out whether the images are compressed, and that there are some."""
    if value_of(context, "lockstep") == "true" and value_of(context, "loop") == "true":
        raise ValueError("loop:=true with lockstep:=true; expected one of them. Drop loop.")
    topics = _image_topics(Path(value_of(context, "bag")))
    if topics is None:
        return []
    image = full_name(context, value_of(context, "image"))
    given = value_of(context, "compressed")
    if not given and image not in topics and f"{image}/compressed" in topics:
        context.launch_configurations["compressed"] = "true"
    read = input_topics(context)[0]
    if read not in topics:
        raise ValueError(
            f"{value_of(context, 'bag')} holds no images on {read}; expected one of "
            f"{', '.join(sorted(topics)) or 'at least one image topic, but there is none'}. Give "
            "image:=TOPIC, without /compressed."
        )
    return []


def _image_topics(bag: Path) -> set[str] | None:
    """Image topics of a bag; None where no metadata.yaml lists them."""
    try:
        found = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        topics = [entry["topic_metadata"] for entry in found["topics_with_message_count"]]
        return {topic["name"] for topic in topics if topic["type"] in _IMAGES}
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return None


def _player(context) -> list:
    is_lockstep = value_of(context, "lockstep") == "true"
    inputs = list(input_topics(context))
    command = ["ros2", "bag", "play", LaunchConfiguration("bag"), "--start-paused"]
    command += ["--topics", *inputs, *_TF]
    if is_lockstep:
        # The pacer publishes /clock. Reliable delivery, whatever the camera offered.
        command += ["--qos-profile-overrides-path", _reliable(inputs)]
    else:
        command += ["--clock", "--rate", LaunchConfiguration("rate")]
    if value_of(context, "loop") == "true":
        command.append("--loop")
    player = ExecuteProcess(cmd=command, output="screen", name="player")
    ended = OnProcessExit(target_action=player, on_exit=_end_of("the player", _LAST_FRAME_S))
    return [player, RegisterEventHandler(ended)]


def _unless_it_succeeded(what: str):
    """Ends the launch when the process failed."""

    def end(event, context) -> list:
        if event.returncode == 0:
            return []
        return [give_up(f"{what} failed with exit code {event.returncode}; see above")]

    return end


def _end_of(what: str, delay_s: float):
    """The end of the launch, good or bad as that of the process."""

    def end(event, context) -> list:
        if failed := _unless_it_succeeded(what)(event, context):
            return failed
        over = EmitEvent(event=Shutdown(reason="the bag is played"))
        # The last images are still on their way through the node.
        return [TimerAction(period=delay_s, actions=[over])]

    return end


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
        resume = ExecuteProcess(cmd=request, output="log", name="resume")
        failed = OnProcessExit(target_action=resume, on_exit=_unless_it_succeeded("the resuming"))
        return [resume, RegisterEventHandler(failed)]
    image, *others = input_topics(context)
    recorder = ["--recorder", _RECORDER] if value_of(context, "record") else []
    pacer = Node(
        package="human3r_ros",
        executable="human3r_replay_pacer",
        arguments=[
            *("--bag", value_of(context, "bag"), "--image", image, "--topics", *others, *_TF),
            *("--status", full_name(context, f"{NODE}/status")),
            *("--patience", value_of(context, "patience"), *recorder),
        ],
        additional_env=ENVIRONMENT,
        output="screen",
    )
    ended = OnProcessExit(target_action=pacer, on_exit=_end_of("the pacer", 0.0))
    return [pacer, RegisterEventHandler(ended)]


def _recorder(context) -> list:
    bag = value_of(context, "record")
    if not bag:
        return []
    qos = [FindPackageShare("human3r_ros"), "/config/record_qos.yaml"]
    command = ["ros2", "bag", "record", "-o", bag, "--qos-profile-overrides-path", qos]
    if value_of(context, "use_sim_time") == "true":
        # Messages bear the time of the recording, and so must their entries in the new bag.
        command.append("--use-sim-time")
    # Humble knows positional topics alone; from Jazzy on they are deprecated.
    command += [] if os.environ.get("ROS_DISTRO") == "humble" else ["--topics"]
    return [ExecuteProcess(cmd=[*command, *output_topics(context)], output="log")]
