"""A calibrated camera in place of the network's own."""

import numpy as np
import pytest

from human3r.camera.calibration import along_rays_of
from human3r.errors import InputError
from human3r.types import (
    BodyParameters,
    Frame,
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


def through(raw, source):
    """Along the rays of a camera of the source image."""
    return along_rays_of(raw, raw.geometry.network_intrinsics(source))


def pixels(points, camera):
    return points[..., :2] / points[..., 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]


def test_every_point_lies_on_the_ray_of_its_pixel_at_its_depth():
    raw = estimate()
    made = through(raw, SOURCE)
    v, u = np.mgrid[0:12, 0:16]
    source = raw.geometry.source_from_network(np.stack([u, v], -1))
    assert pixels(made.points_camera, SOURCE) == pytest.approx(source, abs=1e-4)
    assert np.array_equal(made.depth, raw.depth)
    assert made.points_camera.dtype == np.float32


def test_a_body_is_seen_where_the_network_saw_it_and_keeps_its_shape():
    raw = estimate([person([0.4, -0.3, 2.5])])
    (before,), (after,) = raw.people, through(raw, SOURCE).people
    own = raw.geometry.source_intrinsics(OWN)
    seen = pixels(before.body.head_camera, own)
    assert pixels(after.body.head_camera, SOURCE) == pytest.approx(seen, abs=1e-3)
    assert after.body.head_camera[2] == before.body.head_camera[2]
    shift = after.body.head_camera - before.body.head_camera
    assert np.abs(shift[:2]).min() > 0.01
    for name in ("joints_camera", "vertices_camera"):
        assert np.allclose(getattr(after, name) - getattr(before, name), shift)


def test_a_camera_that_agrees_changes_nothing_to_speak_of():
    raw = estimate([person([0.4, -0.3, 2.5])])
    made = through(raw, raw.geometry.source_intrinsics(OWN))
    assert np.allclose(made.points_camera, raw.points_camera, atol=1e-6)
    assert np.allclose(made.people[0].joints_camera, raw.people[0].joints_camera, atol=1e-6)


def test_people_stay_where_nothing_is_known_about_the_networks_camera():
    none = Intrinsics(0.0, 0.0, 8.0, 6.0, 16, 12)
    raw = estimate([person([0.4, -0.3, 2.5])], own=none)
    assert through(raw, SOURCE).people == raw.people
    behind = estimate([person([0.4, -0.3, -1.0])])
    assert through(behind, SOURCE).people == behind.people


def test_the_estimates_own_camera_changes_nothing_at_all():
    raw = estimate([person([0.4, -0.3, 2.5])])
    assert along_rays_of(raw, OWN) is raw


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 360), (320, 180), (641, 360)])
def test_a_calibration_of_another_size_is_scaled_to_its_frame(width, height):
    """A direction falls on the same place of the picture, in shares of its sides."""
    given = Intrinsics(500.0, 510.0, 310.0, 185.0, 640, 360)
    frame = Frame(np.zeros((height, width, 3), np.uint8), 1, given)
    k = frame.intrinsics
    assert (k.width_px, k.height_px) == (width, height)
    for x, y in ((0.0, 0.0), (0.2, -0.1)):
        u, v = given.fx * x + given.cx + 0.5, given.fy * y + given.cy + 0.5
        assert (k.fx * x + k.cx + 0.5) / width == pytest.approx(u / 640)
        assert (k.fy * y + k.cy + 0.5) / height == pytest.approx(v / 360)


def test_a_calibration_of_another_shape_is_an_error_and_not_left_out():
    given = Intrinsics(500.0, 500.0, 320.0, 180.0, 640, 360)
    with pytest.raises(InputError, match="for 640x360, the image is 640x480"):
        Frame(np.zeros((480, 640, 3), np.uint8), 1, given)


@pytest.mark.parametrize("stamp", [1.5, 1e18, None, "1"])
def test_a_stamp_that_is_no_whole_number_is_refused(stamp):
    with pytest.raises(InputError, match="whole number of nanoseconds"):
        Frame(np.zeros((4, 6, 3), np.uint8), stamp)


def test_whole_numbers_of_numpy_are_stamps():
    assert Frame(np.zeros((4, 6, 3), np.uint8), np.int64(5)).stamp_ns == 5
