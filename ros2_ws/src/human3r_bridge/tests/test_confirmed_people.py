from array import array

import numpy as np
import pytest
from human3r_bridge.people import MAX_PEOPLE, confirmed_people
from human3r_msgs.msg import Human

from ros2_ws.src.human3r_bridge.tests.bridge_people import make_array, make_human


def test_new_and_lost_people_are_not_passed_on():
    states = [Human.TRACK_NEW, Human.TRACK_OK, Human.TRACK_COASTING, Human.TRACK_LOST]
    humans = [make_human(number, state=state) for number, state in enumerate(states, 1)]
    people = confirmed_people(make_array(*humans))
    assert [person.id for person in people] == ["h3r00002", "h3r00003"]
    assert [person.is_measured for person in people] == [True, False]


def test_numbers_are_those_of_the_message():
    human = make_human(7, place=(0.5, -0.25, 2.0))
    (person,) = confirmed_people(make_array(human))
    np.testing.assert_allclose(person.camera_from_body[:3, 3], [0.5, -0.25, 2.0], atol=1e-6)
    # Out of the belly means towards the camera, to the head means up in the image.
    np.testing.assert_allclose(person.camera_from_body[:3, 0], [0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(person.camera_from_body[:3, 2], [0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(person.rotations[0], np.diag([1.0, -1.0, -1.0]), atol=1e-6)
    assert person.visibility is None
    assert person.stature_m == pytest.approx(1.63)


def nan_pose(human):
    human.body_pose.position.x = float("nan")


def zero_rotation(human):
    rotations = array("f", human.joint_rotations)
    rotations[40:44] = array("f", [0.0] * 4)
    human.joint_rotations = rotations


def infinite_joint(human):
    joints = array("f", human.joint_positions)
    joints[5] = float("inf")
    human.joint_positions = joints


def few_joints(human):
    human.joint_positions = array("f", [0.0] * 30)


def few_pixels(human):
    human.joint_pixels = array("f", [0.0] * 30)


def zero_quaternion(human):
    human.head_pose.orientation.x = human.head_pose.orientation.y = 0.0
    human.head_pose.orientation.z = human.head_pose.orientation.w = 0.0


@pytest.mark.parametrize(
    "damage", [nan_pose, zero_rotation, infinite_joint, few_joints, few_pixels, zero_quaternion]
)
def test_damaged_people_are_left_out_with_the_reason(damage):
    broken, whole = make_human(1), make_human(2)
    damage(broken)
    reasons = []
    people = confirmed_people(make_array(broken, whole), reasons.append)
    assert [person.id for person in people] == ["h3r00002"]
    assert len(reasons) == 1
    assert "h3r00001" in reasons[0]
    assert "expected" in reasons[0]


@pytest.mark.parametrize("name", ["", "1a", "a/b", "a b", "ä1", "x" * 65, "a\nb"])
def test_ids_that_are_no_topic_names_are_left_out(name):
    reasons = []
    assert confirmed_people(make_array(make_human(1, id=name)), reasons.append) == []
    assert len(reasons) == 1


def test_an_id_counts_once():
    reasons = []
    people = confirmed_people(make_array(make_human(1), make_human(1)), reasons.append)
    assert len(people) == 1
    assert "comes twice" in reasons[0]


def test_a_crowd_is_bounded():
    humans = [make_human(number) for number in range(1, MAX_PEOPLE + 6)]
    reasons = []
    assert len(confirmed_people(make_array(*humans), reasons.append)) == MAX_PEOPLE
    assert len(reasons) == 5


def test_unknown_values_are_none_or_zero_and_never_nan():
    human = make_human(
        1,
        velocity_valid=False,
        stature=float("nan"),
        score=float("nan"),
    )
    human.box_size.x = float("inf")
    (person,) = confirmed_people(make_array(human))
    assert person.velocity_camera is None
    assert person.stature_m is None
    assert person.score == 0.0
    assert person.box_size[0] == 0.0
    human = make_human(1)
    human.velocity.y = float("nan")
    assert confirmed_people(make_array(human))[0].velocity_camera is None
