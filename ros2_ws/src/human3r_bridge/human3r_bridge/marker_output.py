"""Publishes people as markers."""

import numpy as np
from human3r_msgs.msg import SkeletonInfo
from human3r_ros import qos
from rclpy.node import Node
from visualization_msgs.msg import MarkerArray

from human3r_bridge.inputs import SKELETON
from human3r_bridge.marker_parts import ShownMarkers
from human3r_bridge.output import PeopleFrame, Warn, is_wanted, make_publisher
from human3r_bridge.to_markers import bones_of, person_markers


class MarkerOutput:
    """Bones, joints, id and velocity of each person."""

    def __init__(self, node: Node, warn: Warn) -> None:
        self._publisher = make_publisher(node, MarkerArray, "~/markers", qos.HUMANS, warn)
        self._shown = ShownMarkers()
        self._skeleton_id = ""
        self._bones = np.zeros((0, 2), np.int64)
        self._warn = warn
        node.create_subscription(SkeletonInfo, SKELETON, self._on_skeleton, qos.LATCHED)

    def publish(self, frame: PeopleFrame) -> None:
        """Draw a frame, and take away whoever is not in it any more."""
        if not is_wanted(self._publisher):
            return
        markers = [
            marker
            for person in frame.people
            for marker in person_markers(person, frame.header, self._bones_for(frame))
        ]
        self._publisher.publish(self._shown.replace(markers, frame.header))

    def tick(self) -> None:
        """Nothing to do between frames."""

    def _bones_for(self, frame: PeopleFrame) -> np.ndarray:
        if frame.array.skeleton_id == self._skeleton_id:
            return self._bones
        self._warn(
            "skeleton",
            f"no skeleton {frame.array.skeleton_id[:40]!r} was heard, so no bones are drawn; "
            f"expected it on {SKELETON}. Record or remap that topic as well.",
        )
        return self._bones[:0]

    def _on_skeleton(self, message: SkeletonInfo) -> None:
        self._skeleton_id, self._bones = message.skeleton_id, bones_of(message)
