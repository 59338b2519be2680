"""People as geometry_msgs/PoseArray."""

from geometry_msgs.msg import PoseArray
from std_msgs.msg import Header

from human3r_bridge.geometry_messages import pose_from_matrix
from human3r_bridge.people import Person


def pose_array(people: list[Person], header: Header) -> PoseArray:
    """Body poses of those who were measured in this frame; predicted ones are left out."""
    return PoseArray(
        header=header,
        poses=[pose_from_matrix(p.camera_from_body) for p in people if p.is_measured],
    )
