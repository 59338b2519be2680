"""Stature and focal length from many uncertain measurements; the prior's file."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from human3r.errors import InputError
from human3r.people.fit.focal import FocalEstimate, focal_of_people
from human3r.people.fit.gauss_newton import FitSettings
from human3r.people.fit.prior import read_prior
from human3r.people.fit.stature import (
    ADULTS,
    FloorPlane,
    LogStature,
    StatureEstimate,
    stature_on_floor,
)
from tests.people.posed_landmarks import CAMERA, landmark_body, landmarks_of, plain_prior, pose

SECOND = 10**9


def test_independent_measurements_sharpen_and_repeated_ones_hardly():
    measured = LogStature.of(1.8, 0.05)
    apart, together = StatureEstimate.unknown(), StatureEstimate.unknown()
    for index in range(10):
        apart.observe("floor", measured, index * 5 * SECOND)
        together.observe("floor", measured, index * SECOND // 100)
    assert apart.relative_sigma < together.relative_sigma
    assert apart.metres == pytest.approx(1.8, rel=0.01)
    assert abs(together.metres - 1.69) < abs(apart.metres - 1.69)


def test_what_is_off_alike_each_time_counts_once_with_its_mean():
    once, often, noisy = (StatureEstimate.unknown() for _ in range(3))
    once.observe_lasting("scene", LogStature.of(1.85, 0.09))
    for index in range(100):
        often.observe_lasting("scene", LogStature.of(1.85, 0.09))
        noisy.observe_lasting("scene", LogStature(math.log(1.85) + 0.05 * (-1) ** index, 0.09))
    assert often.metres == pytest.approx(once.metres)
    assert often.relative_sigma == pytest.approx(once.relative_sigma)
    assert noisy.metres == pytest.approx(once.metres, rel=0.002)
    assert 1.69 < once.metres < 1.85
    assert once.relative_sigma < StatureEstimate.unknown().relative_sigma
    often.observe_lasting("scene", LogStature(math.nan, 0.09))
    often.observe_lasting("scene", LogStature(0.5, 0.0))
    assert often.metres == pytest.approx(once.metres)


def test_a_child_is_recognised_and_an_absurd_measurement_is_not():
    estimate = StatureEstimate.unknown()
    estimate.observe("floor", LogStature.of(1.15, 0.03), 0)
    assert estimate.metres == pytest.approx(1.15, rel=0.03)
    adult = StatureEstimate.unknown()
    for value in (0.3, 9.0, math.nan):
        adult.observe("floor", LogStature(math.log(value), 0.01), 0)
    adult.observe("floor", LogStature(0.5, math.nan), 0)
    assert adult.metres == pytest.approx(math.exp(ADULTS.mean))


def test_a_scene_that_is_far_too_near_makes_no_child_of_an_adult():
    estimate = StatureEstimate.unknown()
    for _ in range(50):
        estimate.observe_lasting("scene", LogStature.of(0.7 * 1.69, 0.09))
    assert estimate.metres > 1.5
    assert estimate.relative_sigma > 0.1, "it may still be a child"


def test_a_configured_stature_is_the_start():
    estimate = StatureEstimate.unknown(LogStature.of(1.52, 0.02))
    assert estimate.metres == pytest.approx(1.52)
    assert estimate.relative_sigma == pytest.approx(0.02, rel=0.01)


@given(st.floats(0.5, 2.5), st.floats(2.0, 10.0), st.floats(0.7, 1.4))
def test_soles_scaled_onto_the_floor_give_the_stature(height_m, far_m, wrong):
    floor = FloorPlane(np.array([0.0, -1.0, 0.0]), height_m + 0.03)
    soles = np.array([[0.1, height_m, far_m], [-0.1, height_m - 0.1, far_m]]) * wrong
    found = stature_on_floor(soles, np.ones(2), 1.7 * wrong, floor)
    if height_m > 0.1 * far_m:
        assert math.exp(found.mean) == pytest.approx(1.7, rel=1e-6)
        assert found.sigma > 0
    assert stature_on_floor(soles, np.zeros(2), 1.7, floor) is None


def test_feet_at_the_horizon_say_nothing():
    floor = FloorPlane(np.array([0.0, -1.0, 0.0]), 1.0)
    assert stature_on_floor(np.array([[0.0, 0.1, 9.0]]), np.ones(1), 1.7, floor) is None


def focal_after(values, sigma=0.1, lasting=0.0, gap_ns=5 * SECOND):
    estimate = FocalEstimate(640)
    for index, value in enumerate(values):
        estimate.observe("network", value, sigma, index * gap_ns, lasting)
    return estimate


def test_focal_length_begins_at_65_degrees_and_goes_to_what_is_measured():
    assert FocalEstimate(640).focal_px == pytest.approx(320 / math.tan(math.radians(32.5)))
    found = focal_after([400.0] * 20)
    assert found.focal_px == pytest.approx(400, rel=0.03)
    assert found.relative_sigma < 0.04
    assert focal_after([400.0] * 20, lasting=0.35).relative_sigma > 0.2
    assert focal_after([400.0] * 20, gap_ns=1000).relative_sigma > 0.08


def test_outliers_and_nonsense_hardly_move_the_focal_length():
    values = [500.0] * 15 + [3000.0] + [500.0] * 4 + [math.nan, -3.0, 0.0, math.inf]
    assert focal_after(values).focal_px == pytest.approx(500, rel=0.04)


@pytest.mark.parametrize("factor", [0.75, 1.3])
def test_near_people_tell_the_focal_length_of_exact_landmarks(factor):
    camera = replace(CAMERA, fx=CAMERA.fx * factor, fy=CAMERA.fy * factor)
    places = np.array([[-0.9, 0.3, 2.0], [0.9, 0.2, 2.2], [0.0, 0.6, 1.8]])
    people = [
        landmarks_of(pose(i, turn_rad=0.9), place, camera=camera, track=i)
        for i, place in enumerate(places)
    ]
    settings = FitSettings(steps=10, pose_weight=0.3)
    focal_px = CAMERA.fx
    for _ in range(3):
        start = replace(CAMERA, fx=focal_px, fy=focal_px)
        found = focal_of_people(landmark_body(), plain_prior(), people, start, settings=settings)
        focal_px = found.focal_px
    assert focal_px == pytest.approx(camera.fx, rel=0.1)
    assert found.relative_sigma > 0
    assert focal_of_people(landmark_body(), plain_prior(), [], CAMERA) is None


def test_the_prior_comes_along_and_damage_is_named(tmp_path):
    assert read_prior().pose_whitening.shape == (63, 63)
    damaged = tmp_path / "prior.npz"
    np.savez(damaged, pose_mean=np.full(63, np.nan))
    with pytest.raises(InputError, match="landmark prior"):
        read_prior(damaged)
    damaged.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"prior\.npz"):
        read_prior(damaged)
