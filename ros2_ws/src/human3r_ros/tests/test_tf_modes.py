"""Modes of TF on a simulated robot whose odometry and network both drift, without processes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Transform, TransformStamped
from human3r_msgs.msg import FrameStatus
from human3r_ros import convert, transforms
from human3r_ros.placement import Placement
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.mapping import level
from human3r.mapping.level import LevelFrame, level_from_pitch
from human3r.types import Frame
from ros2_ws.src.human3r_ros.tests.builders import make_estimate
from ros2_ws.src.human3r_ros.tests.robot_drive import BASE, ODOM, OPTICAL, SECOND_NS, Drive

LEVEL = "human3r_odom"
FRAME_STEP = 4
"""TF comes at 20 Hz, images at 5 Hz."""


class Robot:
    """A robot's TF, a camera on it, and everything the placement sends."""

    def __init__(self, drive, **values):
        self.drive = drive
        self.settings = Settings().replace(values)
        self.tree = transforms.FrameTree()
        self.sent, self.odometry = [], []
        self.level = LevelFrame(self.settings)
        self.placement = Placement(self.tree, self, self.level, self.settings)
        self.tree.update(drive.static_edges(), is_static=True)
        self._heard = 0

    def send(self, name, message):
        assert name == "odometry"
        self.odometry.append(message)

    def send_transform(self, transform):
        self.sent.append(transform)
        self.tree.update(TFMessage(transforms=[transform]), is_static=False)

    def change(self, **values):
        self.settings = self.settings.replace({k.replace("__", "."): v for k, v in values.items()})

    def drive_to(self, index):
        """The robot's TF up to this point of the drive."""
        edges = [self.drive.edge(i) for i in range(self._heard, index + 1)]
        self._heard = index + 1
        self.tree.update(TFMessage(transforms=edges), is_static=False)

    def frame(self, index):
        """An image at a point of the drive; returns the camera in the level frame."""
        stamp_ns = int(self.drive.stamps_ns[index])
        estimate = replace(
            make_estimate(stamp_ns=stamp_ns), world_from_camera=self.drive.world_from_camera[index]
        )
        image = Frame(np.zeros((1, 1, 3), np.uint8), stamp_ns, frame_id=OPTICAL)
        image = self.placement.located(image, self.settings)
        self.level.update(image, estimate)
        estimate = replace(estimate, level_from_world=self.level.level_from_world)
        level_from_camera = estimate.level_from_camera
        is_waiting = bool(self.placement.update(image))
        if not is_waiting and np.isfinite(level_from_camera).all():
            self.placement.send_transform(stamp_ns, level_from_camera, self.settings)
            self.placement.send_odometry(stamp_ns, level_from_camera, self.settings)
        return level_from_camera

    def begin_world(self):
        """As a reset of the pipeline and the processor does."""
        self.level.restart()
        self.placement.begin_world()

    def frames(self, count):
        indices = range(0, FRAME_STEP * count, FRAME_STEP)
        found = []
        for index in indices:
            self.drive_to(index)
            found.append(self.frame(index))
        return list(indices), found

    def edges(self):
        return {(edge.header.frame_id, edge.child_frame_id) for edge in self.sent}


@pytest.fixture(scope="module")
def drive():
    return Drive()


