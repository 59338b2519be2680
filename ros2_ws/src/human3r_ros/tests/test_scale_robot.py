"""What the robot's TF and the lens say about metres, without a node."""

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from human3r_ros import convert
from human3r_ros.transforms import FrameTree, RobotSources, needs_tf
from tf2_msgs.msg import TFMessage

from human3r.config import Settings
from human3r.types import Frame
from ros2_ws.src.human3r_ros.tests.test_scale_depth_images import depth_message

STAMP = 5_000_000_000
LOOKS_AHEAD = Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)
"""base from optical of a camera that looks along x."""


def edge(parent, child, stamp_ns=0, x=0.0, z=0.0, rotation=None):
    return TransformStamped(
        header=convert.header(stamp_ns, parent),
        child_frame_id=child,
        transform=Transform(translation=Vector3(x=x, z=z), rotation=rotation or Quaternion(w=1.0)),
    )


class Robot:
    def __init__(self, **values):
        self.settings = Settings().replace(values)
        self.tree = FrameTree()
        self.robot = RobotSources(self.tree, self.settings)
        self.update()
        self.sources = self.robot.sources()

    def update(self, raw_from_image=None):
        image = np.zeros((240, 320, 3), np.uint8)
        self.robot.update(Frame(image, STAMP, None, "cam", raw_from_image))

    def hear(self, *edges, is_static=True):
        self.tree.update(TFMessage(transforms=list(edges)), is_static=is_static)

    def mount(self):
        self.hear(
            edge("base_footprint", "base_link", z=0.1),
            edge("base_link", "cam", z=0.9, rotation=LOOKS_AHEAD),
        )


HEIGHT = {"scale.mode": "camera_height"}


def test_the_height_is_that_above_the_base_of_the_robot():
    robot = Robot(**HEIGHT)
    assert robot.sources.camera_height_m() == 0.0
    robot.mount()
    assert robot.sources.camera_height_m() == pytest.approx(1.0)


@pytest.mark.parametrize(("base", "height_m"), [("base_link", 0.9), ("somewhere", 0.0)])
def test_the_named_base_counts(base, height_m):
    robot = Robot(**HEIGHT, **{"frames.base": base})
    robot.mount()
    assert robot.sources.camera_height_m() == pytest.approx(height_m)


def test_unasked_only_a_footprint_counts_as_standing_on_the_floor():
    robot = Robot(**{"frames.base": "base_link"})
    robot.hear(edge("base_link", "cam", z=0.9, rotation=LOOKS_AHEAD))
    assert robot.sources.camera_height_m() == 0.0
    robot.hear(edge("base_footprint", "base_link", z=0.1))
    assert robot.sources.camera_height_m() == pytest.approx(1.0)


def test_the_robots_pose_is_that_of_the_camera_at_the_stamp():
    robot = Robot()
    robot.mount()
    for stamp_ns, x in [(STAMP - 10**8, 1.0), (STAMP + 10**8, 2.0)]:
        robot.hear(edge("odom", "base_footprint", stamp_ns, x=x), is_static=False)
    pose = robot.sources.pose_at(STAMP)
    assert pose[:3, 3] == pytest.approx([1.5, 0.0, 1.0])
    assert pose[:3, 2] == pytest.approx([1.0, 0.0, 0.0])
    assert robot.sources.trouble() == ""


def test_a_missing_pose_is_explained_with_both_frames():
    robot = Robot(**{"scale.mode": "odometry", "frames.anchor": "odom_combined"})
    robot.mount()
    assert robot.sources.pose_at(STAMP) is None
    assert "'odom_combined'" in robot.sources.trouble()
    assert "'cam'" in robot.sources.trouble()


def test_depth_is_looked_up_where_the_lens_put_it():
    robot = Robot()
    metres = np.tile(1.0 + np.arange(320) / 320, (240, 1)).astype("<f4")
    robot.robot.depths.store(depth_message(metres, "32FC1", STAMP))
    middle = np.array([[160.0, 120.0]])
    assert robot.sources.depth_at(STAMP)(middle)[0] == pytest.approx(1.5, abs=0.01)
    robot.update(raw_from_image=lambda pixels: pixels + np.array([80.0, 0.0]))
    assert robot.sources.depth_at(STAMP)(middle)[0] == pytest.approx(1.75, abs=0.01)
    assert robot.sources.depth_at(STAMP + 10**9) is None


@pytest.mark.parametrize(
    ("mode", "is_needed"), [("network", False), ("odometry", True), ("camera_height", True)]
)
def test_tf_is_listened_to_where_the_scale_needs_it(mode, is_needed):
    assert needs_tf(Settings().replace({"scale.mode": mode})) == is_needed
