"""The command-line tools of the ROS part, and what only they use."""
