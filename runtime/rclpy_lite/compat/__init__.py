"""The few functions of other ROS packages that nodes here use, under their names."""
