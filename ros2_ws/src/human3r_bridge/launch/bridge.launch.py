"""Start the bridge beside a node, or on a recording of its topics. Other launch files include it.

    ros2 launch human3r_bridge bridge.launch.py outputs:="[markers, people, hri]"

What is given here wins over the parameter file; what is not given is left to it.
"""

import yaml
from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

_NODE = "human3r"
_READ = ("humans", "skeleton", "meshes", "mesh_topology")
_ARGUMENTS = {
    # name: (default, help)
    "namespace": ("", "Namespace of the bridge; that of the node."),
    "node": (_NODE, "Name of the node whose people are read, for example human3r_multi."),
    "outputs": ("", "Formats, for example [markers, hri]; empty: the parameter file's."),
    "image": ("image", "Image topic of the node; read for hri.cropped only."),
    "log_level": ("info", "debug, info, warn or error."),
}


def generate_launch_description() -> LaunchDescription:
    """Arguments, then the bridge."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in _ARGUMENTS.items()
            ),
            DeclareLaunchArgument(
                "bridge_params_file",
                default_value="",
                description="Parameter file of the bridge; empty: the one in its package.",
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="false",
                choices=["true", "false"],
                description="Follow /clock.",
            ),
            DeclareLaunchArgument(
                "respawn",
                default_value="false",
                choices=["true", "false"],
                description="Start the bridge again when it ends unexpectedly.",
            ),
            OpaqueFunction(function=_bridge),
        ]
    )


def _own_file() -> list:
    return [FindPackageShare("human3r_bridge"), "/config/human3r_bridge.yaml"]


def _bridge(context) -> list:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    given: dict = {"use_sim_time": value("use_sim_time") == "true"}
    if value("outputs"):
        given["outputs"] = yaml.safe_load(value("outputs"))
    return [
        Node(
            package="human3r_bridge",
            executable="human3r_bridge",
            name="human3r_bridge",
            namespace=value("namespace"),
            # Later entries win: the command line over the file.
            parameters=[value("bridge_params_file") or _own_file(), given],
            remappings=[("image", value("image")), *_of_node(value("node"))],
            arguments=["--ros-args", "--log-level", value("log_level")],
            # A launch that is killed leaves no bridge behind.
            additional_env={"HUMAN3R_END_WITH_PARENT": "1"},
            respawn=value("respawn") == "true",
            respawn_delay=2.0,
            output="screen",
        )
    ]


def _of_node(node: str) -> list[tuple[str, str]]:
    """Remappings of what is read, where it is that of another node than usual."""
    if node == _NODE:
        return []
    return [(f"{_NODE}/{name}", f"{node}/{name}") for name in _READ]
