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
settings are in ``params_file``, with the defaults of human3r_ros.multi.settings.
"""

import os
import sys
from pathlib import Path

from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]
from launch.actions import OpaqueFunction
from launch_ros.actions import Node

sys.path.insert(0, str(Path(__file__).parent))
from _node_actions import ENVIRONMENT, text, value_of

_FILES = ("calibration", "weights", "body_model")
_PARAMETERS = {
    # argument: parameter
    "views": "views",
    "cameras": "cameras",
    "calibration": "calibration",
    "world": "frames.world",
    "weights": "model.weights",
    "body_model": "model.body_model",
}


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
            OpaqueFunction(function=_node),
        ]
    )


def _node(context) -> list:
    given = {name: value_of(context, name) for name in _PARAMETERS}
    # A path means the same file wherever the node runs.
    given |= {name: os.path.abspath(given[name]) for name in _FILES if given[name]}
    file = value_of(context, "params_file")
    values = {_PARAMETERS[name]: value for name, value in given.items() if value}
    return [
        Node(
            package="human3r_ros",
            executable="human3r_multi",
            name="human3r_multi",
            namespace=value_of(context, "namespace"),
            parameters=[*([file] if file else []), *([values] if values else [])],
            additional_env=ENVIRONMENT,
            output="screen",
        )
    ]
