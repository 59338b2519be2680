"""people_msgs, vision_msgs and PoseArray: worked numbers."""

import numpy as np
import pytest
from human3r_bridge.people import confirmed_people
from human3r_bridge.to_people_msgs import people_message
from human3r_bridge.to_pose_array import pose_array
from human3r_bridge.to_vision_msgs import detections_2d, detections_3d
from human3r_msgs.msg import Human
from std_msgs.msg import Header

from ros2_ws.src.human3r_bridge.tests.bridge_people import (
    LEVEL_FROM_CAMERA,
    make_array,
    make_human,
)

HEADER = Header(frame_id="somewhere")


def people_of(*humans):
    return confirmed_people(make_array(*humans))


def xyz(message):
    return message.x, message.y, message.z


def test_positions_and_velocities_are_turned_into_the_frame():
    people = people_of(make_human(1, place=(0.2, 0.1, 3.0)))
    message = people_message(people, HEADER, LEVEL_FROM_CAMERA)
    (person,) = message.people
    assert message.header == HEADER
    assert person.name == "h3r00001"
    # Camera z is x of the level frame, camera x is -y, camera y is -z; it stands at 10, 20, 1.5.
    assert xyz(person.position) == pytest.approx((13.0, 19.8, 1.4))
    assert xyz(person.velocity) == pytest.approx((-1.0, -0.5, 0.0))
    assert person.reliability == 0.75
    tags = dict(zip(person.tagnames, person.tags, strict=True))
    assert tags == {"track_state": "ok", "stature": "1.63"}


def test_an_unknown_velocity_is_zero_with_a_tag_and_nothing_is_nan():
    human = make_human(1, velocity_valid=False, stature=float("nan"), state=Human.TRACK_COASTING)
    human.velocity.x = float("nan")
    (person,) = people_message(people_of(human), HEADER, np.eye(4)).people
    assert xyz(person.velocity) == (0.0, 0.0, 0.0)
    tags = dict(zip(person.tagnames, person.tags, strict=True))
    assert tags == {"track_state": "coasting", "velocity": "unknown"}


def test_nobody_is_an_empty_message():
    assert people_message([], HEADER, np.eye(4)).people == []
    assert detections_3d([], HEADER).detections == []
    assert detections_2d([], HEADER).detections == []
    assert pose_array([], HEADER).poses == []


def test_a_3d_detection_is_the_box_around_the_body():
    (found,) = detections_3d(people_of(make_human(1, place=(0.2, 0.1, 3.0))), HEADER).detections
    assert found.id == "h3r00001"
    assert found.header == HEADER
    # The box lies 5 cm before the belly and 10 cm below mid-hips; the person faces the camera.
    assert xyz(found.bbox.center.position) == pytest.approx((0.2, 0.2, 2.95))
    assert xyz(found.bbox.size) == pytest.approx((0.4, 1.6, 1.7))
    (result,) = found.results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ("person", 0.75)
    assert result.pose.pose == found.bbox.center


def test_detections_carry_the_covariance_of_the_pose_they_hold():
    covariance = np.diag([0.01, 0.02, 0.09, 0.1, 0.2, 0.3])
    human = make_human(1, body_pose_covariance=covariance.ravel().astype(np.float32))
    (flat,) = detections_2d(people_of(human), HEADER).detections
    np.testing.assert_allclose(flat.results[0].pose.covariance, covariance.ravel(), rtol=1e-6)
    (box,) = detections_3d(people_of(human), HEADER).detections
    found = np.reshape(box.results[0].pose.covariance, (6, 6))
    # The box's centre is 5 cm before the belly (towards the camera) and 10 cm below mid-hips.
    np.testing.assert_allclose(found[3:, 3:], covariance[3:, 3:], rtol=1e-6)
    assert found[0, 0] == pytest.approx(0.01 + 0.05**2 * 0.2 + 0.1**2 * 0.3, rel=1e-5)
    assert found[2, 2] == pytest.approx(0.09 + 0.1**2 * 0.1, rel=1e-5)


@pytest.mark.parametrize("covariance", [np.zeros(36), np.full(36, np.nan), -np.eye(6).ravel()])
def test_a_covariance_that_says_nothing_is_passed_on_as_unknown(covariance):
    human = make_human(1, body_pose_covariance=covariance.astype(np.float32))
    for detections in (detections_2d, detections_3d):
        (found,) = detections(people_of(human), HEADER).detections
        assert np.array_equal(np.reshape(found.results[0].pose.covariance, (6, 6)), 1e6 * np.eye(6))


def test_a_2d_detection_is_the_box_in_pixels():
    box = np.array([100.0, 40.0, 180.0, 240.0], np.float32)
    (found,) = detections_2d(people_of(make_human(1, box_pixels=box)), HEADER).detections
    assert (found.bbox.center.position.x, found.bbox.center.position.y) == (140.0, 140.0)
    assert (found.bbox.size_x, found.bbox.size_y) == (80.0, 200.0)
    assert found.bbox.center.theta == 0.0
    assert found.results[0].hypothesis.class_id == "person"


def test_people_behind_the_camera_have_no_2d_detection():
    nowhere = make_human(1, box_pixels=np.full(4, np.nan, np.float32))
    found = detections_2d(people_of(nowhere, make_human(2)), HEADER).detections
    assert [detection.id for detection in found] == ["h3r00002"]


def test_poses_are_of_measured_people_only():
    people = people_of(
        make_human(1, place=(1.0, 0.0, 2.0)), make_human(2, state=Human.TRACK_COASTING)
    )
    (pose,) = pose_array(people, HEADER).poses
    assert xyz(pose.position) == pytest.approx((1.0, 0.0, 2.0))
