"""Human3R as a ROS 2 lifecycle node.

Importing the package settles which client library is used (``ros_api``), so every module inside
may write plain ``import rclpy`` and ``from human3r_msgs.msg import HumanArray``. It also settles
how threads of OpenMP and OpenBLAS wait, which they read when torch and NumPy are first loaded.
"""

import os

# They would spin while they wait for each other; on cores shared with a robot's other processes
# that makes a frame several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# NumPy multiplies small matrices only; threads for that spin for nothing: 0.93 instead of 0.64
# cores on the same stream with NumPy 1.26.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from human3r_ros import ros_api

__all__ = ["ros_api"]
