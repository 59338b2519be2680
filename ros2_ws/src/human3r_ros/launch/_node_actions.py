"""What live and replay share: the node, its transitions driven by events, and RViz."""

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessStart
from launch.events import Shutdown, matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

NODE = "human3r"
_FLAGS = ("true", "false")
_TOPICS = (
    "humans skeleton status odometry depth/image depth/camera_info mask/image points scene/points"
)
_BRIDGE_TOPICS = ("human3r_bridge/markers", "human3r_bridge/mesh_markers")
_PARAMETERS = {
    # argument: parameter
    "weights": "model.weights",
    "body_model": "model.body_model",
    "tf_mode": "tf.mode",
}


def declare_arguments(*, use_sim_time: str) -> list[DeclareLaunchArgument]:
    """The arguments of both launch files. Empty leaves a parameter to the parameter file."""
    share = FindPackageShare("human3r_ros")

    def text(name: str, default, description: str) -> DeclareLaunchArgument:
        return DeclareLaunchArgument(name, default_value=default, description=description)

    def flag(name: str, default: str, description: str) -> DeclareLaunchArgument:
        return DeclareLaunchArgument(
            name, default_value=default, choices=_FLAGS, description=description
        )

    return [
        text("image", "image", "Image topic; with compressed:=true without its /compressed."),
        text("camera_info", "camera_info", "Calibration topic."),
        DeclareLaunchArgument(
            "compressed",
            default_value="",
            choices=["", *_FLAGS],
            description="Read CompressedImage; empty: input.transport of the parameter file.",
        ),
        text("params_file", [share, "/config/human3r.yaml"], "Parameter file."),
        text("namespace", "", "Namespace of the node."),
        text(
            "tf_mode",
            "odometry",
            "none or odometry; the node's own default is none, so that it never disturbs a robot.",
        ),
        text("weights", "", "Weights file; empty: the parameter file's."),
        text("body_model", "", "Body model file; empty: the parameter file's."),
        flag("rviz", "true", "Show RViz."),
        flag("autostart", "true", "Configure and activate; false leaves that to a manager."),
        flag("use_sim_time", use_sim_time, "Follow /clock."),
        text("log_level", "info", "debug, info, warn or error."),
    ]


def node_actions(when_active: list | None = None) -> OpaqueFunction:
    """The node, its transitions, RViz.

    Args:
        when_active: more actions once the node is active.
    """
    return OpaqueFunction(function=_make, kwargs={"when_active": when_active or []})


def output_topics(namespace: str) -> list[str]:
    """Full names of everything the node publishes."""
    root = f"/{namespace.strip('/')}/{NODE}".replace("//", "/")
    return [*(f"{root}/{topic}" for topic in _TOPICS.split()), "/tf", "/tf_static"]


def _make(context, *, when_active: list) -> list:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    is_simulated = value("use_sim_time") == "true"
    given = {
        parameter: value(argument) for argument, parameter in _PARAMETERS.items() if value(argument)
    }
    if value("compressed"):
        given["input.transport"] = "compressed" if value("compressed") == "true" else "raw"
    node = LifecycleNode(
        package="human3r_ros",
        executable="human3r_node",
        name=NODE,
        namespace=value("namespace"),
        # Later entries win: the command line over the file.
        parameters=[value("params_file"), given, {"use_sim_time": is_simulated}],
        remappings=[("image", value("image")), ("camera_info", value("camera_info"))],
        arguments=["--ros-args", "--log-level", value("log_level")],
        output="screen",
    )
    actions = [node]
    if value("autostart") == "true":
        actions += _autostart(node, when_active)
    if value("rviz") == "true":
        actions.append(_rviz(value("namespace"), value("image"), is_simulated))
    return actions


def _autostart(node: LifecycleNode, when_active: list) -> list:
    """Configure when the process is up, activate when configured, stop when either fails."""

    def change(transition: int) -> EmitEvent:
        return EmitEvent(
            event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
        )

    def on(start: str, goal: str, entities: list) -> RegisterEventHandler:
        return RegisterEventHandler(
            OnStateTransition(
                target_lifecycle_node=node, start_state=start, goal_state=goal, entities=entities
            )
        )

    def stop(what: str) -> EmitEvent:
        return EmitEvent(event=Shutdown(reason=f"human3r: {what} failed; its reason is above"))

    return [
        RegisterEventHandler(
            OnProcessStart(target_action=node, on_start=[change(Transition.TRANSITION_CONFIGURE)])
        ),
        on("configuring", "inactive", [change(Transition.TRANSITION_ACTIVATE)]),
        on("activating", "active", [LogInfo(msg="human3r is active"), *when_active]),
        on("configuring", "unconfigured", [stop("configure")]),
        on("activating", "inactive", [stop("activate")]),
    ]


def _rviz(namespace: str, image: str, is_simulated: bool) -> Node:
    root = f"/{namespace.strip('/')}".rstrip("/")
    shown = [*(f"{NODE}/{topic}" for topic in _TOPICS.split()), *_BRIDGE_TOPICS]
    return Node(
        package="rviz2",
        executable="rviz2",
        name="human3r_rviz",
        arguments=["-d", [FindPackageShare("human3r_ros"), "/rviz/human3r.rviz"]],
        # The file names topics of a node without namespace; remapping moves them.
        remappings=[
            ("/image", image if image.startswith("/") else f"{root}/{image}"),
            *((f"/{topic}", f"{root}/{topic}") for topic in shown),
        ],
        parameters=[{"use_sim_time": is_simulated}],
        output="log",
    )
