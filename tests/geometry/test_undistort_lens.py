"""Lenses as camera_info describes them, against their published formulas."""

import math

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.camera.lens import Lens, fitting_coefficients
from human3r.errors import InputError
from human3r.types import Intrinsics

CAMERA = Intrinsics(300.0, 310.0, 205.0, 145.0, 400, 300)
WIDER = Intrinsics(240.0, 240.0, 199.5, 149.5, 400, 300)
LENSES = {
    "plumb_bob": (-0.3, 0.1, 0.001, -0.002, 0.01),
    "rational_polynomial": (0.5, 0.1, 0.001, -0.001, 0.01, 0.8, 0.2, 0.03),
    "equidistant": (-0.02, 0.01, -0.003, 0.0005),
}


def bent(model, d, x, y):
    """What the model's publication says of a direction (x / z, y / z)."""
    r2 = x * x + y * y
    if model == "equidistant":
        r = math.sqrt(r2)
        theta = math.atan(r)
        angle = theta * (1 + sum(k * theta ** (2 * i + 2) for i, k in enumerate(d)))
        return (x * angle / r, y * angle / r) if r else (0.0, 0.0)
    k1, k2, p1, p2, k3, *more = (*d, 0.0)[: max(len(d), 5)]
    k4, k5, k6 = more if len(more) == 3 else (0.0, 0.0, 0.0)
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


@pytest.mark.parametrize("model", LENSES)
@pytest.mark.parametrize("rectified", [CAMERA, WIDER], ids=["K", "P"])
def test_pixels_go_where_the_formula_says(model, rectified):
    lens = Lens(model, LENSES[model], CAMERA, rectified)
    for u, v in [(0, 0), (399, 0), (205, 145), (100, 250), (399, 299)]:
        x, y = (u - rectified.cx) / rectified.fx, (v - rectified.cy) / rectified.fy
        bx, by = bent(model, LENSES[model], x, y)
        expected = (CAMERA.fx * bx + CAMERA.cx, CAMERA.fy * by + CAMERA.cy)
        assert lens.raw_from_rectified(np.array([u, v])) == pytest.approx(expected, abs=1e-4)


def turn(*angles_deg):
    """A rotation about x, then y, then z."""
    return Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()


@pytest.mark.parametrize("model", LENSES)
def test_with_a_rectification_matrix_pixels_go_where_the_formula_says(model):
    """R of camera_info takes directions from the camera as built to the rectified one."""
    r = turn(2.0, -3.0, 1.5)
    lens = Lens(model, LENSES[model], CAMERA, WIDER, r.ravel().tolist())
    for u, v in [(0, 0), (399, 0), (205, 145), (100, 250), (399, 299)]:
        ray = np.array([(u - WIDER.cx) / WIDER.fx, (v - WIDER.cy) / WIDER.fy, 1.0])
        x, y, z = r.T @ ray
        bx, by = bent(model, LENSES[model], x / z, y / z)
        expected = (CAMERA.fx * bx + CAMERA.cx, CAMERA.fy * by + CAMERA.cy)
        assert lens.raw_from_rectified(np.array([u, v])) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("model", LENSES)
def test_with_a_rectification_matrix_picture_and_pixels_agree(model):
    lens = Lens(model, LENSES[model], CAMERA, WIDER, turn(2.0, -3.0, 1.5).ravel().tolist())
    place = np.array([150.0, 180.0])
    picture = np.zeros((300, 400, 3), np.uint8)
    u, v = lens.raw_from_rectified(place)
    cv2.circle(picture, (round(u), round(v)), 3, (255, 255, 255), -1)
    rows, cols = np.nonzero(lens.rectify(picture)[..., 0] > 128)
    assert (cols.mean(), rows.mean()) == pytest.approx(place, abs=1.0)
    far = np.array([[205.0, 145.0 + 10.0**k] for k in range(3, 7)])
    assert (np.diff(lens.raw_from_rectified(far)[:, 1]) > 0).all()


@pytest.mark.parametrize(
    ("r", "words"),
    [
        (np.zeros(9), "expected a rotation"),
        (np.full(9, np.nan), "expected a rotation"),
        (np.full(9, 1e308), "expected a rotation"),
        (np.diag([1.0, 1.0, -1.0]).ravel(), "expected a rotation"),
        (2 * np.eye(3).ravel(), "expected a rotation"),
        (turn(0.0, 80.0, 0.0).ravel(), "behind the camera"),
        (turn(180.0, 0.0, 0.0).ravel(), "behind the camera"),
    ],
    ids=["zero", "nan", "huge", "mirror", "scaled", "sideways", "backwards"],
)
def test_a_rectification_matrix_that_cannot_be_is_refused(r, words):
    with pytest.raises(InputError, match=words):
        Lens("plumb_bob", LENSES["plumb_bob"], CAMERA, CAMERA, r.tolist())


