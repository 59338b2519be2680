"""Frames without a network through the publisher that node and bags share."""

import dataclasses
import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from human3r_ros import convert
from human3r_ros.placement import Placement
from human3r_ros.processor import FramePublisher
from human3r_ros.transforms import FrameTree
from rclpy.serialization import serialize_message

from human3r.config import Settings
from human3r.mapping.level import LevelFrame
from human3r.model.weights_file import sha256_of
from human3r.streaming.people import StreamPeople
from human3r.tracking.covariance_file import (
    covariance_path,
    find_covariance,
    write_covariance,
)
from human3r.tracking.tracks import Tracker
from human3r.tracking.uncertainty import CovarianceModel, SpreadModel
from human3r.types import Frame, Intrinsics, PointSet
from ros2_ws.src.human3r_ros.tests.builders import make_estimate, make_person
from ros2_ws.src.human3r_ros.tests.outlet import Outlet, through_cdr

CAMERA = Intrinsics(60.0, 60.0, 31.5, 23.5, 64, 48)
FRAME_NS = 100_000_000


class Stage:
    """A publisher whose estimates come from the test."""

    def __init__(self, body_model, *, is_listening=True, **values):
        self.settings = Settings().replace({"tf.mode": "odometry", **values})
        self.outlet, self.count = Outlet(is_listening=is_listening), 0
        nothing = PointSet(
            *(np.zeros((0, 3), kind) for kind in (np.float32, np.uint8)),
            np.zeros(0, np.float32),
            np.zeros(0, np.uint16),
        )
        self.made = []
        pipeline = SimpleNamespace(
            settings=self.settings,
            body_model=body_model,
            points=lambda estimate, labels, is_sure: self.made.append("points") or nothing,
            scene_points=lambda estimate, is_sure: self.made.append("scene") or nothing,
        )
        weights = self.settings.model.weights
        self.people = StreamPeople(body_model, Tracker(), find_covariance(weights, sha256_of))
        placement = Placement(FrameTree(), self.outlet, LevelFrame(self.settings), self.settings)
        self.placement = placement
        self.publisher = FramePublisher(pipeline, self.outlet, placement)

    def publish(self, *people, **changes):
        """One more frame; returns its people as messages."""
        self.count += 1
        stamp_ns = 10**9 + self.count * FRAME_NS
        estimate = make_estimate(
            people, stamp_ns, frame_index=self.count, calibrated=CAMERA, **changes
        )
        estimate = self.people.update(estimate, self.settings)
        frame = Frame(np.zeros((48, 64, 3), np.uint8), stamp_ns, CAMERA, "optical")
        frame = self.placement.located(frame, self.settings)
        self.said = self.publisher.publish(frame, estimate, self.settings)
        return self.outlet.of("humans")[-1].humans


@pytest.fixture
def stage(body_model):
    return Stage(body_model)


def moved(person, x_m):
    """The person ``x_m`` to the image's right."""
    shift = np.array([x_m, 0, 0], np.float32)
    body = dataclasses.replace(person.body, head_camera=person.body.head_camera + shift)
    return dataclasses.replace(
        person,
        body=body,
        joints_camera=person.joints_camera + shift,
        vertices_camera=person.vertices_camera + shift,
    )


def test_the_transform_comes_first_and_people_before_what_is_large(stage, body_model):
    stage.publish(make_person(body_model))
    names = [name for name, _ in stage.outlet.sent]
    assert names[:3] == ["tf", "humans", "odometry"]
    large = {"depth_info", "depth", "confidence", "mask", "labels", "points", "scene", "meshes"}
    assert set(names[3:]) == large | {"color", "color_info"}
    stamps = {
        convert.ns_from_time(message.header.stamp)
        for name, message in stage.outlet.sent
        if name != "tf"
    }
    assert stamps == {10**9 + FRAME_NS}


def test_a_pose_that_is_not_known_is_neither_broadcast_nor_odometry(stage, body_model):
    stage.publish(make_person(body_model), level_from_world=None)
    stage.publish(make_person(body_model), world_from_camera=np.full((4, 4), np.nan))
    names = {name for name, _ in stage.outlet.sent}
    assert names & {"tf", "odometry", "map"} == set()
    assert {"humans", "points"} <= names


