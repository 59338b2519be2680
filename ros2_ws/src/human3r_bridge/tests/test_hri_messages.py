import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hri_msgs.msg import IdsMatch, Skeleton2D
from human3r_bridge import to_hri
from human3r_bridge.hri_chain import CHAIN, joint_angles
from human3r_bridge.people import confirmed_people
from human3r_msgs.msg import Human
from std_msgs.msg import Header

from ros2_ws.src.human3r_bridge.tests.bridge_people import (
    FOCAL,
    FRAME,
    HEIGHT,
    WIDTH,
    make_array,
    make_human,
    random_pose,
)

HEADER = Header(stamp=Time(sec=5, nanosec=7), frame_id=FRAME)
SIZE = (WIDTH, HEIGHT)


def person_of(*args, **kwargs):
    (person,) = confirmed_people(make_array(make_human(*args, **kwargs)))
    return person


def box(*corners):
    return np.array(corners, np.float32)


def corners_of(roi):
    return roi.xmin, roi.ymin, roi.xmax, roi.ymax


def test_the_region_of_a_body_is_its_box_over_the_image_size():
    roi = to_hri.body_roi(person_of(box_pixels=box(63.5, 47.5, 319.5, 239.5)), HEADER, SIZE)
    assert corners_of(roi) == pytest.approx((0.1, 0.1, 0.5, 0.5))
    assert roi.c == 0.75
    assert roi.header == HEADER


def test_regions_are_clamped_to_the_image_and_none_outside():
    wide = to_hri.body_roi(person_of(box_pixels=box(-50, -50, 900, 900)), HEADER, SIZE)
    assert corners_of(wide) == (0.0, 0.0, 1.0, 1.0)
    assert to_hri.body_roi(person_of(box_pixels=box(700, 10, 800, 20)), HEADER, SIZE) is None
    nowhere = person_of(box_pixels=np.full(4, np.nan, np.float32))
    assert to_hri.body_roi(nowhere, HEADER, SIZE) is None


def test_the_region_of_a_face_surrounds_eyes_and_nose_and_little_else():
    person = person_of(place=(0.3, 0.2, 2.5))
    xmin, ymin, xmax, ymax = corners_of(to_hri.face_roi(person, HEADER, SIZE))
    for joint in (Human.NOSE, Human.LEFT_EYE, Human.RIGHT_EYE):
        x, y = (person.joint_pixels[joint] + 0.5) / SIZE
        assert xmin < x < xmax
        assert ymin < y < ymax
    # About 17 x 23 cm at a little less than 2.5 m.
    assert (xmax - xmin) * WIDTH == pytest.approx(0.17 * FOCAL / 2.4, rel=0.15)
    assert (ymax - ymin) * HEIGHT == pytest.approx(0.23 * FOCAL / 2.4, rel=0.15)


def test_a_face_outside_the_image_or_behind_the_camera_has_no_region():
    assert to_hri.face_roi(person_of(place=(5.0, 0.0, 2.0)), HEADER, SIZE) is None
    behind = make_human(place=(0.0, 0.0, -3.0), joint_pixels=np.full(120, np.nan, np.float32))
    (person,) = confirmed_people(make_array(behind))
    assert to_hri.face_roi(person, HEADER, SIZE) is None


def test_skeletons_have_every_joint_at_its_own_index():
    person = person_of()
    message = to_hri.skeleton2d(person, HEADER, SIZE)
    assert len(message.skeleton) == 18
    for name in ("NOSE", "NECK", "LEFT_WRIST", "RIGHT_HIP", "LEFT_EAR", "RIGHT_ANKLE"):
        point = message.skeleton[getattr(Skeleton2D, name)]
        u, v = person.joint_pixels[getattr(Human, name)]
        assert (point.x, point.y) == pytest.approx(((u + 0.5) / WIDTH, (v + 0.5) / HEIGHT))
        assert point.c == 0.75


