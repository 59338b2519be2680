"""Publishes people as people_msgs/People in a fixed frame."""

import numpy as np
from geometry_msgs.msg import Pose
from human3r_ros import qos
from people_msgs.msg import People
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

from human3r_bridge.geometry_messages import matrix_from_pose, ns_from_time, point
from human3r_bridge.output import PeopleFrame, Warn, is_wanted, make_publisher
from human3r_bridge.parameters import BridgeSettings
from human3r_bridge.to_people_msgs import people_message


class PeopleOutput:
    """Each person's position and velocity for social navigation."""

    def __init__(self, node: Node, settings: BridgeSettings, warn: Warn) -> None:
        self._publisher = make_publisher(node, People, "/people", qos.HUMANS, warn)
        self._frame, self._level = settings.people_frame, settings.frames.level
        self._warn = warn
        self._last_ns = 0
        self._buffer = None
        if self._frame != self._level:
            from tf2_ros import Buffer, TransformListener

            # With the node, the buffer notices jumps of simulated time.
            self._buffer = Buffer(node=node)
            self._listener = TransformListener(self._buffer, node)

    def publish(self, frame: PeopleFrame) -> None:
        """Send a frame; nothing but an empty list while positions in the frame are unknown."""
        stamp_ns = ns_from_time(frame.header.stamp)
        if self._buffer is not None and stamp_ns < self._last_ns:
            self._buffer.clear()
        self._last_ns = stamp_ns
        if not is_wanted(self._publisher):
            return
        frame_from_camera = np.eye(4)
        if frame.people:
            frame_from_camera = self._frame_from_camera(frame)
            if frame_from_camera is None:
                return
        header = Header(stamp=frame.header.stamp, frame_id=self._frame)
        self._publisher.publish(people_message(frame.people, header, frame_from_camera))

    def tick(self) -> None:
        """Nothing to do between frames."""

    def _frame_from_camera(self, frame: PeopleFrame) -> np.ndarray | None:
        camera = frame.header.frame_id
        if self._frame == camera:
            return np.eye(4)
        if self._buffer is None:
            found = matrix_from_pose(frame.array.camera_pose)
            if frame.array.camera_pose_valid and found is not None:
                return found
            self._refuse(frame, "the camera's pose is not known")
            return None
        from tf2_ros import TransformException

        try:
            stamped = self._buffer.lookup_transform(
                self._frame, camera, Time.from_msg(frame.header.stamp)
            )
        except TransformException as error:
            self._refuse(frame, f"TF has no transform: {error}")
            return None
        t, q = stamped.transform.translation, stamped.transform.rotation
        return matrix_from_pose(Pose(position=point((t.x, t.y, t.z)), orientation=q))

    def _refuse(self, frame: PeopleFrame, reason: str) -> None:
        stamp = frame.header.stamp
        self._warn(
            "people frame",
            f"people of {stamp.sec}.{stamp.nanosec:09d} are not published, for their positions in "
            f"{self._frame} are unknown: {reason}; expected {self._frame} from "
            f"{frame.header.frame_id} at that stamp. Check TF, or change people.frame.",
        )
