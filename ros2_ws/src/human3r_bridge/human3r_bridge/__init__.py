"""Human3R's people in the formats that other ROS packages already read.

Importing the package settles which client library is used, as ``human3r_ros`` does, and makes the
foreign message packages known to rclpy_lite where ROS 2 does not bring them.
"""

from human3r_ros import ros_api

from human3r_bridge import message_packages

message_packages.provide()

__all__ = ["ros_api"]