@pytest.mark.parametrize("model", LENSES)
def test_a_straight_edge_seen_through_the_lens_is_straight_again(model):
    lens = Lens(model, LENSES[model], CAMERA, CAMERA)
    # Draw a line into the distorted picture, point by point, as the lens would.
    line = np.stack([np.linspace(60, 340, 2000), np.linspace(40, 90, 2000)], -1)
    picture = np.zeros((300, 400, 3), np.uint8)
    for u, v in lens.raw_from_rectified(line):
        cv2.circle(picture, (round(u), round(v)), 1, (255, 255, 255), -1)
    straight = lens.rectify(picture)[..., 0]
    rows, cols = np.nonzero(straight > 128)
    off = rows - np.interp(cols, line[:, 0], line[:, 1])
    assert len(rows) > 200
    assert np.abs(off).max() < 2.5
    raw_rows, raw_cols = np.nonzero(picture[..., 0])
    assert np.abs(raw_rows - np.interp(raw_cols, line[:, 0], line[:, 1])).max() > 4


def test_without_distortion_nothing_moves():
    lens = Lens("plumb_bob", (0.0,) * 5, CAMERA, CAMERA)
    picture = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    assert np.array_equal(lens.rectify(picture), picture)
    pixels = np.array([[0.0, 0.0], [120.5, 80.25]])
    assert lens.raw_from_rectified(pixels) == pytest.approx(pixels)


@pytest.mark.parametrize("model", LENSES)
def test_what_is_outside_the_picture_stays_outside(model):
    """The formulas fold far away from the axis; a leg below the picture must not come back."""
    lens = Lens(model, LENSES[model], CAMERA, CAMERA)
    far = np.array([[205.0, 145.0 + 10.0**k] for k in range(3, 7)])
    below = lens.raw_from_rectified(far)[:, 1]
    assert (np.diff(below) > 0).all()
    assert below[0] > 300


def test_pixels_that_are_not_known_stay_so():
    lens = Lens("plumb_bob", LENSES["plumb_bob"], CAMERA, CAMERA)
    found = lens.raw_from_rectified(np.array([[np.nan, np.nan], [205.0, 145.0]]))
    assert np.isnan(found[0]).all()
    assert found[1] == pytest.approx([205.0, 145.0])
    assert lens.raw_from_rectified(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("model", "coefficients", "words"),
    [
        ("plumb_bob", (-2.0, 0.1, 0.0, 0.0, 0.0), "folds the image"),
        ("plumb_bob", (1e30, -1e30, 1e30, 0.0, 1e30), "folds the image"),
        ("plumb_bob", (0.1,), "expected 4 or 5"),
        ("equidistant", (0.1,) * 5, "expected 4"),
        ("equidistant", (-3.0, 0.0, 0.0, 0.0), "folds the image"),
        ("rational_polynomial", (0.1,) * 5, "expected 8 or 12 or 14"),
        ("", (0.1,) * 5, "expected one of plumb_bob"),
        ("mirror" * 100, (0.1,) * 5, "expected one of plumb_bob"),
    ],
    ids=str,
)
def test_what_cannot_be_undone_is_refused(model, coefficients, words):
    with pytest.raises(InputError, match=words) as error:
        Lens(model, coefficients, CAMERA, CAMERA)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("model", "given", "name", "expected"),
    [
        ("plumb_bob", (1, 2), "plumb_bob", (1, 2, 0, 0)),
        ("plumb_bob", (1, 2, 3, 4, 5), "plumb_bob", (1, 2, 3, 4, 5)),
        ("plumb_bob", (1, 2, 3, 4, 5, 0, 0, 0), "plumb_bob", (1, 2, 3, 4, 5)),
        ("plumb_bob", (1, 2, 3, 4, 5, 6, 7, 8), "rational_polynomial", tuple(range(1, 9))),
        ("rational_polynomial", (1, 2, 3, 4, 5), "rational_polynomial", (1, 2, 3, 4, 5, 0, 0, 0)),
        (
            *("rational_polynomial", tuple(range(1, 10))),
            *("rational_polynomial", (*range(1, 10), 0, 0, 0)),
        ),
        (
            *("rational_polynomial", tuple(range(1, 14))),
            *("rational_polynomial", (*range(1, 14), 0)),
        ),
        ("rational_polynomial", (1,) * 8 + (0,) * 6, "rational_polynomial", (1,) * 8),
        ("fisheye", (1, 2, 3, 4), "equidistant", (1, 2, 3, 4)),
        ("equidistant", (1, 2, 0, 0, 0), "equidistant", (1, 2, 0, 0)),
        ("equidistant", (1, 2, 3, 4, 5), "equidistant", (1, 2, 3, 4, 5)),
        ("mirror", (1, 2), "mirror", (1, 2)),
        ("rational_polynomial", (1,) * 15, "rational_polynomial", (1,) * 15),
    ],
)
def test_coefficients_of_drivers_are_made_to_fit_without_guessing(model, given, name, expected):
    found, numbers = fitting_coefficients(model, [float(value) for value in given])
    assert (found, numbers) == (name, tuple(float(value) for value in expected))


@pytest.mark.parametrize("count", [8, 9, 10, 11, 12, 13, 14])
def test_a_rational_lens_of_any_number_of_coefficients_can_be_undone(count):
    numbers = [*LENSES["rational_polynomial"], 1e-4, 1e-4, 1e-4, 1e-4, 0.0, 0.0][:count]
    lens = Lens(*fitting_coefficients("rational_polynomial", numbers), CAMERA, WIDER)
    assert lens.rectify(np.full((300, 400, 3), 90, np.uint8))[150, 200].tolist() == [90] * 3
