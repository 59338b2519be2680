"""Markers of people for a bag that is written without a bridge beside it."""

from human3r_msgs.msg import HumanArray, SkeletonInfo
from human3r_ros import qos
from visualization_msgs.msg import MarkerArray

from human3r_bridge.marker_parts import ShownMarkers
from human3r_bridge.people import confirmed_people
from human3r_bridge.to_markers import bones_of, person_markers


class BagMarkers:
    """What the bridge's ``markers`` would publish of a stream, message for message."""

    topic = "/human3r_bridge/markers"
    profile = qos.HUMANS

    def __init__(self, skeleton: SkeletonInfo) -> None:
        self._bones = bones_of(skeleton)
        self._shown = ShownMarkers()

    def of(self, humans: HumanArray) -> MarkerArray:
        """Bones, joints, id and velocity of each confirmed person."""
        markers = [
            marker
            for person in confirmed_people(humans)
            for marker in person_markers(person, humans.header, self._bones)
        ]
        return self._shown.replace(markers, humans.header)
