"""Which frame moves with the camera, while static transforms arrive when they like."""

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from human3r_ros import transforms
from human3r_ros.placement import Placement
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.mapping.level import LevelFrame
from human3r.types import Frame

SECOND_NS = 1_000_000_000


class Robot:
    """A placement, what it sends, and a TF tree to speak into."""

    def __init__(self, mode="odometry", base="", patience_s=0.0):
        self.settings = Settings().replace({"tf.mode": mode, "frames.base": base})
        self.level = self.settings.frames.level
        self.tree = transforms.FrameTree()
        self.tf, self.odometry = [], []
        level = LevelFrame(self.settings)
        self.placement = Placement(self.tree, self, level, self.settings, patience_s)
        self.frames = 0

    def send(self, name, message):
        assert name == "odometry"
        self.odometry.append(message)

    def send_transform(self, transform):
        self.tf.append(transform)
        # As on a real network, our own broadcast comes back.
        self.tree.update(TFMessage(transforms=[transform]), is_static=False)

    def hear(self, parent, child, x=0.0, *, is_static=True):
        edge = TransformStamped(
            header=Header(frame_id=parent),
            child_frame_id=child,
            transform=Transform(translation=Vector3(x=x), rotation=Quaternion(w=1.0)),
        )
        self.tree.update(TFMessage(transforms=[edge]), is_static=is_static)

    def frame(self, optical="optical"):
        """One frame's way through the placement, the camera at x = number of the frame."""
        pose = np.eye(4)
        pose[0, 3] = self.frames
        self.frames += 1
        stamp_ns = self.frames * SECOND_NS
        frame = Frame(np.zeros((1, 1, 3), np.uint8), stamp_ns, frame_id=optical)
        if not self.placement.update(self.placement.located(frame, self.settings)):
            self.placement.send_transform(stamp_ns, pose, self.settings)
            self.placement.send_odometry(stamp_ns, pose, self.settings)

    def children(self):
        return [edge.child_frame_id for edge in self.tf]


def test_our_edge_moves_to_the_base_when_its_static_transforms_come_late():
    robot = Robot()
    robot.frame()
    robot.hear("base_link", "optical", x=2.0)
    # The node's check at 1 Hz may come before the next frame.
    assert robot.placement.check() == ""
    robot.frame()
    robot.frame()
    assert robot.children() == ["optical", "base_link", "base_link"]
    assert [m.child_frame_id for m in robot.odometry] == robot.children()
    assert robot.placement.check() == ""
    # The camera is at x = 2, so a base 2 m behind it is at 0.
    assert robot.tf[-1].transform.translation.x == pytest.approx(0.0)
    # The step from one frame to another base is no motion.
    assert [m.twist.twist.linear.x for m in robot.odometry] == [0.0, 0.0, 1.0]


def test_a_base_that_moves_up_twice_ends_at_the_root():
    robot = Robot()
    for parent, child in (("camera_link", "optical"), ("base_link", "camera_link")):
        robot.frame()
        robot.hear(parent, child)
    robot.frame()
    assert robot.children() == ["optical", "camera_link", "base_link"]
    assert robot.placement.trouble == ""


def test_nothing_is_broadcast_while_static_transforms_may_be_on_their_way(monkeypatch):
    robot = Robot(patience_s=1.0)
    age_s = 0.2
    monkeypatch.setattr(robot.tree, "age_s", lambda: age_s)
    robot.frame()
    assert robot.tf == []
    robot.hear("base_link", "optical")
    robot.frame()
    age_s = 1.0
    robot.frame()
    assert robot.children() == ["base_link"]


def test_a_named_base_needs_no_patience():
    robot = Robot(base="base_link", patience_s=60.0)
    robot.hear("base_link", "optical")
    robot.frame()
    assert robot.children() == ["base_link"]


@pytest.mark.parametrize("mode", ["none", "odometry"])
def test_without_the_wanted_base_there_is_no_odometry_until_it_is_reached(mode):
    robot = Robot(mode, base="base_link")
    robot.frame()
    assert (robot.tf, robot.odometry) == ([], [])
    assert "frames.base is 'base_link'" in robot.placement.trouble
    assert "odometry are withheld" in robot.placement.trouble
    robot.hear("camera_link", "optical")
    robot.frame()
    assert robot.odometry == []
    robot.hear("base_link", "camera_link")
    robot.frame()
    assert [m.child_frame_id for m in robot.odometry] == ["base_link"]
    assert robot.placement.trouble == ""


def test_a_foreign_parent_of_the_base_stops_tf_for_good_but_not_odometry():
    robot = Robot()
    robot.hear("base_link", "optical")
    robot.frame()
    robot.hear("odom", "base_link", is_static=False)
    assert "base_link already has parent odom" in robot.placement.check()
    robot.frame()
    robot.tree.forget_moving()
    robot.hear("base_link", "lidar")
    robot.frame()
    assert len(robot.tf) == 1
    assert len(robot.odometry) == 3
    assert "parent odom" in robot.placement.trouble


def test_the_same_static_transforms_again_change_nothing():
    robot = Robot()
    robot.hear("base_link", "optical", x=1.0)
    version = robot.tree.static_version
    robot.hear("base_link", "optical", x=1.0)
    assert robot.tree.static_version == version
    robot.hear("base_link", "optical", x=1.5)
    assert robot.tree.static_version > version


@pytest.mark.parametrize("mode", ["none", "odometry"])
def test_a_level_frame_that_is_the_camera_itself_gets_neither_transform_nor_odometry(mode):
    robot = Robot(mode)
    robot.frame(robot.level)
    assert (robot.tf, robot.odometry) == ([], [])
    assert "frames.level" in robot.placement.trouble
    robot.frame("optical")
    assert robot.odometry[0].child_frame_id == "optical"
    assert robot.placement.trouble == ""


def test_a_level_frame_that_is_fixed_to_the_camera_gets_no_odometry():
    robot = Robot("none")
    robot.hear(robot.level, "optical")
    robot.frame()
    assert robot.odometry == []
    assert "moves with" in robot.placement.trouble


# -- before the first image ------------------------------------------------------------------------


def no_wait(condition):
    return condition()


def test_a_base_above_no_camera_is_refused_as_soon_as_camera_info_names_the_camera():
    robot = Robot(mode="none", base="gripper")
    robot.hear("camera_link", "optical")
    words = "frames.base is 'gripper', but the static transforms above 'optical' lead to"
    with pytest.raises(ConfigError, match=words):
        robot.placement.prepare(no_wait, lambda: ("optical",))
    robot.hear("gripper", "camera_link")
    robot.placement.prepare(no_wait, lambda: ("optical",))


@pytest.mark.parametrize("cameras", [None, (), ("left", "right")], ids=str)
def test_a_camera_that_is_not_known_yet_is_no_reason_to_refuse(cameras):
    robot = Robot(mode="none", base="gripper")
    robot.placement.prepare(no_wait, lambda: cameras)


def test_activation_waits_for_camera_and_static_transforms_to_arrive():
    robot = Robot(mode="none", base="gripper")
    named = []

    def wait(condition):
        """What is waited for comes meanwhile."""
        if not condition():
            if named:
                robot.hear("gripper", "optical")
            else:
                named.append("optical")
        assert condition()

    robot.placement.prepare(wait, lambda: tuple(named))
    assert named == ["optical"]
    assert robot.tree.static_ancestors("optical") == ["optical", "gripper"]
