import dataclasses
import math

import numpy as np
import pytest
import torch
from human3r_ros import convert
from scipy.spatial.transform import Rotation

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.body.skeleton import FACE, published_joints
from human3r.errors import BodyModelError
from human3r.types import (
    BodyParameters,
    Intrinsics,
    PersonEstimate,
    TrackedPerson,
    TrackState,
    Visibility,
)
from ros2_ws.src.human3r_ros.tests.builders import make_estimate, make_person
from ros2_ws.src.human3r_ros.tests.outlet import through_cdr

CAMERA = Intrinsics(60.0, 61.0, 31.5, 23.5, 64, 48)


@pytest.fixture(scope="module")
def skeleton(body_model):
    return convert.skeleton_from_body(body_model)


@pytest.fixture
def context(skeleton):
    return convert.FrameContext(
        stamp_ns=12_000_000_034,
        frame_id="optical",
        session=2,
        camera=CAMERA,
        level_from_camera=np.eye(4),
        skeleton=skeleton,
        id_prefix="h3r",
    )


def tracked(person, **changes):
    """The person as somebody known for a while."""
    values = {
        "number": 7,
        "state": TrackState.OK,
        "person": person,
        "velocity_camera": None,
        "first_seen_ns": 1_000_000_000,
        "last_seen_ns": 2_000_000_000,
        "age_frames": 3,
    }
    return TrackedPerson(**{**values, **changes})


def human(one, stature_m, context):
    """One person's message."""
    return convert.humans([dataclasses.replace(one, stature_m=stature_m)], context)[0]


def human_array(people, context):
    """Everybody's message."""
    return convert.human_array(make_estimate(frame_index=5, tracked=tuple(people)), context)


def rows(values, width):
    return np.asarray(values, np.float64).reshape(-1, width)


def test_the_skeleton_names_sixty_joints_and_the_joint_each_moves_with(skeleton, body_model):
    message = through_cdr(convert.skeleton_message(skeleton, 5))
    assert len(message.joint_names) == len(message.joint_parents) == 60
    assert list(message.joint_names[55:]) == list(FACE)
    assert message.joint_names[0] == "pelvis"
    assert message.joint_parents[0] == -1
    assert all(0 <= parent < 55 for parent in message.joint_parents[1:])
    assert (message.num_rotating, message.num_betas, message.num_expression) == (55, 10, 10)
    assert message.body_model == body_model.name


def test_the_skeleton_id_changes_with_its_content_only(body_model, skeleton):
    class Renamed:
        def __init__(self, **changes):
            for name in ("name", "joint_names", "joint_parents"):
                setattr(self, name, changes.get(name, getattr(body_model, name)))

    assert convert.skeleton_from_body(Renamed()).skeleton_id == skeleton.skeleton_id
    other = convert.skeleton_from_body(Renamed(name="another"))
    assert other.skeleton_id != skeleton.skeleton_id


def test_a_body_model_without_a_face_is_refused():
    with pytest.raises(BodyModelError, match="nose"):
        published_joints(tuple(f"joint{i}" for i in range(55)))


def test_stamp_and_frame_are_those_of_the_image_bit_for_bit(context, body_model):
    people = [make_person(body_model)]
    message = human_array(map(tracked, people), context)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (12, 34)
    assert message.header.frame_id == "optical"
    assert (message.image_width, message.image_height) == (64, 48)
    assert message.session == 2


@pytest.mark.parametrize(
    "stamp_ns", [0, 1, 999_999_999, 1_700_000_000_123_456_789, 2**31 * 10**9 - 1]
)
def test_times_survive_the_round_trip(stamp_ns):
    assert convert.ns_from_time(convert.time_from_ns(stamp_ns)) == stamp_ns


def test_poses_survive_the_round_trip():
    rng = np.random.default_rng(2)
    for rotation in Rotation.random(20, random_state=3).as_matrix():
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = rotation, rng.standard_normal(3)
        assert np.allclose(convert.matrix_from_pose(convert.pose_from_matrix(matrix)), matrix)


