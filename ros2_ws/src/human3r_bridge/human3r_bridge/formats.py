"""The formats by name, each made only when it is asked for.

Their modules are imported here and then, so that a missing message package stops the bridge at its
start, and only when its format is wanted.
"""

from collections.abc import Callable

from rclpy.node import Node

from human3r_bridge import message_packages
from human3r_bridge.output import ConvertedOutput, Output, Warn
from human3r_bridge.parameters import BridgeSettings


def make_outputs(node: Node, settings: BridgeSettings, warn: Warn) -> dict[str, Output]:
    """The wanted formats, in the order in which a frame passes them.

    Raises:
        ConfigError: a message package is missing.
    """
    for name in settings.outputs:
        message_packages.require(_FORMATS[name][0], name)
    # hri has the transforms, which go out before anything else of the same stamp.
    order = sorted(settings.outputs, key=lambda name: name != "hri")
    return {name: _FORMATS[name][1](node, settings, warn) for name in order}


def _vision(node: Node, settings: BridgeSettings, warn: Warn) -> Output:
    from vision_msgs.msg import Detection3DArray

    from human3r_bridge.to_vision_msgs import detections_3d

    return ConvertedOutput(node, warn, "~/detections", Detection3DArray, detections_3d)


def _vision_2d(node: Node, settings: BridgeSettings, warn: Warn) -> Output:
    from vision_msgs.msg import Detection2DArray

    from human3r_bridge.to_vision_msgs import detections_2d

    return ConvertedOutput(node, warn, "~/detections_2d", Detection2DArray, detections_2d)


def _poses(node: Node, settings: BridgeSettings, warn: Warn) -> Output:
    from geometry_msgs.msg import PoseArray

    from human3r_bridge.to_pose_array import pose_array

    return ConvertedOutput(node, warn, "~/poses", PoseArray, pose_array)


def _people(node: Node, settings: BridgeSettings, warn: Warn) -> Output:
    from human3r_bridge.people_output import PeopleOutput

    return PeopleOutput(node, settings, warn)


def _markers(node: Node, settings: BridgeSettings, warn: Warn) -> Output:
    from human3r_bridge.marker_output import MarkerOutput

    return MarkerOutput(node, warn)


def _mesh_markers(node: Node, settings: BridgeSettings, warn: Warn) -> Output:
    from human3r_bridge.mesh_marker_output import MeshMarkerOutput

    return MeshMarkerOutput(node, settings, warn)


def _hri(node: Node, settings: BridgeSettings, warn: Warn) -> Output:
    from human3r_bridge.hri_output import HriOutput

    return HriOutput(node, settings, warn)


_Maker = Callable[[Node, BridgeSettings, Warn], Output]
_FORMATS: dict[str, tuple[tuple[str, ...], _Maker]] = {
    # name in the parameter outputs: (message packages, maker)
    "markers": (("visualization_msgs",), _markers),
    "mesh_markers": (("visualization_msgs",), _mesh_markers),
    "people": (("people_msgs",), _people),
    "vision": (("vision_msgs",), _vision),
    "vision2d": (("vision_msgs",), _vision_2d),
    "poses": ((), _poses),
    "hri": (("hri_msgs",), _hri),
}
