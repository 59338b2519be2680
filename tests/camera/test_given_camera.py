"""Cameras that the user names: a lens angle, a matrix, a calibration file."""

import math

import numpy as np
import pytest

from human3r import Frame, Intrinsics
from human3r.camera.given_camera import CalibrationFile, GivenIntrinsics, LensAngle
from human3r.config import Settings
from human3r.errors import InputError
from human3r.io import read_intrinsics

POLICY = Settings().input
CALIBRATION = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [500.5, 0., 319.5, 0., 501.5, 239.5, 0., 0., 1.]
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.2, 0.03, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [450, 0, 319, 0, 0, 450, 239, 0, 0, 0, 1, 0]}
"""
ECHO = """\
header: {stamp: {sec: 1, nanosec: 2}, frame_id: camera}
height: 480
width: 640
distortion_model: plumb_bob
d: [0.0, 0.0, 0.0, 0.0, 0.0]
k: [500.5, 0.0, 319.5, 0.0, 501.5, 239.5, 0.0, 0.0, 1.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [500.5, 0.0, 319.5, 0.0, 0.0, 501.5, 239.5, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 0
binning_y: 0
---
"""


def frame(width=640, height=480):
    return Frame(np.zeros((height, width, 3), np.uint8), 0)


@pytest.mark.parametrize(("of", "side"), [("width", 640), ("height", 480), ("diagonal", 800)])
def test_an_angle_spans_the_side_it_is_said_of(of, side):
    k = Intrinsics.from_fov(70.0, 640, 480, of=of)
    # A ray at half the angle meets the border, half a side from the middle.
    assert k.fx * math.tan(math.radians(35.0)) == pytest.approx(side / 2)
    assert (k.fx, k.cx, k.cy) == (k.fy, 319.5, 239.5)
    assert Intrinsics.from_fov(70.0, 640, 480).fov_deg == pytest.approx(70.0)


def test_a_matrix_is_taken_as_it_is():
    k = Intrinsics(500.0, 510.0, 320.0, 230.0, 640, 480)
    assert Intrinsics.from_matrix(k.matrix(), 640, 480) == k
    assert Intrinsics.from_matrix(k.matrix().tolist(), 640, 480) == k


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Intrinsics.from_fov(0.0, 640, 480), "above 0 and below 180"),
        (lambda: Intrinsics.from_fov("wide", 640, 480), "above 0 and below 180"),
        (lambda: Intrinsics.from_fov(math.nan, 640, 480), "above 0 and below 180"),
        (lambda: Intrinsics.from_fov(60.0, 640.5, 480), "whole number of pixels"),
        (lambda: Intrinsics.from_fov(60.0, 640, 480, of="depth"), "expected one of width"),
        (lambda: Intrinsics.from_matrix(np.eye(4), 640, 480), "matrix is"),
        (lambda: Intrinsics.from_matrix(np.zeros((3, 3)), 640, 480), "matrix is"),
        (lambda: Intrinsics.from_matrix("K", 640, 480), "matrix is"),
        (lambda: Intrinsics.from_matrix(np.eye(3), 0, 480), "whole number of pixels"),
        (lambda: LensAngle(200.0), "above 0 and below 180"),
        (lambda: Frame(frame().image, 0, np.eye(3)), "Intrinsics.from_matrix"),
    ],
)
def test_what_is_no_camera_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_given_intrinsics_are_scaled_to_the_image():
    k = Intrinsics(500.0, 500.0, 319.5, 239.5, 640, 480)
    found = GivenIntrinsics(k).calibrate(frame(320, 240), POLICY).intrinsics
    assert (found.fx, found.cx, found.width_px) == (250.0, 159.5, 320)


@pytest.mark.parametrize("text", [CALIBRATION, ECHO])
def test_both_kinds_of_calibration_file_are_read(tmp_path, text, caplog):
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    assert read_intrinsics(path) == Intrinsics(500.5, 501.5, 319.5, 239.5, 640, 480)
    assert ("lens distortion" in caplog.text) == (text is CALIBRATION)


def test_distortion_of_a_file_is_taken_out_where_the_settings_ask_for_it(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(CALIBRATION)
    plain = CalibrationFile(path).calibrate(frame(), POLICY)
    assert plain.raw_from_image is None
    policy = Settings().replace({"input.undistort": True}).input
    straight = CalibrationFile(path).calibrate(frame(), policy)
    assert straight.intrinsics.fx == 450.0
    corner = straight.raw_from_image(np.array([10.0, 10.0]))
    assert np.linalg.norm(corner - [10.0, 10.0]) > 5.0
    rectified = Settings().replace({"input.camera_matrix": "P"}).input
    assert CalibrationFile(path).calibrate(frame(), rectified).intrinsics.fx == 450.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1\n",
        "a: [",
        "%YAML:1.0\n",
        "image_width: wide\nimage_height: 3\n",
        CALIBRATION.replace("319.5, 0., 501.5", "319.5, 501.5"),
        CALIBRATION.replace("500.5", "none"),
        CALIBRATION.replace("image_width: 640", "image_width: -640"),
        CALIBRATION.replace("500.5", "0"),
        "x" * 2_000_000,
    ],
)
def test_files_that_are_no_calibration_are_named(tmp_path, text):
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"camera\.yaml.*(expected|focal)"):
        read_intrinsics(path)
    with pytest.raises(InputError, match="nothing"):
        read_intrinsics(tmp_path / "nothing.yaml")
