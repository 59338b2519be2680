"""Fuse the people of several cameras: one world, one id per person.

In one process, images through one set of networks:

    ros2 launch human3r_ros multi.launch.py cameras:=left,right calibration:=cameras.yaml

or of Human3R nodes that run already:

    ros2 launch human3r_ros live.launch.py namespace:=left image:=/left/image_raw rviz:=false
    ros2 launch human3r_ros live.launch.py namespace:=right image:=/right/image_raw rviz:=false
    ros2 launch human3r_ros multi.launch.py views:=left,right calibration:=cameras.yaml

Images are those of /NAME/image_raw, or of cameras:=NAME=/TOPIC,..., with camera_info beside them.
Nodes may run on this machine or on others: what is read is /NAME/human3r/humans and TF, no images.
Without ``calibration`` the cameras' frames must hang in one tree with ``world``. All other
settings are in ``params_file``, with the defaults of human3r_ros.multi.settings. ``rviz:=true``
shows people, cameras, and images and clouds of every camera; ``web:=8080`` serves the 3D page.
"""

import os
import sys
import tempfile
from pathlib import Path

import yaml
from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]
from launch.actions import IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

sys.path.insert(0, str(Path(__file__).parent))
from _node_actions import ENVIRONMENT, checks, flag, full_name, text, value_of

_FILES = ("calibration", "weights", "body_model")
_PARAMETERS = {
    # argument: parameter
    "views": "views",
    "cameras": "cameras",
    "calibration": "calibration",
    "world": "frames.world",
    "weights": "model.weights",
    "body_model": "model.body_model",
    "web": "web.port",
}
_NODE = "human3r_multi"
_CAMERA = "CAMERA"
"""Stands for a camera's name in the RViz file."""
_LAYOUT = Path(__file__).parent.parent / "rviz" / "human3r_multi.rviz"


def generate_launch_description() -> LaunchDescription:
    """Arguments, then the node."""
    return LaunchDescription(
        [
            text("views", "", "Names of the nodes' namespaces, separated by commas."),
            text("cameras", "", "Names of cameras whose images are read, instead of views."),
            text("calibration", "", "Calibration file with the cameras' poses; empty: TF."),
            text("world", "", "Frame of everything that is published; empty: as the node has it."),
            text("weights", "", "Weights file for cameras; empty: the parameter file's."),
            text("body_model", "", "Body model file for cameras; empty: the parameter file's."),
            text("params_file", "", "Parameter file of human3r_multi."),
            text("namespace", "", "Namespace of human3r_multi."),
            text("web", "", "Port of the live 3D page; empty: the parameter file's."),
            flag("rviz", "false", "Show RViz, with human3r_bridge for markers of people."),
            flag("bridge", "false", "Also start human3r_bridge on the people of all cameras."),
            text("outputs", "", "Formats of the bridge; empty: those of its parameter file."),
            checks(_needs),
            OpaqueFunction(function=_node),
            OpaqueFunction(function=_bridge),
            OpaqueFunction(function=_rviz),
        ]
    )


def _node(context) -> list:
    given = {name: value_of(context, name) for name in _PARAMETERS}
    # A path means the same file wherever the node runs.
    given |= {name: os.path.abspath(given[name]) for name in _FILES if given[name]}
    file = value_of(context, "params_file")
    values: dict = {_PARAMETERS[name]: value for name, value in given.items() if value}
    if "web.port" in values:
        values["web.port"] = int(values["web.port"])
    return [
        Node(
            package="human3r_ros",
            executable=_NODE,
            name=_NODE,
            namespace=value_of(context, "namespace"),
            parameters=[*([file] if file else []), *([values] if values else [])],
            additional_env=ENVIRONMENT,
            output="screen",
        )
    ]


def _needs(context) -> dict[str, str]:
    """Markers of people in RViz come from the bridge."""
    return {"human3r_bridge": "rviz:=false"} if value_of(context, "rviz") == "true" else {}


def _bridge(context) -> list:
    if "true" not in (value_of(context, "bridge"), value_of(context, "rviz")):
        return []
    source = [FindPackageShare("human3r_bridge"), "/launch/bridge.launch.py"]
    given = {"node": _NODE}
    given |= {name: value_of(context, name) for name in ("namespace", "outputs")}
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(source), launch_arguments=list(given.items())
        )
    ]


def _rviz(context) -> list:
    if value_of(context, "rviz") != "true":
        return []
    layout = yaml.safe_load(_LAYOUT.read_text())
    manager = layout["Visualization Manager"]
    manager["Displays"] = [
        one for shown in manager["Displays"] for one in _displays(context, shown)
    ]
    if world := value_of(context, "world"):
        manager["Global Options"]["Fixed Frame"] = world
    with tempfile.NamedTemporaryFile("w", suffix=".rviz", delete=False) as file:
        yaml.safe_dump(layout, file, sort_keys=False)
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            name="human3r_rviz",
            arguments=["-d", file.name],
            output="log",
        )
    ]


def _displays(context, shown: dict) -> list[dict]:
    """A display with its topic in the namespace; one of CAMERA for every camera or view."""
    names = [""]
    if _CAMERA in shown["Name"]:
        given = value_of(context, "cameras") or value_of(context, "views")
        names = [name.partition("=")[0].strip() for name in given.split(",") if name.strip()]
    made = []
    for name in names:
        one = yaml.safe_load(yaml.safe_dump(shown).replace(_CAMERA, name))
        if "Topic" in one:
            topic = one["Topic"]["Value"].removeprefix("/")
            if name and not value_of(context, "cameras"):
                # Another node's: /NAME/human3r/..., whatever the namespace of this one.
                own = topic.removeprefix(f"{_NODE}/{name}/")
                one["Topic"]["Value"] = f"/{name.strip('/')}/human3r/{own}"
            else:
                one["Topic"]["Value"] = full_name(context, topic)
        made.append(one)
    return made