def test_skeleton_confidence_is_visibility_where_known_and_zero_outside_the_image():
    visibility = np.ones(60, np.float32)
    visibility[Human.LEFT_WRIST], visibility[Human.NOSE] = 0.0, np.nan
    person = person_of(joint_visibility=visibility)
    points = to_hri.skeleton2d(person, HEADER, SIZE).skeleton
    assert points[Skeleton2D.LEFT_WRIST].c == 0.0
    assert points[Skeleton2D.NOSE].c == 0.0
    assert points[Skeleton2D.RIGHT_WRIST].c == 1.0
    pixels = np.full((60, 2), np.nan, np.float32)
    pixels[Human.NOSE] = -40.0, 100.0
    points = to_hri.skeleton2d(person_of(joint_pixels=pixels.ravel()), HEADER, SIZE).skeleton
    assert (points[Skeleton2D.NOSE].x, points[Skeleton2D.NOSE].c) == (0.0, 0.0)
    assert all(np.isfinite([p.x, p.y, p.c]).all() and p.c == 0.0 for p in points)


def test_joint_states_name_the_joints_of_the_urdf():
    person = person_of(rotations=random_pose(1))
    angles = joint_angles(person)
    message = to_hri.joint_states(person, angles, HEADER)
    moving = {f"{joint.name}_h3r00001" for joint in CHAIN if joint.axis is not None}
    assert set(message.name) == moving
    assert len(message.name) == len(message.position) == 20
    assert (
        dict(zip(message.name, message.position, strict=True))["waist_h3r00001"]
        == (angles["waist"])
    )


def test_position_and_velocity_are_in_the_optical_frame():
    person = person_of(place=(0.2, 0.1, 3.0))
    place = to_hri.position(person, HEADER)
    assert (place.header, place.point.z) == (HEADER, pytest.approx(3.0))
    moving = to_hri.velocity(person, HEADER)
    assert (moving.twist.linear.x, moving.twist.linear.z) == (0.5, -1.0)
    assert to_hri.velocity(person_of(velocity_valid=False), HEADER) is None


def test_faces_match_their_bodies():
    match = to_hri.face_match(person_of(4))
    assert (match.id1, match.id1_type) == ("h3r00004", IdsMatch.FACE)
    assert (match.id2, match.id2_type, match.confidence) == ("h3r00004", IdsMatch.BODY, 1.0)


def transforms_of(person, **changes):
    options = {"angles": joint_angles(person), "stature_m": 1.7, "with_face": True, **changes}
    return to_hri.transforms(person, HEADER, **options)


def test_one_tree_hangs_below_the_optical_frame():
    edges = transforms_of(person_of(rotations=random_pose(2)))
    parents = {edge.child_frame_id: edge.header.frame_id for edge in edges}
    assert len(parents) == len(edges) == 1 + len(CHAIN) + 2
    assert parents["body_h3r00001"] == parents["face_h3r00001"] == FRAME
    assert parents["gaze_h3r00001"] == "face_h3r00001"
    for edge in edges:
        frame = edge.child_frame_id
        for _ in range(12):
            frame = parents.get(frame, frame)
        assert frame == FRAME
        assert edge.header.stamp == HEADER.stamp
        t, q = edge.transform.translation, edge.transform.rotation
        numbers = np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])
        assert np.isfinite(numbers).all()
        assert np.linalg.norm(numbers[3:]) == pytest.approx(1.0, abs=1e-9)


def test_gaze_looks_along_z_where_the_face_looks_along_x():
    from human3r_bridge.geometry_messages import rotations_from_quaternions

    edges = {edge.child_frame_id: edge for edge in transforms_of(person_of())}
    q = edges["gaze_h3r00001"].transform.rotation
    face_from_gaze = rotations_from_quaternions(np.array([[q.x, q.y, q.z, q.w]]))[0]
    np.testing.assert_allclose(face_from_gaze @ [0, 0, 1], [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(face_from_gaze @ [0, 1, 0], [0, 0, -1], atol=1e-9)


def test_without_faces_there_are_no_face_frames():
    names = {edge.child_frame_id for edge in transforms_of(person_of(), with_face=False)}
    assert not any(name.startswith(("face", "gaze")) for name in names)


def test_no_transform_is_ever_nan():
    person = person_of()
    broken = {**joint_angles(person), "l_elbow": float("nan")}
    edges = transforms_of(person, angles=broken)
    assert len(edges) == len(CHAIN) + 2
    for edge in edges:
        q = edge.transform.rotation
        assert np.isfinite([q.x, q.y, q.z, q.w]).all()
