"""A calibrated camera in place of the network's own."""

import numpy as np
import pytest

from human3r.geometry.known_camera import seen_through
from human3r.types import (
    BodyParameters,
    FrameEstimate,
    ImageGeometry,
    Intrinsics,
    PersonEstimate,
)

SOURCE = Intrinsics(50.0, 52.0, 33.0, 23.0, 64, 48)
OWN = Intrinsics(20.0, 20.0, 8.0, 6.0, 16, 12)
"""The network's belief, of its own image: 80 px in the source."""


def person(head):
    head = np.array(head, np.float32)
    points = head + np.random.default_rng(0).uniform(-0.3, 0.3, (40, 3)).astype(np.float32)
    body = BodyParameters(
        np.tile(np.eye(3, dtype=np.float32), (53, 1, 1)),
        np.zeros(10, np.float32),
        np.zeros(10, np.float32),
        head,
    )
    return PersonEstimate(0, 0.9, np.zeros(2, np.float32), body, points, points)


def estimate(people=(), own=OWN):
    v, u = np.mgrid[0:12, 0:16]
    depth = 2.0 + 0.1 * u
    points = np.stack([(u - 8.0) / 20.0 * depth, (v - 6.0) / 20.0 * depth, depth], -1)
    return FrameEstimate(
        stamp_ns=1,
        session=0,
        frame_index=0,
        geometry=ImageGeometry(64, 48, 16, 12, 0, 0, 16, 12),
        image=np.zeros((12, 16, 3), np.uint8),
        points_camera=points.astype(np.float32),
        confidence=np.ones((12, 16), np.float32),
        person_probability=np.zeros((12, 16), np.float32),
        world_from_camera=np.eye(4),
        intrinsics=own,
        people=tuple(people),
    )


def pixels(points, camera):
    return points[..., :2] / points[..., 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]


def test_every_point_lies_on_the_ray_of_its_pixel_at_its_depth():
    raw = estimate()
    made = seen_through(raw, SOURCE)
    v, u = np.mgrid[0:12, 0:16]
    source = raw.geometry.source_from_network(np.stack([u, v], -1))
    assert pixels(made.points_camera, SOURCE) == pytest.approx(source, abs=1e-4)
    assert np.array_equal(made.depth, raw.depth)
    assert made.points_camera.dtype == np.float32


def test_a_body_is_seen_where_the_network_saw_it_and_keeps_its_shape():
    raw = estimate([person([0.4, -0.3, 2.5])])
    (before,), (after,) = raw.people, seen_through(raw, SOURCE).people
    own = raw.geometry.source_intrinsics(OWN)
    seen = pixels(before.body.head_camera, own)
    assert pixels(after.body.head_camera, SOURCE) == pytest.approx(seen, abs=1e-3)
    assert after.body.head_camera[2] == before.body.head_camera[2]
    shift = after.body.head_camera - before.body.head_camera
    assert np.abs(shift[:2]).min() > 0.01
    for name in ("joints_camera", "vertices_camera"):
        assert np.allclose(getattr(after, name) - getattr(before, name), shift)


def test_the_estimated_focal_length_is_still_what_was_estimated():
    assert seen_through(estimate(), SOURCE).intrinsics == OWN


def test_a_camera_that_agrees_changes_nothing_to_speak_of():
    raw = estimate([person([0.4, -0.3, 2.5])])
    made = seen_through(raw, raw.geometry.source_intrinsics(OWN))
    assert np.allclose(made.points_camera, raw.points_camera, atol=1e-6)
    assert np.allclose(made.people[0].joints_camera, raw.people[0].joints_camera, atol=1e-6)


def test_people_stay_where_nothing_is_known_about_the_networks_camera():
    none = Intrinsics(0.0, 0.0, 8.0, 6.0, 16, 12)
    raw = estimate([person([0.4, -0.3, 2.5])], own=none)
    assert seen_through(raw, SOURCE).people == raw.people
    behind = estimate([person([0.4, -0.3, -1.0])])
    assert seen_through(behind, SOURCE).people == behind.people


def test_a_calibration_of_another_size_is_none():
    raw = estimate()
    assert seen_through(raw, Intrinsics(50.0, 50.0, 30.0, 20.0, 32, 24)) is raw
