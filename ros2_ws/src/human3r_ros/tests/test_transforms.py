import math

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from human3r_ros import transforms
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from human3r.errors import ConfigError


def edge(parent, child, xyz=(0.0, 0.0, 0.0), rotation=None):
    x, y, z, w = (rotation or Rotation.identity()).as_quat()
    return TransformStamped(
        header=Header(frame_id=parent),
        child_frame_id=child,
        transform=Transform(
            translation=Vector3(x=xyz[0], y=xyz[1], z=xyz[2]),
            rotation=Quaternion(x=x, y=y, z=z, w=w),
        ),
    )


def tree_of(static=(), moving=()):
    tree = transforms.FrameTree("level")
    tree.hear(TFMessage(transforms=list(static)), is_static=True)
    tree.hear(TFMessage(transforms=list(moving)), is_static=False)
    return tree


def test_a_level_camera_looks_along_x_with_z_up():
    rotation = transforms.level_from_world(0.0)[:3, :3]
    assert np.allclose(rotation @ [0, 0, 1], [1, 0, 0])
    assert np.allclose(rotation @ [1, 0, 0], [0, -1, 0])
    assert np.allclose(rotation @ [0, 1, 0], [0, 0, -1])


@pytest.mark.parametrize("pitch_rad", [-1.2, -0.3, 0.0, 0.5, 1.5])
def test_a_positive_pitch_looks_down(pitch_rad):
    rotation = transforms.level_from_world(pitch_rad)[:3, :3]
    assert np.allclose(rotation @ rotation.T, np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    forward = rotation @ [0, 0, 1]
    assert np.allclose(forward, [math.cos(pitch_rad), 0, -math.sin(pitch_rad)])


def test_the_base_is_found_along_static_edges_only():
    tree = tree_of(
        static=[edge("camera_link", "optical"), edge("base_link", "camera_link")],
        moving=[edge("odom", "base_link")],
    )
    assert transforms.find_base(tree, "optical", "") == "base_link"
    assert transforms.find_base(tree, "unknown", "") == "unknown"
    assert transforms.find_base(tree, "optical", "camera_link") == "camera_link"
    with pytest.raises(ConfigError, match="base_link only"):
        transforms.find_base(tree, "optical", "odom")


def test_a_chain_of_static_edges_is_composed():
    turn = Rotation.from_euler("z", 90, degrees=True)
    tree = tree_of(
        static=[
            edge("link", "optical", (0.0, 0.0, 1.0)),
            edge("base", "link", (2.0, 0.0, 0.0), turn),
        ]
    )
    camera_from_base = tree.camera_from_base("optical", "base")
    # The camera's origin is 1 m above the link, which is 2 m ahead of the base.
    assert np.allclose(camera_from_base @ [2, 0, 1, 1], [0, 0, 0, 1])
    assert np.allclose(camera_from_base[:3, :3], turn.inv().as_matrix())


def test_a_foreign_parent_of_our_child_is_a_conflict():
    tree = tree_of(moving=[edge("odom", "base_link")])
    assert "base_link already has parent odom" in transforms.conflict(tree, "level", "base_link")
    assert "tf.mode none" in transforms.conflict(tree, "level", "base_link")


def test_our_own_broadcast_coming_back_is_no_conflict_and_hides_none():
    tree = tree_of(moving=[edge("level", "base_link")])
    assert transforms.conflict(tree, "level", "base_link") == ""
    tree.hear(TFMessage(transforms=[edge("odom", "base_link")]), is_static=False)
    tree.hear(TFMessage(transforms=[edge("level", "base_link")]), is_static=False)
    assert "odom" in transforms.conflict(tree, "level", "base_link")


def test_closing_a_loop_is_a_conflict_that_names_the_chain():
    tree = tree_of(static=[edge("base_link", "arm"), edge("arm", "level")])
    assert "level -> arm -> base_link -> level" in transforms.conflict(tree, "level", "base_link")


def test_a_time_jump_forgets_moving_edges_only():
    tree = tree_of(static=[edge("link", "optical")], moving=[edge("odom", "base_link")])
    tree.forget_moving()
    assert tree.parent("base_link") is None
    assert tree.parent("optical") == "link"


@pytest.mark.parametrize(
    "broken",
    [
        edge("", "child"),
        edge("parent", ""),
        edge("same", "same"),
        edge("parent", "child", (math.nan, 0.0, 0.0)),
        TransformStamped(
            header=Header(frame_id="parent"),
            child_frame_id="child",
            transform=Transform(rotation=Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)),
        ),
        edge("p" * 200, "child"),
    ],
)
def test_broken_transforms_are_not_taken(broken):
    tree = tree_of(moving=[broken])
    assert tree.parent(broken.child_frame_id) is None


def test_a_ring_of_static_edges_does_not_hang():
    tree = tree_of(static=[edge("a", "b"), edge("b", "a")])
    assert tree.static_ancestors("a") == ["a", "b"]


def test_the_number_of_frames_is_bounded(monkeypatch):
    monkeypatch.setattr(transforms, "_MAX_FRAMES", 3)
    tree = tree_of(moving=[edge("odom", f"frame{i}") for i in range(10)])
    assert tree.parent("frame2") == "odom"
    assert tree.parent("frame3") is None


@pytest.mark.parametrize(
    ("level", "base", "words"),
    [
        ("", "", "empty"),
        ("/odom", "", "leading slash"),
        ("odom", "/base", "leading slash"),
        ("same", "same", "two frames"),
        ("a b", "", "blanks"),
        ("x" * 200, "", "128"),
    ],
)
def test_unusable_frame_names_are_refused(level, base, words):
    with pytest.raises(ConfigError, match=words):
        transforms.check_frame_names(level, base)


def test_the_twist_is_that_of_the_motion_in_the_child_frame():
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    moved = turned.copy()
    moved[:3, 3] = [0.0, 0.5, 0.0]
    assert np.allclose(transforms.twist_between(turned, moved, 0.5), [1, 0, 0, 0, 0, 0])
    spin = transforms.twist_between(np.eye(4), turned, 2.0)
    assert np.allclose(spin, [0, 0, 0, 0, 0, math.pi / 4])


def test_a_transform_message_is_normalised():
    matrix = np.eye(4)
    matrix[:3, :3] = 1.0001 * Rotation.from_euler("xyz", [0.1, 0.2, 0.3]).as_matrix()
    message = transforms.transform_message(1_500_000_000, "level", "base", matrix)
    q = message.transform.rotation
    assert math.hypot(q.x, q.y, q.z, q.w) == pytest.approx(1.0, abs=1e-12)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_000)
    assert (message.header.frame_id, message.child_frame_id) == ("level", "base")