def test_quaternions_are_scipys_also_at_half_turns():
    axes = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, -1, 1], [1, -2, 3]], float)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    nearly = [(np.pi - gap) * axes for gap in (0.0, 1e-9, 1e-4, -1e-4)]
    turns = Rotation.concatenate(
        [Rotation.from_rotvec(np.concatenate(nearly)), Rotation.random(200, random_state=5)]
    )
    found = convert.quaternions_xyzw(turns.as_matrix().astype(np.float32))
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-12)
    assert (found[:, 3] >= 0.0).all()
    # At a half turn both signs are right.
    assert np.allclose(np.abs((found * turns.as_quat()).sum(axis=1)), 1.0, atol=1e-9)
    ordinary = turns[len(axes) * len(nearly) :].as_quat(canonical=True)
    assert np.allclose(found[len(axes) * len(nearly) :], ordinary, atol=1e-6)


@pytest.mark.parametrize("bend", [None, lambda pixels: pixels * 0.5 + 3.0])
def test_people_converted_together_are_those_converted_alone(context, body_model, bend):
    context = dataclasses.replace(context, raw_from_image=bend)
    depths_m = [3.0, 0.8, -5.0, 20.0]
    people = [
        tracked(
            make_person(body_model, seed=seed, depth_m=depth_m),
            number=seed,
            stature_m=1.5 + 0.1 * seed,
        )
        for seed, depth_m in enumerate(depths_m)
    ]
    together = convert.humans(people, context)
    for number, message in enumerate(together):
        alone = human(people[number], 1.5 + 0.1 * number, context)
        assert message.id == alone.id
        for name in ("joint_positions", "joint_rotations", "joint_pixels", "box_pixels"):
            one, other = (np.asarray(getattr(each, name)) for each in (message, alone))
            assert np.allclose(one, other, rtol=1e-6, atol=1e-6, equal_nan=True), name
        for name in ("body_pose", "head_pose"):
            one, other = (
                convert.matrix_from_pose(getattr(each, name)) for each in (message, alone)
            )
            assert np.allclose(one, other, atol=1e-6), name
        assert message.stature == pytest.approx(alone.stature)


def test_the_box_in_the_image_holds_every_bent_vertex(context, body_model):
    def bend(pixels):
        return pixels + 0.01 * (pixels - 30.0) ** 2

    person = make_person(body_model, depth_m=6.0)
    message = human(tracked(person), 1.7, dataclasses.replace(context, raw_from_image=bend))
    pixels = bend(convert.project(person.vertices_camera, CAMERA))
    expected = [*pixels.min(axis=0), *pixels.max(axis=0)]
    assert np.allclose(message.box_pixels, expected, atol=1e-3)
    assert not message.truncated


@pytest.mark.parametrize("seed", range(4))
def test_body_parameters_survive_the_round_trip(context, body_model, seed):
    person = make_person(body_model, seed)
    message = through_cdr(human(tracked(person), 1.7, context))
    again = convert.body_parameters(message)
    for field in dataclasses.fields(person.body):
        expected, found = getattr(person.body, field.name), getattr(again, field.name)
        assert np.allclose(found, expected, atol=2e-6), field.name


def test_the_body_frame_is_rep155(context, body_model):
    person = make_person(body_model, seed=1)
    message = human(tracked(person), 1.7, context)
    pose = convert.matrix_from_pose(message.body_pose)
    joints = person.joints_camera
    assert np.allclose(pose[:3, 3], (joints[1] + joints[2]) / 2, atol=1e-6)
    assert np.allclose(pose[:3, 0], person.body.rotations[0][:, 2], atol=1e-6)  # out of the belly
    assert np.allclose(pose[:3, 1], person.body.rotations[0][:, 0], atol=1e-6)  # to the left
    assert np.allclose(pose[:3, 2], person.body.rotations[0][:, 1], atol=1e-6)  # to the head
    left_hip = np.linalg.inv(pose) @ [*joints[1], 1.0]
    assert left_hip[1] > 0.0


def test_the_head_frame_sits_between_the_eyes_and_turns_with_the_head(context, body_model):
    person = make_person(body_model, seed=2)
    rotations = person.body.rotations.copy()
    rotations[15] = Rotation.from_euler("y", 0.7).as_matrix()  # the head turns to its left
    turned = dataclasses.replace(person, body=dataclasses.replace(person.body, rotations=rotations))
    before = convert.matrix_from_pose(human(tracked(person), 1.7, context).head_pose)
    after = convert.matrix_from_pose(human(tracked(turned), 1.7, context).head_pose)
    assert np.allclose(before[:3, 3], person.joints_camera[[23, 24]].mean(axis=0), atol=1e-6)
    chain = np.eye(3)
    for joint in (0, 3, 6, 9, 12, 15):
        chain = chain @ rotations[joint]
    assert np.allclose(after[:3, 0], chain[:, 2], atol=1e-6)
    assert np.allclose(after[:3, 2], chain[:, 1], atol=1e-6)


