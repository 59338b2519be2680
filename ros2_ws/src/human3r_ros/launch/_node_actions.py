"""What the launch files share: arguments, checks, the node, its transitions, bridge and RViz."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch.events import matches_action
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
    "mask/image mask/labels points scene/points map/points map/grid meshes mesh_topology "
    "color/image/compressed color/camera_info"
)
_BRIDGE_TOPICS = ("human3r_bridge/markers", "human3r_bridge/mesh_markers")
_PASSED_ON = (
    *("namespace", "image", "outputs", "bridge_params_file"),
    *("use_sim_time", "log_level", "respawn"),
)
_RESPAWN_DELAY_S = 2.0
# A node that was killed stays in the graph until its DDS lease of 10 s runs out; a request
# sent meanwhile would go to the dead one, and get no answer.
_LEASE_S = 12.0
# A launch that is killed, or fails while it starts something, must leave nothing running.
ENVIRONMENT = {"HUMAN3R_END_WITH_PARENT": "1"}
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
        text("camera_info", "", "Calibration topic; empty: camera_info beside image."),
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
        text("depth", "depth", "Depth images aligned with image; named here, they give metres."),
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
        text("bridge_params_file", "", "Parameter file of the bridge; empty: the one it has."),
        flag("respawn", "false", "Start what has ended unexpectedly again."),
    ]


def rviz_argument() -> DeclareLaunchArgument:
    """Whether RViz is shown."""
    return flag("rviz", "true", "Show RViz.")


def checks(needs: Callable[..., dict[str, str]] = lambda context: {}) -> OpaqueFunction:
    """Whatever would fail half-way through the start, looked at before anything is started.

    Args:
        needs: gives more packages than those of the bridge and RViz, each with the argument that
            does without it (``rviz:=false``), or none.
    """

    def check(context) -> list:
        wanted = needs(context)
        for argument, package in (("bridge", "human3r_bridge"), ("rviz", "rviz2")):
            if value_of(context, argument) == "true":
                wanted[package] = f"{argument}:=false"
        _check_packages(wanted)
        for argument in ("params_file", "bridge_params_file"):
            _check_file(context, argument)
        _check_outputs(value_of(context, "outputs"))
        return []

    return OpaqueFunction(function=check)


def _check_packages(wanted: Mapping[str, str]) -> None:
    missing = []
    for package, remedy in wanted.items():
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            missing.append((package, remedy))
    if missing:
        distro = os.environ.get("ROS_DISTRO", "<distro>")
        names = " ".join(f"ros-{distro}-{name.replace('_', '-')}" for name, _ in missing)
        instead = " ".join(remedy for _, remedy in missing if remedy)
        raise RuntimeError(
            f"{', '.join(name for name, _ in missing)}: not installed; expected where human3r_ros "
            f"is found. Install: sudo apt install {names}"
            + (f", or add {instead}" if instead else "")
        )


def _check_file(context, argument: str) -> None:
    if argument not in context.launch_configurations:
        return
    name = value_of(context, argument)
    if name and not Path(name).is_file():
        raise RuntimeError(f"{argument}:={name}: no such file; expected a YAML parameter file.")


def _check_outputs(outputs: str) -> None:
    try:
        yaml.safe_load(outputs)
    except yaml.YAMLError as error:
        raise RuntimeError(
            f"outputs:={outputs}: not a list; expected for example [markers, hri]."
        ) from error


def node_actions(when_active: Iterable = (), *, is_replay: bool = False) -> list:
    """The node and its transitions.

    Args:
        when_active: more actions once the node is active for the first time.
        is_replay: the launch ends with the node, and ``lockstep:=true`` takes every image.
    """

    def make(context) -> list:
        node = make_node(context, takes_every_image=is_replay)
        actions = [node]
        if is_replay and value_of(context, "respawn") != "true":
            end = [give_up("the node has ended before the replay; see above")]
            actions.append(RegisterEventHandler(OnProcessExit(target_action=node, on_exit=end)))
        if value_of(context, "autostart") == "true":
            actions.append(Autostart(node, list(when_active)).action())
        return actions

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
    image, info, depth = (full_name(context, name) for name in _input_names(context).values())
    return f"{image}{suffix}", info, depth


def _input_names(context) -> dict[str, str]:
    """Input to topic, as given or by rule."""
    given = (name for name in _INPUTS if name in context.launch_configurations)
    names = {name: value_of(context, name) for name in given}
    # As image_transport and `human3r live` have it.
    folder, slash, _ = names["image"].rpartition("/")
    names["camera_info"] = names["camera_info"] or f"{folder}{slash}camera_info"
    return names


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
        remappings=list(_input_names(context).items()),
        arguments=["--ros-args", "--log-level", value_of(context, "log_level")],
        additional_env=ENVIRONMENT,
        respawn=value_of(context, "respawn") == "true",
        respawn_delay=_RESPAWN_DELAY_S,
        output="screen",
    )


def give_up(reason: str) -> OpaqueFunction:
    """End the launch in order and with an exit code that is not 0."""

    def fail(context) -> list:
        # Also after Ctrl-C processes end, and transitions fail.
        if context.is_shutdown:
            return []
        raise RuntimeError(reason)

    return OpaqueFunction(function=fail)


class Autostart:
    """Configures the node whenever its process has started, and activates it when configured.

    It listens only from the start of the process until the node is active: what a user or a manager
    asks of the node later is not its business.
    """

    def __init__(self, node: LifecycleNode, when_active: list, *, is_managed: bool = False) -> None:
        """Nothing is registered before ``action`` is executed.

        Args:
            node: the node.
            when_active: more actions once it is active for the first time.
            is_managed: a lifecycle manager does it the first time, and does not see later starts.
        """
        self._node = node
        self._when_active = when_active
        self._is_managed = is_managed
        self._starts = 0
        self._handlers: list[OnStateTransition] = []

    def action(self) -> RegisterEventHandler:
        """What the launch description holds."""
        begin = OpaqueFunction(function=self._begin)
        return RegisterEventHandler(OnProcessStart(target_action=self._node, on_start=[begin]))

    def _begin(self, context) -> list:
        self._forget(context)
        self._starts += 1
        if self._is_managed and self._starts == 1:
            return []
        self._handlers = [
            self._on("configuring", "inactive", self._activate),
            self._on("activating", "active", self._finish),
            self._on("configuring", "unconfigured", self._fail),
            self._on("activating", "inactive", self._fail),
        ]
        configure = self._change(Transition.TRANSITION_CONFIGURE)
        if self._starts > 1:
            configure = TimerAction(period=_LEASE_S, actions=[configure])
        return [*(RegisterEventHandler(handler) for handler in self._handlers), configure]

    def _on(self, start: str, goal: str, answer: Callable) -> OnStateTransition:
        return OnStateTransition(
            target_lifecycle_node=self._node,
            start_state=start,
            goal_state=goal,
            entities=[OpaqueFunction(function=answer)],
        )

    def _change(self, transition: int) -> EmitEvent:
        matcher = matches_action(self._node)
        return EmitEvent(
            event=ChangeState(lifecycle_node_matcher=matcher, transition_id=transition)
        )

    def _activate(self, context) -> list:
        return [self._change(Transition.TRANSITION_ACTIVATE)]

    def _finish(self, context) -> list:
        self._forget(context)
        more, self._when_active = self._when_active, []
        return [LogInfo(msg="human3r is active"), *more]

    def _fail(self, context) -> list:
        self._forget(context)
        reason = "human3r could not be activated; the reason is above"
        # After a respawn the rest of the robot may live on without it.
        return [give_up(reason) if self._starts == 1 else LogInfo(msg=reason)]

    def _forget(self, context) -> None:
        for handler in self._handlers:
            context.unregister_event_handler(handler)
        self._handlers = []


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
    topics, inputs = _input_names(context), ("image", "camera_info")
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            name="human3r_rviz",
            arguments=["-d", [FindPackageShare("human3r_ros"), "/rviz/human3r.rviz"]],
            # The file names topics of a node without namespace; remapping moves them.
            remappings=[
                *((f"/{name}", full_name(context, topics[name])) for name in inputs),
                *((f"/{topic}", full_name(context, topic)) for topic in shown),
            ],
            parameters=[{"use_sim_time": value_of(context, "use_sim_time") == "true"}],
            output="log",
        )
    ]
