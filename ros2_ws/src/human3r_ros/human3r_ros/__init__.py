"""Human3R as a ROS 2 lifecycle node.

Importing the package settles which client library is used (``ros_api``), so every module inside
may write plain ``import rclpy`` and ``from human3r_msgs.msg import HumanArray``.
"""

from human3r_ros import ros_api

__all__ = ["ros_api"]
