"""The node on a robot: anchored to the robot's own odometry, people for navigation, no RViz.

    ros2 launch human3r_ros robot.launch.py image:=/camera/image_raw weights:=W body_model:=B

A Nav2 lifecycle manager of its own configures and activates the node. It holds no bond with it: a
frame of the network may take longer than a heartbeat. ``manager:=false`` leaves the node to the
robot's manager.

``respawn:=true`` starts a node or bridge again that has ended unexpectedly. The manager, without a
bond, does not notice; this file then configures and activates the new node itself.
"""

import sys
from pathlib import Path

from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]
from launch.actions import OpaqueFunction
from launch_ros.actions import Node

sys.path.insert(0, str(Path(__file__).parent))
from _node_actions import (
    NODE,
    Autostart,
    bridge_and_rviz,
    bridge_arguments,
    checks,
    common_arguments,
    flag,
    make_node,
    node_arguments,
    value_of,
)


def generate_launch_description() -> LaunchDescription:
    """Arguments, then the node, its manager and the bridge."""
    return LaunchDescription(
        [
            *common_arguments(use_sim_time="false"),
            *node_arguments(tf_mode="anchored", level_source="tf"),
            *bridge_arguments(outputs="[hri, people]"),
            flag("manager", "true", "Start a lifecycle manager for the node."),
            flag("rviz", "false", "Show RViz here; view.launch.py shows it elsewhere."),
            checks(_manager_package),
            OpaqueFunction(function=_node_and_manager),
            *bridge_and_rviz(),
        ]
    )


def _manager_package(context) -> dict[str, str]:
    if value_of(context, "manager") != "true":
        return {}
    return {"nav2_lifecycle_manager": "manager:=false"}


def _node_and_manager(context) -> list:
    node = make_node(context)
    if value_of(context, "manager") != "true":
        return [node]
    autostart = value_of(context, "autostart") == "true"
    restarts = []
    if autostart and value_of(context, "respawn") == "true":
        restarts = [Autostart(node, [], is_managed=True).action()]
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_human3r",
        namespace=value_of(context, "namespace"),
        parameters=[
            {
                "autostart": autostart,
                "node_names": [NODE],
                "bond_timeout": 0.0,
                "use_sim_time": value_of(context, "use_sim_time") == "true",
            }
        ],
        output="screen",
    )
    return [node, *restarts, manager]