def test_the_box_holds_every_vertex_and_touches_some(context, body_model):
    person = make_person(body_model, seed=3)
    message = human(tracked(person), 1.7, context)
    pose = convert.matrix_from_pose(message.body_pose)
    in_body = (person.vertices_camera - pose[:3, 3]) @ pose[:3, :3]
    center = np.array([message.box_center.x, message.box_center.y, message.box_center.z])
    half = np.array([message.box_size.x, message.box_size.y, message.box_size.z]) / 2
    distance = np.abs(in_body - center) - half
    assert distance.max() == pytest.approx(0.0, abs=1e-5)


def test_joints_are_published_in_skeleton_order(context, body_model, skeleton):
    person = make_person(body_model, seed=4)
    message = through_cdr(human(tracked(person), 1.7, context))
    joints = rows(message.joint_positions, 3)
    assert np.allclose(joints, person.joints_camera[skeleton.joint_indices], atol=1e-6)
    quaternions = rows(message.joint_rotations, 4)
    assert quaternions.shape == (55, 4)
    assert np.allclose(np.linalg.norm(quaternions, axis=1), 1.0, atol=1e-6)
    found = Rotation.from_quat(quaternions).as_matrix()
    assert np.allclose(found[0], person.body.rotations[0], atol=1e-5)
    assert np.allclose(found[22], person.body.rotations[52], atol=1e-5)  # jaw
    assert np.allclose(found[23:25], np.eye(3), atol=1e-6)  # eyes
    assert np.allclose(found[25:55], person.body.rotations[22:52], atol=1e-5)  # fingers


def test_joint_pixels_are_the_projection_and_nan_behind_the_camera(context, body_model):
    person = make_person(body_model, seed=5)
    joints = person.joints_camera.copy()
    joints[20] = [0.1, 0.1, -0.5]
    moved = dataclasses.replace(person, joints_camera=joints)
    pixels = rows(human(tracked(moved), 1.7, context).joint_pixels, 2)
    assert np.isnan(pixels[20]).all()
    x, y, z = joints[0]
    assert np.allclose(pixels[0], [60.0 * x / z + 31.5, 61.0 * y / z + 23.5], atol=1e-4)


def test_a_person_cut_by_the_border_is_truncated(context, body_model):
    near = make_person(body_model, depth_m=0.8)
    message = human(tracked(near), 1.7, context)
    assert message.truncated
    u_min, v_min, u_max, v_max = message.box_pixels
    assert 0 <= u_min <= u_max <= 63
    assert 0 <= v_min <= v_max <= 47
    far = make_person(body_model, depth_m=20.0)
    assert not human(tracked(far), 1.7, context).truncated


def test_a_person_behind_the_camera_has_no_pixel_box(context, body_model):
    behind = make_person(body_model, depth_m=-5.0)
    message = through_cdr(human(tracked(behind), 1.7, context))
    assert np.isnan(message.box_pixels).all()
    assert not message.truncated


def test_what_is_not_measured_is_left_open(context, body_model):
    message = human(tracked(make_person(body_model)), 1.7, context)
    assert not message.velocity_valid
    assert len(message.joint_visibility) == 0
    assert math.isnan(message.scene_agreement)


def test_withheld_shape_leaves_nothing_near_biometric(context, body_model):
    withheld = dataclasses.replace(context, with_shape=False)
    message = human(tracked(make_person(body_model)), 1.7, withheld)
    assert len(message.betas) == len(message.expression) == 0
    assert math.isnan(message.stature)


def test_ids_are_legal_tokens_and_tracks_start_new(context, body_model):
    person = make_person(body_model)
    old = human(tracked(person), 1.7, context)
    assert old.id == "h3r00007"
    assert old.id.isalnum()
    assert (old.track_id, old.track_state, old.age_frames) == (7, old.TRACK_OK, 3)


@pytest.mark.parametrize("state", TrackState)
def test_track_states_are_those_of_the_message(context, body_model, state):
    message = human(tracked(make_person(body_model), state=state), 1.7, context)
    assert message.track_state == getattr(message, f"TRACK_{state.name}")


