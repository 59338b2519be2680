"""sensor_msgs_py's names."""

from rclpy_lite.compat import point_cloud2

__all__ = ["point_cloud2"]
