"""A simulated robot: where it truly is, what its odometry says, and what the network would say."""

from itertools import pairwise

import numpy as np
from geometry_msgs.msg import TransformStamped
from human3r_ros import transforms
from scipy.spatial.transform import Rotation
from tf2_msgs.msg import TFMessage

from human3r.mapping.level import level_from_pitch

SECOND_NS = 1_000_000_000
START_NS = 100 * SECOND_NS
TF_PERIOD_NS = SECOND_NS // 20
OPTICAL, BASE, ODOM = "camera_optical", "base_link", "odom"


def pose(xyz, yaw_rad=0.0):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("z", yaw_rad).as_matrix()
    matrix[:3, 3] = xyz
    return matrix


class Drive:
    """A curve through a hall at 0.5 m/s, camera 1.1 m above the base and looking 15 degrees down.

    Args:
        duration_s: length of the drive.
        odometry_drift: share of each step and radians per metre by which the robot is wrong.
        network_drift: the same of the network's camera poses.
    """

    def __init__(self, duration_s=30.0, odometry_drift=(0.02, 0.01), network_drift=(-0.03, -0.008)):
        self.stamps_ns = START_NS + TF_PERIOD_NS * np.arange(int(duration_s * 20) + 1)
        ages_s = (self.stamps_ns - START_NS) * 1e-9
        yaw_rad = 0.9 * np.sin(0.25 * ages_s)
        steps = 0.5 * 0.05 * np.stack([np.cos(yaw_rad), np.sin(yaw_rad)], axis=1)
        places = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)[:-1]])
        true = [pose([*place, 0.0], yaw) for place, yaw in zip(places, yaw_rad, strict=True)]
        self.base_from_camera = np.eye(4)
        self.base_from_camera[:3, :3] = level_from_pitch(np.radians(15))[:3, :3]
        self.base_from_camera[:3, 3] = [0.2, 0.0, 1.1]
        self.odom_from_base = drifted(true, np.eye(4), *odometry_drift)
        cameras = [matrix @ self.base_from_camera for matrix in true]
        self.world_from_camera = drifted(cameras, np.eye(4), *network_drift)

    def static_edges(self):
        return TFMessage(
            transforms=[transforms.transform_message(1, BASE, OPTICAL, self.base_from_camera)]
        )

    def edge(self, index) -> TransformStamped:
        """The robot's odometry on TF."""
        stamp_ns = int(self.stamps_ns[index])
        return transforms.transform_message(stamp_ns, ODOM, BASE, self.odom_from_base[index])


def drifted(poses, start, scale_error, turn_rad_per_m):
    """A path of the same steps, each a little too long and turned about the vertical."""
    path = [start]
    for before, now in pairwise(poses):
        step = np.linalg.inv(before) @ now
        length_m = np.linalg.norm(step[:3, 3])
        turn = np.eye(4)
        up = np.linalg.inv(poses[0])[:3, :3] @ [0, 0, 1]
        turn[:3, :3] = Rotation.from_rotvec(turn_rad_per_m * length_m * up).as_matrix()
        wrong = step.copy()
        wrong[:3, 3] *= 1 + scale_error
        # The turn is about the vertical of the place where the path began.
        local = path[-1].copy()
        local[:3, :3] = turn[:3, :3] @ local[:3, :3]
        path.append(local @ wrong)
    return path
