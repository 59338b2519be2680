"""Markers of cameras, and what they are made of while they are watched."""

from unittest.mock import MagicMock

import numpy as np
import pytest
from human3r_ros.multi.camera_markers import camera_markers
from human3r_ros.multi.rig_view import CameraState, RigView
from visualization_msgs.msg import Marker

from human3r.multiview.fuser import Fuser
from human3r.multiview.sight import CameraSight
from human3r.types import Intrinsics
from tests.multiview.rooms import Noise, body_model, camera_at, people, seen_by

LENS = Intrinsics(600.0, 600.0, 319.5, 239.5, 640, 480)
PLACES = np.array([[-0.5, 0.2, 0.95]])


def test_an_outline_has_the_angles_of_the_lens_and_the_pose_of_the_camera():
    pose = camera_at(0.7)
    markers = camera_markers([CameraSight("left", pose, LENS)], "room", 5).markers
    outline, name = markers
    assert outline.type == Marker.LINE_LIST
    assert (outline.header.frame_id, name.text) == ("room", "left")
    points = np.array([[p.x, p.y, p.z] for p in outline.points])
    assert len(points) % 2 == 0
    in_camera = (points - pose[:3, 3]) @ pose[:3, :3]
    np.testing.assert_allclose(in_camera[0], 0, atol=1e-9)
    corners = in_camera[1:8:2]
    np.testing.assert_allclose(np.abs(corners[:, 0] / corners[:, 2]), 319.5 / 600, atol=1e-9)
    np.testing.assert_allclose(np.abs(corners[:, 1] / corners[:, 2]), 239.5 / 600, atol=1e-9)


def test_markers_of_several_cameras_replace_those_of_before():
    sights = [CameraSight(name, camera_at(i), LENS) for i, name in enumerate(("left", "right"))]
    first, second = (camera_markers(sights, "room", stamp_ns).markers for stamp_ns in (1, 2))
    keys = [(one.ns, one.id) for one in first]
    assert len(set(keys)) == len(keys) == 4
    assert keys == [(one.ns, one.id) for one in second]
    silent = camera_markers([CameraSight("left", camera_at(0), LENS, is_silent=True)], "room", 3)
    assert silent.markers[1].text == "left (silent)"
    assert silent.markers[0].color != first[0].color


@pytest.fixture
def view():
    node = MagicMock()
    states = {"left": CameraState("0.1 s", "3 px", "", is_silent=False)}
    states["right"] = CameraState("9.0 s", "?", "", is_silent=True)
    view = RigView(node, ("left", "right"), "room", states.__getitem__)
    view.states = states
    view.publisher = node.create_lifecycle_publisher.return_value
    return view


def moment():
    rng = np.random.default_rng(0)
    bodies = people(np.random.default_rng(1), PLACES)
    poses = {"right": camera_at(1.4), "left": camera_at(0.0)}
    views = [seen_by(rng, name, pose, bodies, Noise()) for name, pose in poses.items()]
    return Fuser(body_model().joint_parents).step(views), views


def test_nothing_is_made_without_a_subscriber(view):
    view.publisher.get_subscription_count.return_value = 0
    view.observe(*moment())
    view.publisher.publish.assert_not_called()


def test_every_camera_is_told_in_the_order_of_the_setting_with_its_state(view):
    view.publisher.get_subscription_count.return_value = 1
    view.observe(*moment())
    (message,) = view.publisher.publish.call_args.args
    names = [one.text for one in message.markers if one.type == Marker.TEXT_VIEW_FACING]
    assert names == ["left", "right (silent)"]


def test_cameras_are_shown_when_all_of_them_have_fallen_silent(view):
    view.publisher.get_subscription_count.return_value = 1
    view.observe(*moment())
    view.refresh(silent_s=-1.0)
    assert view.publisher.publish.call_count == 1, "images of the left one come; they take long"
    view.states["left"] = view.states["right"]
    view.refresh(silent_s=60.0)
    assert view.publisher.publish.call_count == 1
    view.refresh(silent_s=-1.0)
    assert view.publisher.publish.call_count == 2
