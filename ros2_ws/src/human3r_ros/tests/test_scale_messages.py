"""The scale in messages, and what is made again from them."""

import dataclasses

import numpy as np
import pytest
from human3r_ros.commands.rebuild import people_from_messages

from human3r.config import Settings
from human3r.scale.apply import scaled
from human3r.streaming.people import StreamPeople
from human3r.tracking.tracks import Tracker
from ros2_ws.src.human3r_ros.tests.builders import make_estimate, make_person
from ros2_ws.src.human3r_ros.tests.test_frame_publisher import CAMERA, Stage


def grown(body_model, factor):
    estimate = make_estimate([make_person(body_model)])
    return scaled(estimate, factor, factor * estimate.world_from_camera[:3, 3])


def test_the_factor_is_in_the_message_and_on_its_lengths(body_model):
    stage = Stage(body_model)
    person = make_person(body_model)
    (plain,) = stage.publish(person)
    grown_person = scaled(make_estimate([person]), 1.5, np.zeros(3)).people[0]
    (made,) = stage.publish(grown_person, scale=1.5, body_scale=1.5)
    assert [array.scale for array in stage.outlet.of("humans")] == [1.0, 1.5]
    assert np.allclose(made.joint_positions, 1.5 * np.array(plain.joint_positions), atol=1e-5)
    assert made.box_size.z == pytest.approx(1.5 * plain.box_size.z, rel=1e-4)
    assert np.allclose(made.joint_pixels, plain.joint_pixels, atol=1e-2, equal_nan=True)
    assert np.array_equal(made.betas, plain.betas)


def test_constant_shapes_are_as_large_as_the_scale_says(body_model):
    estimate = grown(body_model, 1.4)
    people = StreamPeople(body_model, Tracker(), None)
    held = people.update(estimate, Settings().replace({"people.constant_shape": True}))
    assert np.allclose(held.people[0].joints_camera, estimate.people[0].joints_camera, atol=1e-4)


def test_a_recorded_person_is_made_again_as_large_as_it_was_sent(body_model):
    stage = Stage(body_model)
    sent = grown(body_model, 1.4)
    humans = stage.publish(*sent.people, scale=1.4, body_scale=1.4)
    (again,) = people_from_messages(humans, body_model, 1.4)
    assert np.allclose(again.vertices_camera, sent.people[0].vertices_camera, atol=1e-3)


def test_the_map_begins_anew_when_the_metres_have_changed(body_model, monkeypatch):
    stage, cleared = Stage(body_model), []
    scene_map = stage.publisher.scene.map
    clear = scene_map.clear
    monkeypatch.setattr(scene_map, "clear", lambda: cleared.append(stage.count) or clear())
    for factor in (1.0, 1.02, 1.04, 1.06, 1.08, 1.12, 1.12):
        stage.publish(scale=factor)
    assert cleared == [4, 6]


def test_pixels_are_those_of_the_image_as_it_came(body_model):
    plain, bent = Stage(body_model), Stage(body_model)
    person = make_person(body_model, depth_m=6.0)
    (straight,) = plain.publish(person)
    bent.frame_changes = {"raw_from_image": lambda pixels: pixels * 0.5 + 3.0}
    publish = bent.publisher.publish
    bent.publisher.publish = lambda frame, *rest: publish(
        dataclasses.replace(frame, **bent.frame_changes), *rest
    )
    (curved,) = bent.publish(person)
    moved = np.array(straight.joint_pixels) * 0.5 + 3.0
    assert np.allclose(curved.joint_pixels, moved, atol=1e-3, equal_nan=True)
    assert CAMERA.width_px == 64
    assert curved.box_pixels[0] == pytest.approx(straight.box_pixels[0] * 0.5 + 3.0, abs=1e-3)