def test_a_known_velocity_is_valid(context, body_model):
    velocity = np.array([0.5, -0.25, 1.0])
    person = tracked(make_person(body_model), velocity_camera=velocity)
    message = through_cdr(human(person, 1.7, context))
    assert message.velocity_valid
    assert (message.velocity.x, message.velocity.y, message.velocity.z) == (0.5, -0.25, 1.0)


def test_what_is_seen_belongs_to_the_measured_who_come_first(context, body_model):
    joints = np.array([1, 0, np.nan] * 20, np.float32)
    people = [
        tracked(make_person(body_model), visibility=Visibility(joints, 0.25)),
        tracked(make_person(body_model), number=8, state=TrackState.COASTING),
    ]
    measured, coasting = through_cdr(human_array(people, context)).humans
    assert np.array_equal(np.asarray(measured.joint_visibility), joints, equal_nan=True)
    assert measured.scene_agreement == 0.25
    assert len(coasting.joint_visibility) == 0
    assert math.isnan(coasting.scene_agreement)


def test_the_frames_of_a_standing_body_point_as_rep155_says(context):
    """A body of known form: it faces the camera, so its left is the image's right."""
    body = load_body_model(default_body_path())
    upright = torch.eye(3).repeat(1, 53, 1, 1)
    upright[0, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    head, average = torch.tensor([[0.0, -0.5, 3.0]]), torch.zeros(1, 10)
    mesh = body(upright, average, average, head)
    parameters = BodyParameters(*(part[0].numpy() for part in (upright, average, average, head)))
    joints, skin = mesh.joints[0].numpy(), mesh.vertices[0].numpy()
    person = PersonEstimate(0, 0.9, np.zeros(2, np.float32), parameters, joints, skin)
    message = human(tracked(person), 1.7, context)
    for pose in (message.body_pose, message.head_pose):
        camera_from_frame = convert.matrix_from_pose(pose)
        # x towards the camera, y to the image's right, z up.
        expected = [[0, 1, 0], [0, 0, -1], [-1, 0, 0]]
        assert np.allclose(camera_from_frame[:3, :3], expected, atol=1e-6)

    def place_in(pose, name):
        joint = joints[body.joint_names.index(name)].astype(float)
        return np.linalg.inv(convert.matrix_from_pose(pose)) @ [*joint, 1.0]

    assert place_in(message.body_pose, "left_wrist")[1] > 0.3
    assert place_in(message.body_pose, "head")[2] > 0.4
    assert place_in(message.body_pose, "left_big_toe")[0] > 0.05
    assert place_in(message.body_pose, "left_heel")[2] < -0.7
    assert np.allclose(
        place_in(message.body_pose, "left_hip")[:3],
        -place_in(message.body_pose, "right_hip")[:3],
        atol=1e-6,
    )
    x, y, z, _ = place_in(message.head_pose, "nose")
    assert x > 0.01
    assert abs(y) < 0.01
    assert z < 0.0
    skull = (skin - convert.matrix_from_pose(message.head_pose)[:3, 3]) @ expected
    assert 0.05 < skull[:, 2].max() < 0.2


def test_nobody_is_an_empty_list_with_everything_else_filled_in(context):
    message = through_cdr(human_array([], context))
    assert len(message.humans) == 0
    assert message.camera_pose_valid
    assert message.camera_pose.orientation.w == 1.0
    assert message.scale == 1.0


@pytest.mark.parametrize(
    ("window_s", "twist"), [(0.5, [0.08] * 3 + [0.02] * 3), (None, [1e6] * 6), (1e-9, [1e6] * 6)]
)
def test_odometry_carries_a_constant_pose_covariance_and_that_of_its_difference(window_s, twist):
    message = through_cdr(
        convert.odometry(7, "level", "base", np.eye(4), np.arange(6.0), (0.1, 0.05), window_s)
    )
    diagonal = np.asarray(message.pose.covariance).reshape(6, 6).diagonal()
    assert np.allclose(diagonal, [0.01] * 3 + [0.0025] * 3)
    assert np.allclose(np.asarray(message.twist.covariance).reshape(6, 6).diagonal(), twist)
    assert (message.twist.twist.linear.y, message.twist.twist.angular.z) == (1.0, 5.0)
    assert (message.header.frame_id, message.child_frame_id) == ("level", "base")