def matrix_of(edge):
    t, q = edge.transform.translation, edge.transform.rotation
    made = np.eye(4)
    made[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
    made[:3, 3] = t.x, t.y, t.z
    return made


def stamp_of(message):
    return convert.ns_from_time(message.header.stamp)


def angle_deg(rotation):
    return np.degrees(np.linalg.norm(Rotation.from_matrix(rotation).as_rotvec()))


def anchored(drive, **values):
    return Robot(drive, **{"tf.mode": "anchored", "level.source": "tf", **values})


# -- anchored ------------------------------------------------------------------------------------


def test_anchored_leaves_the_robots_tree_alone_and_the_level_frame_hardly_moves(drive):
    robot = anchored(drive)
    indices, level_from_camera = robot.frames(150)
    assert robot.edges() == {(ODOM, LEVEL)}
    assert len(robot.sent) == len(indices)
    # The robot's own chain is what the robot said, whatever we sent.
    assert robot.tree.ancestors(OPTICAL) == [OPTICAL, BASE, ODOM]

    anchor_from_level = [matrix_of(edge) for edge in robot.sent]
    for index, pose, placed in zip(indices, level_from_camera, anchor_from_level, strict=True):
        anchor_from_camera = drive.odom_from_base[index] @ drive.base_from_camera
        assert np.allclose(placed @ pose, anchor_from_camera, atol=1e-9)

    steps = [np.linalg.inv(a) @ b for a, b in pairwise(anchor_from_level)]
    moved_m = [np.linalg.norm(step[:3, 3]) for step in steps]
    turned_deg = [angle_deg(step[:3, :3]) for step in steps]
    camera_m = [
        np.linalg.norm(drive.odom_from_base[b][:3, 3] - drive.odom_from_base[a][:3, 3])
        for a, b in pairwise(indices)
    ]
    assert min(camera_m) > 0.09
    # Where the camera is, things in the level frame shift by a share of the step only.
    at_camera_m = [
        np.linalg.norm(((after - before) @ pose)[:3, 3])
        for (before, after), pose in zip(
            pairwise(anchor_from_level), level_from_camera[1:], strict=True
        )
    ]
    assert max(at_camera_m) < 0.01
    # 5 % between the two odometries, and 0.018 rad/m over a few metres of lever.
    assert max(moved_m) < 0.03
    assert max(turned_deg) < 0.15
    # They do drift: a frame that never moved would not follow.
    assert np.linalg.norm(anchor_from_level[-1][:3, 3] - anchor_from_level[0][:3, 3]) > 0.3


def test_inverse_keeps_a_legal_tree_and_swings_with_the_base(drive):
    robot = Robot(drive, **{"tf.mode": "inverse"})
    _, level_from_camera = robot.frames(20)
    assert robot.edges() == {(BASE, LEVEL)}
    for edge, pose in zip(robot.sent, level_from_camera, strict=True):
        assert np.allclose(matrix_of(edge) @ pose, drive.base_from_camera, atol=1e-9)
    swings_m = [
        np.linalg.norm(matrix_of(b)[:3, 3] - matrix_of(a)[:3, 3]) for a, b in pairwise(robot.sent)
    ]
    assert min(swings_m) > 0.05


def test_none_broadcasts_nothing_and_still_gives_odometry(drive):
    robot = Robot(drive)
    robot.frames(3)
    assert robot.sent == []
    assert [m.child_frame_id for m in robot.odometry] == [BASE] * 3
    assert robot.odometry[0].header.frame_id == LEVEL


@pytest.mark.parametrize("mode", ["none", "inverse", "anchored"])
def test_odometry_is_the_same_in_every_mode(drive, mode):
    robot = Robot(drive, **{"tf.mode": mode})
    _, level_from_camera = robot.frames(8)
    assert len(robot.odometry) == 8
    for message, pose in zip(robot.odometry, level_from_camera, strict=True):
        expected = pose @ np.linalg.inv(drive.base_from_camera)
        assert np.allclose(convert.matrix_from_pose(message.pose.pose), expected)
        assert np.allclose(
            np.diag(np.reshape(message.pose.covariance, (6, 6))), [0.01] * 3 + [0.0025] * 3
        )
        assert min(message.twist.covariance[::7]) > 0
    # 0.5 m/s ahead, 3 % short, in the frame of the base.
    twist = robot.odometry[-1].twist.twist
    assert twist.linear.x == pytest.approx(0.485, abs=0.02)
    assert abs(twist.linear.y) < 0.06
    assert twist.angular.z == pytest.approx(0.9 * 0.25, abs=0.05)


def test_the_twist_is_that_of_the_velocity_window(drive):
    robot = Robot(drive, **{"people.velocity_window_s": 0.4})
    _, poses = robot.frames(6)
    base = [pose @ np.linalg.inv(drive.base_from_camera) for pose in poses]
    twist = robot.odometry[-1].twist.twist
    # Images come every 0.2 s, so the window reaches two frames back.
    expected = transforms.twist_between(base[-3], base[-1], 0.4)
    found = [twist.linear.x, twist.linear.y, twist.linear.z]
    assert np.allclose(found, expected[:3])


def test_the_first_transform_has_the_images_stamp_and_the_rest_are_ahead(drive):
    robot = anchored(drive, **{"tf.future_offset_s": 0.25})
    indices, _ = robot.frames(3)
    ahead_ns = [
        stamp_of(e) - int(drive.stamps_ns[i]) for e, i in zip(robot.sent, indices, strict=True)
    ]
    assert ahead_ns == [0, SECOND_NS // 4, SECOND_NS // 4]


def test_the_transform_is_republished_ahead_of_now_and_never_goes_back(drive):
    robot = anchored(drive, **{"tf.republish_hz": 10.0, "tf.future_offset_s": 0.1})
    robot.placement.republish(int(drive.stamps_ns[0]), robot.settings)
    assert robot.sent == [], "there is nothing to repeat yet"
    robot.frames(2)
    now_ns = int(drive.stamps_ns[FRAME_STEP]) + SECOND_NS
    robot.placement.republish(now_ns, robot.settings)
    assert stamp_of(robot.sent[-1]) == now_ns + SECOND_NS // 10
    assert np.allclose(matrix_of(robot.sent[-1]), matrix_of(robot.sent[-2]))
    robot.drive_to(2 * FRAME_STEP)
    robot.frame(2 * FRAME_STEP)
    robot.placement.republish(now_ns - SECOND_NS, robot.settings)
    stamps = [stamp_of(edge) for edge in robot.sent]
    assert len(stamps) == 4
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("mode", ["none", "odometry", "inverse"])
def test_only_anchored_is_republished(drive, mode):
    robot = Robot(drive, **{"tf.mode": mode, "tf.republish_hz": 10.0})
    robot.frames(2)
    count = len(robot.sent)
    robot.placement.republish(int(drive.stamps_ns[100]), robot.settings)
    assert len(robot.sent) == count


# -- when TF is missing --------------------------------------------------------------------------


def test_without_tf_at_the_stamp_odometry_and_tf_wait_and_say_for_what(drive):
    robot = anchored(drive, **{"tf.lookup_timeout_s": 0.0})
    pose = robot.frame(0)
    assert np.isnan(pose).all(), "no gravity, so no level frame"
    assert (robot.sent, robot.odometry) == ([], [])
    assert robot.placement.level_source == FrameStatus.LEVEL_NONE
    for word in (OPTICAL, ODOM, "100.000 s", "tf.lookup_timeout_s", "wait"):
        assert word in robot.placement.trouble
    robot.drive_to(8)
    robot.frame(8)
    assert robot.placement.trouble == ""
    assert robot.placement.level_source == FrameStatus.LEVEL_TF
    assert (len(robot.sent), len(robot.odometry)) == (1, 1)
    # The level frame is known now, but where it is in the robot's is not.
    assert np.isfinite(robot.frame(40)).all()
    assert "102.000 s" in robot.placement.waiting
    assert (len(robot.sent), len(robot.odometry)) == (1, 1)
    robot.placement.republish(int(drive.stamps_ns[40]), robot.settings)
    assert len(robot.sent) == 1
    state = robot.placement.state()
    assert (state.mode, state.parent, state.child) == ("anchored", ODOM, LEVEL)
    assert state.waiting
    assert state.lookup_age_s >= 0


def test_gravity_from_tf_needs_tf_only_until_it_is_known(drive):
    robot = Robot(drive, **{"level.source": "tf", "tf.lookup_timeout_s": 0.0})
    robot.frame(0)
    assert robot.odometry == []
    robot.drive_to(4)
    robot.frame(4)
    robot.frame(8)
    assert len(robot.odometry) == 2
    assert robot.placement.trouble == ""


# -- the level frame -----------------------------------------------------------------------------


def test_gravity_from_tf_makes_z_up_whatever_the_camera_looks_at(drive):
    robot = Robot(drive, **{"level.source": "tf"})
    _, poses = robot.frames(1)
    # The camera looks 15 degrees down, ahead along x.
    assert np.allclose(poses[0][:3, 2], [np.cos(np.radians(15)), 0, -np.sin(np.radians(15))])
    assert np.allclose(poses[0][:3, 3], 0)


def test_gravity_that_comes_late_is_that_of_the_first_camera_still(drive):
    early, late = (Robot(drive, **{"level.source": "tf", "tf.lookup_timeout_s": 0.0}) for _ in "ab")
    _, (pose,) = early.frames(1)
    for index in range(0, 40, FRAME_STEP):
        late.frame(index)
    late.drive_to(40)
    found = late.frame(40)
    level_from_world = found @ np.linalg.inv(drive.world_from_camera[40])
    # The first camera is the world's origin, so early's pose is the same thing.
    assert angle_deg(level_from_world[:3, :3].T @ pose[:3, :3]) < 1.0


def test_the_level_frame_is_found_once_and_again_after_a_reset_of_the_world(drive):
    robot = anchored(drive)
    robot.frames(3)
    before = robot.level.level_from_world
    # The camera is said to be tilted otherwise now: another gravity, was it asked again.
    tilted = drive.base_from_camera.copy()
    tilted[:3, :3] = level_from_pitch(0.9)[:3, :3]
    moved = transforms.transform_message(1, BASE, OPTICAL, tilted)
    robot.tree.update(TFMessage(transforms=[moved]), is_static=True)
    robot.drive_to(100)
    robot.frame(100)
    assert np.array_equal(robot.level.level_from_world, before)
    robot.placement.leave()
    robot.frame(100)
    assert np.array_equal(robot.level.level_from_world, before), "a new activation"
    robot.begin_world()
    assert robot.placement.level_source == FrameStatus.LEVEL_NONE
    robot.frame(100)
    assert robot.placement.level_source == FrameStatus.LEVEL_TF
    after = robot.level.level_from_world
    assert angle_deg(after[:3, :3].T @ before[:3, :3]) > 10


class SlowFloor:
    """Takes the place of the core's finder: up is known from the third frame of a world on."""

    progress = "feet on a floor were seen in 1 of 3 frames"

    def __init__(self, scene):
        self._count = 0

    def add(self, estimate):
        self._count += 1
        return np.array([0.0, -1.0, 0.1 * self._count]) if self._count >= 3 else None


def test_the_floor_makes_the_level_frame_once_enough_of_it_was_seen(drive, monkeypatch):
    monkeypatch.setattr(level, "FloorFinder", SlowFloor)
    robot = anchored(drive, **{"level.source": "floor"})
    robot.frames(2)
    assert robot.placement.level_source == FrameStatus.LEVEL_NONE
    assert SlowFloor.progress in robot.placement.waiting
    assert (robot.sent, robot.odometry) == ([], [])
    _, poses = robot.frames(6)
    assert robot.placement.level_source == FrameStatus.LEVEL_FLOOR
    assert robot.placement.trouble == ""
    assert len(robot.sent) == len(robot.odometry) == 6
    world_from_level = drive.world_from_camera[0] @ np.linalg.inv(poses[0])
    up = np.array([0.0, -1.0, 0.3])
    assert np.allclose(world_from_level[:3, 2], up / np.linalg.norm(up))
    robot.begin_world()
    assert robot.placement.level_source == FrameStatus.LEVEL_NONE


def test_a_reset_of_the_world_ends_motion_and_transform_of_before(drive):
    robot = anchored(drive, **{"tf.republish_hz": 10.0})
    robot.frames(3)
    assert robot.odometry[-1].twist.twist.linear.x > 0.3
    robot.begin_world()
    count = len(robot.sent)
    robot.placement.republish(int(drive.stamps_ns[200]), robot.settings)
    assert len(robot.sent) == count, "the level frame of before is gone"
    robot.drive_to(12)
    robot.frame(12)
    assert robot.odometry[-1].twist.twist.linear.x == 0.0


def test_after_a_jump_of_time_the_robots_old_poses_do_not_count(drive):
    robot = anchored(drive, **{"tf.lookup_timeout_s": 0.0})
    robot.frames(10)
    robot.begin_world()
    robot.placement.forget_moving()
    robot.frame(8)
    assert "odom" in robot.placement.waiting
    robot.tree.update(TFMessage(transforms=[drive.edge(i) for i in range(12)]), is_static=False)
    count = len(robot.sent)
    robot.frame(8)
    assert robot.placement.waiting == ""
    assert stamp_of(robot.sent[count]) == int(drive.stamps_ns[8])


# -- conflicts -----------------------------------------------------------------------------------


def foreign(parent, child):
    edge = TransformStamped(
        header=Header(frame_id=parent),
        child_frame_id=child,
        transform=Transform(rotation=Quaternion(w=1.0)),
    )
    return TFMessage(transforms=[edge])


@pytest.mark.parametrize("mode", ["inverse", "anchored"])
def test_a_foreign_parent_of_the_level_frame_stops_our_broadcast_and_nothing_else(drive, mode):
    robot = Robot(drive, **{"tf.mode": mode})
    robot.frames(2)
    robot.tree.update(foreign("map", LEVEL), is_static=False)
    assert f"{LEVEL} already has parent map" in robot.placement.check()
    assert robot.placement.waiting == "", "the map may go on"
    robot.drive_to(8)
    robot.frame(8)
    assert (len(robot.sent), len(robot.odometry)) == (2, 3)
    assert robot.placement.state().conflict


@pytest.mark.parametrize(
    ("values", "edge", "words"),
    [
        (
            {"tf.mode": "odometry", "frames.base": BASE},
            (ODOM, BASE),
            "base_link already has parent",
        ),
        ({"tf.mode": "inverse"}, ("map", LEVEL), "human3r_odom already has parent map"),
        ({"tf.mode": "anchored"}, ("map", LEVEL), "human3r_odom already has parent map"),
        ({"tf.mode": "anchored"}, (LEVEL, ODOM), "odom -> human3r_odom -> odom"),
        ({"tf.mode": "inverse", "frames.base": BASE}, (LEVEL, BASE), "would close the loop"),
        ({"tf.mode": "odometry", "frames.base": BASE}, (BASE, LEVEL), "would close the loop"),
    ],
    ids=str,
)
def test_activation_finds_a_conflict(drive, values, edge, words):
    robot = Robot(drive, **values)
    robot.tree.update(foreign(*edge), is_static=False)
    with pytest.raises(ConfigError, match=words):
        robot.placement.prepare(lambda is_there: is_there())


@pytest.mark.parametrize("mode", ["none", "inverse", "anchored"])
def test_activation_on_a_whole_robot_finds_nothing_to_complain_about(drive, mode):
    robot = Robot(drive, **{"tf.mode": mode, "frames.base": BASE})
    robot.drive_to(0)
    robot.placement.prepare(lambda is_there: is_there())


def test_odometry_on_a_robot_names_the_modes_that_fit(drive):
    robot = Robot(drive, **{"tf.mode": "odometry"})
    robot.frames(1)
    assert "base_link already has parent odom" in robot.placement.trouble
    assert "tf.mode anchored or none" in robot.placement.trouble
    assert robot.sent == []


def test_a_base_that_is_no_ancestor_of_the_camera_fails_the_next_activation(drive):
    robot = Robot(drive, **{"frames.base": "gripper"})
    robot.placement.prepare(lambda is_there: is_there())
    robot.frames(1)
    assert "frames.base is 'gripper'" in robot.placement.trouble
    with pytest.raises(ConfigError, match="camera_optical' lead to camera_optical -> base_link"):
        robot.placement.prepare(lambda is_there: is_there())