def test_odometry_says_what_the_path_may_be_off_by(stage):
    stage.publish()
    covariance = np.diag([1.0, 2.0, 3.0, 0.1, 0.2, 0.3])
    stage.publish(camera_covariance=covariance)
    constant, grown = (
        np.reshape(message.pose.covariance, (6, 6)) for message in stage.outlet.of("odometry")
    )
    # The world is the first camera's frame: x right, y down, z ahead; level has x ahead, z up.
    assert np.allclose(np.diag(grown - constant), [3.0, 1.0, 2.0, 0.3, 0.1, 0.2])


def test_nobody_listens_nothing_is_made(stage, body_model):
    quiet = Stage(body_model, is_listening=False, **{"map.enabled": False})
    for one in (stage, quiet):
        one.publish(make_person(body_model))
    assert stage.made == ["points", "scene"]
    assert quiet.made == []
    assert [name for name, _ in quiet.outlet.sent] == ["tf", "humans", "odometry"]


def test_somebody_behind_a_pillar_is_predicted_then_lost_once(stage, body_model):
    person = make_person(body_model, track_id=2)
    for i in range(8):
        (seen,) = stage.publish(moved(person, 0.1 * i))
    assert seen.track_state == seen.TRACK_OK
    assert seen.velocity.x == pytest.approx(1.0, abs=1e-4)
    assert len(seen.joint_visibility) == 60
    hidden = [stage.publish() for _ in range(27)]
    assert [len(humans) for humans in hidden] == [1] * 26 + [0]
    for i, (human,) in enumerate(hidden[:25], 1):
        assert (human.id, human.track_state) == (seen.id, human.TRACK_COASTING)
        place = human.body_pose.position.x - seen.body_pose.position.x
        assert place == pytest.approx(0.1 * i, abs=1e-3)
        assert human.velocity_valid
        assert human.last_seen == seen.last_seen
        assert human.age_frames == seen.age_frames + i
        assert human.stature == seen.stature
        assert len(human.joint_visibility) == 0
        assert math.isnan(human.scene_agreement)
    assert hidden[25][0].track_state == seen.TRACK_LOST
    (again,) = stage.publish(person)
    assert again.id != seen.id


def test_the_count_is_that_of_the_message(stage, body_model):
    stage.publish(make_person(body_model))
    assert stage.said == 1
    stage.publish()
    assert stage.said == 1  # taken back
    stage.publish()
    assert stage.said == 0


def test_a_person_cut_by_the_border_is_truncated_also_when_predicted(stage, body_model):
    person = make_person(body_model, depth_m=6.0)
    for i in range(10):
        (seen,) = stage.publish(moved(person, 0.2 * i))
    assert not seen.truncated
    predicted = [stage.publish()[0] for _ in range(12)]
    assert predicted[-1].truncated


def test_visibility_can_be_left_open(body_model):
    stage = Stage(body_model, **{"people.visibility": False})
    (human,) = stage.publish(make_person(body_model))
    assert len(human.joint_visibility) == 0
    assert math.isnan(human.scene_agreement)


def test_a_screen_before_a_person_hides_joints(stage, body_model):
    person = make_person(body_model)
    points = np.zeros((12, 16, 3), np.float32)
    points[..., 2] = 1.0
    (hidden,) = stage.publish(person, points_camera=points)
    points[..., 2] = 9.0
    (open_,) = stage.publish(person, points_camera=points)
    assert np.nansum(hidden.joint_visibility) == 0
    assert np.nanmax(open_.joint_visibility) == 1


