"""Human3R as a ROS 2 lifecycle node.

Importing the package settles which client library is used (``ros_api``), so every module inside
may write plain ``import rclpy`` and ``from human3r_msgs.msg import HumanArray``. It also settles
how OpenMP's threads wait, which they read when torch is first loaded.
"""

import os

from human3r_ros import ros_api

__all__ = ["ros_api"]

# They would spin while they wait for each other; on cores shared with a robot's other processes
# that makes a frame several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
