"""One camera per frame: calibrated, else of the frame or the session, else assumed."""

import dataclasses
import math

import numpy as np
import pytest

from human3r.camera.calibration import StreamCamera
from human3r.types import Intrinsics
from tests.streaming.test_known_camera import OWN, SOURCE, estimate, person


def with_focal(focal_px, session=0, people=()):
    """An estimate whose network believes in this focal length."""
    own = Intrinsics(focal_px, focal_px, OWN.cx, OWN.cy, OWN.width_px, OWN.height_px)
    found = estimate(people, own=own)
    return dataclasses.replace(found, session=session, estimated_focal_px=focal_px)


def disagreements(camera, focal_px, frames, calibrated=SOURCE):
    said = []
    for _ in range(frames):
        camera.apply(with_focal(focal_px), calibrated)
        said.append(camera.disagreement)
    return said


def test_thirty_frames_of_disagreement_are_mentioned():
    camera = StreamCamera(is_constant=True)
    said = disagreements(camera, 30.0, 30)
    assert not any(said[:29])
    assert "120 px as seen by the network and 50 px in camera_info" in said[29]
    camera.apply(with_focal(30.0), None)
    assert camera.disagreement == ""


def test_a_frame_without_an_estimate_speaks_neither_for_nor_against_the_calibration():
    camera = StreamCamera(is_constant=True)
    assert not any(disagreements(camera, 0.0, 40))
    disagreements(camera, 30.0, 29)
    disagreements(camera, 0.0, 1)
    assert "120 px" in disagreements(camera, 30.0, 1)[0]


def test_a_constant_camera_has_the_median_focal_length_of_its_session():
    camera = StreamCamera(is_constant=True)
    for focal, session in [(99.0, 0), (10.0, 1), (30.0, 1), (20.0, 1), (0.0, 1)]:
        made = camera.apply(with_focal(focal, session), None)
    assert made.intrinsics.fx == made.intrinsics.fy == 20.0
    assert made.source_camera.fx == 4 * 20.0
    assert made.estimated_focal_px == 0.0


@pytest.mark.parametrize("focal_px", [1e-3, 1e4])
def test_focal_lengths_that_no_lens_has_do_not_count(focal_px):
    camera = StreamCamera(is_constant=True)
    assumed = camera.apply(with_focal(focal_px), None).intrinsics.fx
    assert assumed == pytest.approx(8 / math.tan(math.radians(30)))
    camera.apply(with_focal(20.0), None)
    assert camera.apply(with_focal(focal_px), None).intrinsics.fx == 20.0


def test_a_camera_that_is_not_constant_is_the_frames_own_and_changes_nothing():
    camera = StreamCamera(is_constant=False)
    for focal in (10.0, 30.0):
        raw = with_focal(focal, people=[person([0.4, -0.3, 2.5])])
        made = camera.apply(raw, None)
        assert made.intrinsics.fx == focal
        assert made.points_camera is raw.points_camera
        assert made.people is raw.people
    # Nothing is known of this one: the median of the session stands in.
    assert camera.apply(with_focal(0.0), None).intrinsics.fx == 20.0


def test_a_calibration_beats_every_estimate_and_is_scaled_to_the_network_image():
    made = StreamCamera(is_constant=True).apply(with_focal(20.0), SOURCE)
    assert made.source_camera is SOURCE
    assert made.intrinsics.fx == SOURCE.fx / 4
    assert (made.intrinsics.width_px, made.intrinsics.height_px) == (16, 12)
    assert made.estimated_source_focal_px == 80.0


def test_without_any_focal_length_sixty_degrees_are_assumed():
    camera = StreamCamera(is_constant=True).apply(with_focal(0.0), None).source_camera
    assert 2 * math.atan(64 / 2 / camera.fx) == pytest.approx(math.radians(60))


@pytest.mark.parametrize("calibrated", [None, SOURCE])
def test_every_point_lies_on_the_ray_of_its_pixel_in_the_camera_in_use(calibrated):
    camera = StreamCamera(is_constant=True)
    camera.apply(with_focal(31.0), calibrated)
    made = camera.apply(with_focal(20.0), calibrated)
    k, (x, y, z) = made.intrinsics, np.moveaxis(made.points_camera, -1, 0)
    v, u = np.mgrid[0:12, 0:16]
    assert k.fx * x / z + k.cx == pytest.approx(u, abs=1e-4)
    assert k.fy * y / z + k.cy == pytest.approx(v, abs=1e-4)
