"""What the launch files share: arguments, the node, its transitions, the bridge and RViz."""

from collections.abc import Iterable

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessStart
from launch.events import Shutdown, matches_action
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

NODE = "human3r"
FLAGS = ("true", "false")
_TOPICS = (
    "humans skeleton status odometry camera_info depth/image depth/camera_info depth/confidence "
    "mask/image mask/labels points scene/points map/points meshes mesh_topology"
)
_BRIDGE_TOPICS = ("human3r_bridge/markers", "human3r_bridge/mesh_markers")
_PASSED_ON = ("namespace", "image", "outputs", "use_sim_time", "log_level")
_INPUTS = ("image", "camera_info", "depth")
_PARAMETERS = {
    # argument: parameter
    "weights": "model.weights",
    "body_model": "model.body_model",
    "tf_mode": "tf.mode",
    "level_source": "level.source",
}
_QUEUE = 10
"""Images waiting at most in lock-step; the pacer lets one wait."""


def text(name: str, default, description: str) -> DeclareLaunchArgument:
    """An argument of any value."""
    return DeclareLaunchArgument(name, default_value=default, description=description)


def flag(name: str, default: str, description: str) -> DeclareLaunchArgument:
    """An argument that is true or false."""
    return DeclareLaunchArgument(
        name, default_value=default, choices=FLAGS, description=description
    )


def common_arguments(*, use_sim_time: str) -> list[DeclareLaunchArgument]:
    """The arguments of every launch file."""
    return [
        text("image", "image", "Image topic; with compressed:=true without its /compressed."),
        text("camera_info", "camera_info", "Calibration topic."),
        text("namespace", "", "Namespace of the node and of what goes with it."),
        flag("use_sim_time", use_sim_time, "Follow /clock."),
        text("log_level", "info", "debug, info, warn or error."),
    ]


def node_arguments(*, tf_mode: str, level_source: str = "") -> list[DeclareLaunchArgument]:
    """The arguments of launch files that start the node; empty leaves it to the parameter file."""
    share = FindPackageShare("human3r_ros")
    return [
        DeclareLaunchArgument(
            "compressed",
            default_value="",
            choices=["", *FLAGS],
            description="Read CompressedImage; empty: input.transport of the parameter file.",
        ),
        text("depth", "depth", "Depth images aligned with image; read with scale.mode depth."),
        text("params_file", [share, "/config/human3r.yaml"], "Parameter file."),
        DeclareLaunchArgument(
            "tf_mode",
            default_value=tf_mode,
            choices=["none", "odometry", "inverse", "anchored"],
            description="What goes to /tf; the node's own default is none, so that it never "
            "disturbs a robot.",
        ),
        DeclareLaunchArgument(
            "level_source",
            default_value=level_source,
            choices=["", "camera", "tf", "floor"],
            description="Where z up comes from; empty: level.source of the parameter file.",
        ),
        text("weights", "", "Weights file; empty: the parameter file's."),
        text("body_model", "", "Body model file; empty: the parameter file's."),
        flag("autostart", "true", "Configure and activate; false leaves that to a manager."),
    ]


def bridge_arguments(*, outputs: str) -> list[DeclareLaunchArgument]:
    """The arguments of launch files that can start human3r_bridge."""
    return [
        flag("bridge", "true", "Also start human3r_bridge, for people in other formats."),
        text(
            "outputs",
            outputs,
            "Formats of the bridge, for example [markers, hri]; empty: those of its parameter "
            "file.",
        ),
    ]


def rviz_argument() -> DeclareLaunchArgument:
    """Whether RViz is shown."""
    return flag("rviz", "true", "Show RViz.")


def node_actions(when_active: Iterable = (), *, takes_every_image: bool = False) -> list:
    """The node and its transitions.

    Args:
        when_active: more actions once the node is active.
        takes_every_image: for lock-step; needs the argument ``lockstep`` to be true.
    """

    def make(context) -> list:
        node = make_node(context, takes_every_image=takes_every_image)
        if value_of(context, "autostart") != "true":
            return [node]
        return [node, *_autostart(node, list(when_active))]

    return [OpaqueFunction(function=make)]


def bridge_and_rviz() -> list:
    """The bridge and RViz, where the arguments of these names ask for them."""
    return [OpaqueFunction(function=_bridge), OpaqueFunction(function=_rviz)]


def value_of(context, name: str) -> str:
    """What an argument is."""
    return LaunchConfiguration(name).perform(context)


def full_name(context, topic: str) -> str:
    """A topic as it is after remapping, without the node's own name."""
    root = f"/{value_of(context, 'namespace').strip('/')}".rstrip("/")
    return topic if topic.startswith("/") else f"{root}/{topic}"


def input_topics(context) -> tuple[str, str, str]:
    """What the node reads besides TF: images, calibration, depth."""
    suffix = "/compressed" if value_of(context, "compressed") == "true" else ""
    image, info, depth = (full_name(context, value_of(context, name)) for name in _INPUTS)
    return f"{image}{suffix}", info, depth


def output_topics(context) -> list[str]:
    """Full names of everything the node publishes."""
    topics = (full_name(context, f"{NODE}/{topic}") for topic in _TOPICS.split())
    return [*topics, "/tf", "/tf_static"]


def make_node(context, *, takes_every_image: bool = False) -> LifecycleNode:
    """The node, with what the arguments say."""
    given = {
        parameter: value_of(context, argument)
        for argument, parameter in _PARAMETERS.items()
        if value_of(context, argument)
    }
    if compressed := value_of(context, "compressed"):
        given["input.transport"] = "compressed" if compressed == "true" else "raw"
    if takes_every_image and value_of(context, "lockstep") == "true":
        given |= {"input.policy": "every", "input.queue": _QUEUE}
        # What is left out to save time would depend on the machine.
        given["diagnostics.max_latency_s"] = 0.0
        for topic in input_topics(context):
            given[f"qos_overrides.{topic}.subscription.reliability"] = "reliable"
    is_simulated = value_of(context, "use_sim_time") == "true"
    return LifecycleNode(
        package="human3r_ros",
        executable="human3r_node",
        name=NODE,
        namespace=value_of(context, "namespace"),
        # Later entries win: the command line over the file.
        parameters=[value_of(context, "params_file"), given, {"use_sim_time": is_simulated}],
        remappings=[(name, value_of(context, name)) for name in _INPUTS],
        arguments=["--ros-args", "--log-level", value_of(context, "log_level")],
        output="screen",
    )


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


def _bridge(context) -> list:
    # Looked up only when it is wanted: human3r_bridge depends on this package, not the reverse.
    if value_of(context, "bridge") != "true":
        return []
    source = [FindPackageShare("human3r_bridge"), "/launch/bridge.launch.py"]
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(source),
            launch_arguments=[(name, LaunchConfiguration(name)) for name in _PASSED_ON],
        )
    ]


def _rviz(context) -> list:
    if value_of(context, "rviz") != "true":
        return []
    shown = [*(f"{NODE}/{topic}" for topic in _TOPICS.split()), *_BRIDGE_TOPICS]
    inputs = ("image", "camera_info")
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            name="human3r_rviz",
            arguments=["-d", [FindPackageShare("human3r_ros"), "/rviz/human3r.rviz"]],
            # The file names topics of a node without namespace; remapping moves them.
            remappings=[
                *((f"/{name}", full_name(context, value_of(context, name))) for name in inputs),
                *((f"/{topic}", full_name(context, topic)) for topic in shown),
            ],
            parameters=[{"use_sim_time": value_of(context, "use_sim_time") == "true"}],
            output="log",
        )
    ]
