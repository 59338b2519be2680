import math
import threading

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from human3r_ros import transforms
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from tf2_ros import ConnectivityException

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.mapping.level import level_from_pitch


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
    tree = transforms.FrameTree()
    tree.update(TFMessage(transforms=list(static)), is_static=True)
    tree.update(TFMessage(transforms=list(moving)), is_static=False)
    return tree


def test_a_level_camera_looks_along_x_with_z_up():
    rotation = level_from_pitch(0.0)[:3, :3]
    assert np.allclose(rotation @ [0, 0, 1], [1, 0, 0])
    assert np.allclose(rotation @ [1, 0, 0], [0, -1, 0])
    assert np.allclose(rotation @ [0, 1, 0], [0, 0, -1])


@pytest.mark.parametrize("pitch_rad", [-1.2, -0.3, 0.0, 0.5, 1.5])
def test_a_positive_pitch_looks_down(pitch_rad):
    rotation = level_from_pitch(pitch_rad)[:3, :3]
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
    found = transforms.conflict(tree, "level", "base_link", "odometry")
    assert found.startswith("base_link already has parent odom")
    assert "tf.mode anchored or none" in found
    tree = tree_of(static=[edge("map", "level")])
    for mode, parent in (("inverse", "base_link"), ("anchored", "odom")):
        found = transforms.conflict(tree, parent, "level", mode)
        assert found.startswith("level already has parent map")
        assert "name of its own" in found


def test_our_own_broadcast_coming_back_is_no_conflict_and_hides_none():
    tree = transforms.FrameTree()
    ours, theirs = edge("level", "base_link"), edge("odom", "base_link")
    tree.will_send("level", "base_link", 0)
    tree.update(TFMessage(transforms=[ours]), is_static=False)
    assert transforms.conflict(tree, "level", "base_link", "odometry") == ""
    tree.update(TFMessage(transforms=[theirs]), is_static=False)
    tree.update(TFMessage(transforms=[ours]), is_static=False)
    assert "parent odom" in transforms.conflict(tree, "level", "base_link", "odometry")


def test_a_second_node_with_the_same_edge_is_a_conflict():
    tree = transforms.FrameTree()
    tree.will_send("odom", "level", 5)
    twin = edge("odom", "level")
    twin.header.stamp.nanosec = 6
    tree.update(TFMessage(transforms=[twin]), is_static=False)
    assert "already has parent odom" in transforms.conflict(tree, "odom", "level", "anchored")


def test_closing_a_loop_is_a_conflict_that_names_the_chain():
    tree = tree_of(static=[edge("base_link", "arm"), edge("arm", "level")])
    found = transforms.conflict(tree, "level", "base_link", "odometry")
    assert "level -> arm -> base_link -> level" in found
    # Our parent below our child, in the two modes whose child is the level frame.
    tree = tree_of(moving=[edge("level", "odom"), edge("odom", "base_link")])
    for mode, parent in (("inverse", "base_link"), ("anchored", "odom")):
        assert "close the loop" in transforms.conflict(tree, parent, "level", mode)


def test_a_parent_that_fell_silent_is_forgotten():
    tree = tree_of(moving=[edge("odom", "base_link")], static=[edge("base_link", "optical")])
    tree.forget_silent(60.0)
    assert tree.parent("base_link") == "odom"
    tree.forget_silent(-1.0)
    assert tree.parent("base_link") is None
    assert tree.parent("optical") == "base_link"


def stamped(made, stamp_ns):
    made.header.stamp.sec, made.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return made


def test_a_look_up_interpolates_at_the_stamp_and_never_extrapolates():
    moves = [stamped(edge("odom", "base", (x, 0.0, 0.0)), t) for t, x in ((10, 1.0), (20, 3.0))]
    tree = tree_of(static=[edge("base", "optical", (0.0, 0.0, 1.5))], moving=moves)
    found = tree.lookup("odom", "optical", 15)
    assert np.allclose(found.target_from_source[:3, 3], [2.0, 0.0, 1.5])
    assert found.reason == ""
    for stamp_ns in (9, 21):
        found = tree.lookup("odom", "optical", stamp_ns)
        assert found.target_from_source is None
        assert "'optical' to 'odom' at 0.000 s" in found.reason
    assert np.allclose(tree.lookup("odom", "optical", 0).target_from_source[:3, 3], [3, 0, 1.5])
    assert "elsewhere" in tree.lookup("odom", "elsewhere", 15).reason


def test_a_look_up_waits_for_a_transform_that_is_on_its_way():
    tree = transforms.FrameTree()
    late = TFMessage(transforms=[stamped(edge("odom", "optical"), 15)])
    timer = threading.Timer(0.05, lambda: tree.update(late, is_static=False))
    timer.start()
    found = tree.lookup("odom", "optical", 15, timeout_s=30.0)
    timer.join()
    assert found.target_from_source is not None


def test_a_look_up_that_fails_says_why_also_where_tf2_says_nothing(monkeypatch):
    def fail(*_):
        raise ConnectivityException("")

    tree = transforms.FrameTree()
    monkeypatch.setattr(tree._buffer, "lookup_transform", fail)
    reason = tree.lookup("odom", "camera", 0, 0.0).reason
    assert reason == "no transform from 'camera' to 'odom' at any time (ConnectivityException)"


def test_a_time_jump_forgets_moving_edges_only():
    tree = tree_of(static=[edge("link", "optical")], moving=[edge("odom", "base_link")])
    tree.forget_moving()
    assert tree.parent("base_link") is None
    assert tree.parent("optical") == "link"
    assert tree.lookup("odom", "base_link", 0).target_from_source is None
    assert tree.lookup("link", "optical", 0).target_from_source is not None


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
    ("values", "words"),
    [
        ({"frames.level": ""}, "frames.level is ''; expected a frame name"),
        ({"frames.level": "/odom"}, "leading slash"),
        ({"frames.base": "/base"}, "leading slash"),
        ({"frames.level": "same", "frames.base": "same"}, "two frames"),
        ({"frames.level": "a b"}, "blanks"),
        ({"frames.level": "x" * 200}, "128"),
        ({"tf.mode": "anchored", "frames.anchor": ""}, "frames.anchor is ''"),
        ({"level.source": "tf", "frames.anchor": "/odom"}, "leading slash"),
        ({"tf.mode": "anchored", "frames.anchor": "human3r_odom"}, "two frames"),
        ({"tf.mode": "anchored", "frames.base": "odom"}, "two frames"),
    ],
    ids=str,
)
def test_unusable_frame_names_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        Settings().replace(values)


def test_an_anchor_that_is_not_used_may_have_any_name():
    assert not Settings().replace({"frames.level": "odom"}).needs_anchor


@pytest.mark.parametrize(
    ("values", "needed"),
    [
        ({}, False),
        ({"frames.base": "base_link"}, True),
        ({"level.source": "tf"}, True),
        ({"level.source": "floor"}, False),
        *(({"tf.mode": mode}, True) for mode in ("odometry", "inverse", "anchored")),
    ],
    ids=str,
)
def test_tf_is_listened_to_where_it_is_used(values, needed):
    assert transforms.needs_tf(Settings().replace(values)) is needed


def test_climbing_ends_below_the_anchor():
    tree = tree_of(static=[edge("base", "optical"), edge("odom", "base"), edge("map", "odom")])
    assert transforms.find_base(tree, "optical", "") == "map"
    assert transforms.find_base(tree, "optical", "", anchor="odom") == "base"


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