def test_bones_keep_their_lengths_when_asked(body_model):
    stage = Stage(body_model, **{"people.constant_shape": True})
    people = [make_person(body_model, seed) for seed in range(6)]
    messages = [stage.publish(person)[0] for person in people]
    shapes = np.stack([person.body.betas for person in people])
    for i, message in enumerate(messages):
        assert np.allclose(message.betas, shapes[: i + 1].mean(axis=0), atol=1e-6)
        head = np.reshape(message.joint_positions, (-1, 3))[15]
        assert np.allclose(head, people[i].body.head_camera, atol=1e-5)

    def thigh_m(message):
        joints = np.reshape(message.joint_positions, (-1, 3))
        return np.linalg.norm(joints[1] - joints[4])

    steps = [abs(thigh_m(a) - thigh_m(b)) for a, b in pairwise(messages)]
    plain = Stage(body_model)
    measured = [plain.publish(person)[0] for person in people]
    loose = [abs(thigh_m(a) - thigh_m(b)) for a, b in pairwise(measured)]
    assert sum(steps) < 0.5 * sum(loose)


def test_bones_keep_their_lengths_when_the_network_takes_somebody_for_new(body_model):
    stage = Stage(body_model, **{"people.constant_shape": True})
    person = make_person(body_model)
    shapes = np.random.default_rng(0).normal(size=(9, 10)).astype(np.float32)
    people = [
        dataclasses.replace(person, body=dataclasses.replace(person.body, betas=betas))
        for betas in shapes
    ]
    for person in people[:8]:
        (before,) = stage.publish(person)
    stage.publish()
    (after,) = stage.publish(dataclasses.replace(people[8], track_id=5))
    assert after.id == before.id
    assert np.allclose(after.betas, shapes.mean(axis=0), atol=1e-6)


def calibrated(folder):
    """A weights file, and beside it what is known of the errors of such weights."""
    weights = folder / "net.safetensors"
    weights.write_bytes(b"weights")
    spread = SpreadModel(np.log([0.1, 0.02, 0.3, 0.05]), np.zeros((4, 4)))
    bounds, growth = np.tile([0.0, 1.0], (4, 1)), np.tile([0.1, 1.0], (4, 1))
    model = CovarianceModel(spread, spread, bounds, growth)
    write_covariance(covariance_path(weights), model, sha256_of(weights), {})
    return weights


def test_calibrated_weights_say_how_sure_they_are_of_a_body(body_model, tmp_path):
    stage = Stage(body_model, **{"model.weights": str(calibrated(tmp_path))})
    person = make_person(body_model)
    for _ in range(4):
        (seen,) = stage.publish(person)
    found = np.reshape(through_cdr(seen).body_pose_covariance, (6, 6))
    place = seen.body_pose.position
    origin = np.array([place.x, place.y, place.z])
    # 10 % of the distance along the ray; the other numbers are those of the core's own tests.
    assert origin @ found[:3, :3] @ origin == pytest.approx((0.1 * origin @ origin) ** 2, rel=1e-4)
    assert np.linalg.eigvalsh(found).min() > 0
    (hidden,) = stage.publish()
    assert hidden.track_state == hidden.TRACK_COASTING
    grown = np.reshape(hidden.body_pose_covariance, (6, 6)) - found
    assert np.linalg.eigvalsh(grown).min() > 0


def test_weights_that_were_not_calibrated_say_unknown(stage, body_model):
    (seen,) = stage.publish(make_person(body_model))
    assert np.asarray(through_cdr(seen).body_pose_covariance).tolist() == [-1.0] + [0.0] * 35


def test_the_same_frames_are_published_the_same_way_byte_for_byte(body_model):
    def run():
        stage = Stage(body_model, **{"people.constant_shape": True})
        person = make_person(body_model)
        for i in range(12):
            stage.publish(*([moved(person, 0.1 * i)] if i % 5 < 3 else []))
        return [serialize_message(message) for _, message in stage.outlet.sent]

    assert run() == run()


def test_the_closing_message_has_the_header_of_the_last_frame_that_was_sent(stage, body_model):
    assert stage.publisher.closing_context(3).session == 3
    stage.publish()
    stage.outlet.broken.add("humans")
    with pytest.raises(OverflowError):
        stage.publish()
    context = stage.publisher.closing_context(9)
    assert (context.stamp_ns, context.frame_id, context.session) == (10**9 + FRAME_NS, "optical", 0)
