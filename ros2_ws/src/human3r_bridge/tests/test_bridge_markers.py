from itertools import pairwise

import numpy as np
import pytest
from human3r_bridge.marker_parts import ShownMarkers, color
from human3r_bridge.people import confirmed_people
from human3r_bridge.to_markers import bones_of, person_markers
from human3r_msgs.msg import Human
from human3r_ros.convert import time_from_ns
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from ros2_ws.src.human3r_bridge.tests.bridge_people import (
    NAMES,
    make_array,
    make_human,
    make_skeleton,
)

HEADER = Header(frame_id="camera")
BONES = bones_of(make_skeleton())


def person_of(*args, **kwargs):
    (person,) = confirmed_people(make_array(make_human(*args, **kwargs)))
    return person


def by_kind(markers):
    return {marker.ns: marker for marker in markers}


def test_bones_follow_the_parents_and_leave_the_face_out():
    pairs = {(NAMES[a], NAMES[b]) for a, b in BONES}
    assert ("left_knee", "left_hip") in pairs
    assert ("right_index1", "right_wrist") in pairs
    assert ("head", "neck") in pairs
    assert not any("jaw" in pair or "eye" in pair[0] or "nose" in pair for pair in pairs)
    # 55 joints, one of them the root, three of them in the face.
    assert len(BONES) == 51


def test_every_kind_is_drawn_in_its_own_namespace_with_the_track_as_id():
    person = person_of(41)
    markers = by_kind(person_markers(person, HEADER, BONES))
    assert {ns: marker.type for ns, marker in markers.items()} == {
        "bones": Marker.LINE_LIST,
        "joints": Marker.SPHERE_LIST,
        "id": Marker.TEXT_VIEW_FACING,
        "velocity": Marker.ARROW,
    }
    for marker in markers.values():
        assert (marker.id, marker.action, marker.header) == (41, Marker.ADD, HEADER)
        assert marker.pose.orientation.w == 1.0
        assert marker.color.a == 1.0
    assert markers["id"].text == "h3r00041"


def test_bones_end_where_the_joints_are():
    person = person_of()
    bones = by_kind(person_markers(person, HEADER, BONES))["bones"]
    drawn = np.array([[p.x, p.y, p.z] for p in bones.points]).reshape(-1, 2, 3)
    np.testing.assert_allclose(drawn, person.joints_camera[BONES])


def test_the_arrow_shows_one_second_of_motion():
    arrow = by_kind(person_markers(person_of(), HEADER, BONES))["velocity"]
    start, end = arrow.points
    assert (end.x - start.x, end.y - start.y, end.z - start.z) == pytest.approx((0.5, 0.0, -1.0))


def test_somebody_who_stands_or_whose_velocity_is_unknown_has_no_arrow():
    standing = make_human()
    standing.velocity.x, standing.velocity.z = 0.05, 0.05
    for human in (standing, make_human(velocity_valid=False)):
        (person,) = confirmed_people(make_array(human))
        assert "velocity" not in by_kind(person_markers(person, HEADER, BONES))


def test_without_a_skeleton_there_are_no_bones_but_joints():
    kinds = by_kind(person_markers(person_of(), HEADER, np.zeros((0, 2), int)))
    assert "bones" not in kinds
    assert len(kinds["joints"].points) == 27


def test_bones_of_another_skeleton_never_reach_beyond_the_joints():
    bones = np.array([[500, 0], [1, 0]])
    lines = by_kind(person_markers(person_of(), HEADER, bones))["bones"]
    assert len(lines.points) == 2


def test_predicted_people_and_hidden_joints_are_pale():
    visibility = np.ones(60, np.float32)
    visibility[21], visibility[20] = 0.0, np.nan
    seen = person_of(1, joint_visibility=visibility)
    colors = by_kind(person_markers(seen, HEADER, BONES))["joints"].colors
    assert [c.a < 1 for c in colors[18:22]] == [False, False, True, True]
    assert color(person_of(1, state=Human.TRACK_COASTING)).a < color(seen).a


def test_neighbouring_tracks_differ_in_colour():
    colors = [color(person_of(number)) for number in range(1, 9)]
    for first, second in pairwise(colors):
        difference = np.abs([first.r - second.r, first.g - second.g, first.b - second.b])
        assert difference.max() > 0.4


def test_what_vanishes_is_deleted_exactly_once():
    shown = ShownMarkers()
    both = [
        *person_markers(person_of(1), HEADER, BONES),
        *person_markers(person_of(2), HEADER, BONES),
    ]
    assert all(m.action == Marker.ADD for m in shown.replace(both, HEADER).markers)
    second = person_markers(person_of(2, velocity_valid=False), HEADER, BONES)
    removed = [m for m in shown.replace(second, HEADER).markers if m.action == Marker.DELETE]
    assert {(m.ns, m.id) for m in removed} == {
        *((kind, 1) for kind in ("bones", "joints", "id", "velocity")),
        ("velocity", 2),
    }
    closing = shown.replace([], HEADER).markers
    assert {(m.ns, m.id, m.action) for m in closing} == {
        (kind, 2, Marker.DELETE) for kind in ("bones", "joints", "id")
    }
    assert shown.replace([], HEADER).markers == []


@pytest.mark.parametrize(
    ("interval_s", "lifetime_s"), [(0.1, 1.0), (0.5, 1.5), (18.0, 54.0), (300.0, 60.0)]
)
def test_markers_live_for_three_frames_and_a_second_at_least(interval_s, lifetime_s):
    shown = ShownMarkers()
    for number in range(4):
        header = Header(stamp=time_from_ns(10**9 + round(number * interval_s * 1e9)))
        markers = shown.replace([Marker(ns="bones", id=1)], header).markers
    lifetime = markers[-1].lifetime
    assert lifetime.sec + lifetime.nanosec * 1e-9 == pytest.approx(lifetime_s)
