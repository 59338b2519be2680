"""The height of a camera above a floor that is not alone in the picture."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r.scale.robot_scale import HeightScale, camera_height
from tests.scale.streams import estimate, pose


def up(camera):
    return camera[2, :3]


def points_of(raw):
    return raw.points_camera.astype(float)


@settings(max_examples=20, deadline=None)
@given(
    height_m=st.floats(0.4, 2.5),
    pitch=st.floats(0.1, 0.9),
    tilt=st.floats(-0.15, 0.15),
    scale=st.floats(0.4, 2.5),
    seed=st.integers(0, 100),
)
def test_the_height_is_found_through_noise_and_a_wrong_idea_of_up(
    height_m, pitch, tilt, scale, seed
):
    camera = pose(z=height_m, pitch=pitch)
    points = points_of(estimate(0, camera, camera, scale))
    points *= 1 + np.random.default_rng(seed).normal(0, 0.005, (*points.shape[:2], 1))
    believed = pose(z=height_m, pitch=pitch + tilt)
    seen = camera_height(points, up(believed))
    is_floor = np.abs(points @ up(camera) + height_m / scale) < 0.05 * height_m / scale
    if is_floor.mean() < 0.25 or height_m / scale < 0.25:
        return  # A strip of floor at the horizon, or a camera below the lowest that is looked for.
    assert seen == pytest.approx(height_m / scale, rel=0.04)


def test_a_table_is_not_the_floor():
    camera = pose(z=1.4, pitch=0.5)
    points = points_of(estimate(0, camera, camera))
    world = points @ camera[:3, :3].T + camera[:3, 3]
    on_table = (np.abs(world[..., 1]) < 0.5) & (world[..., 0] > 0.5) & (world[..., 0] < 2.5)
    on_table &= world[..., 2] < 0.1
    points[on_table] *= (1.4 - 0.75) / 1.4
    assert on_table.mean() > 0.1
    assert camera_height(points, up(camera)) == pytest.approx(1.4, rel=0.02)


def test_a_wall_alone_is_no_floor():
    camera = pose(x=4.0, z=1.2, pitch=-0.3)
    assert camera_height(points_of(estimate(0, camera, camera)), up(camera)) is None
    assert camera_height(np.full((60, 80, 3), np.nan), np.array([0.0, -1.0, 0.0])) is None


def watch(frames, height_m, scale=1.25, believed=None, pitch=0.4):
    camera = pose(z=1.2, pitch=pitch)
    level = camera[:3, :3]
    measured = HeightScale(
        lambda: height_m, believed or (lambda seen: (level @ seen[:3, :3]).T @ [0.0, 0.0, 1.0])
    )
    return [measured.update(estimate(n, camera, camera, scale)) for n in range(frames)]


def test_the_scale_is_the_true_height_over_the_seen_one():
    said = watch(6, 1.2)
    assert said[-1].value == pytest.approx(1.25, rel=0.01)
    assert not said[-1].trouble
    assert "found in 4 of the last frames" in said[3].trouble


def test_an_unknown_height_or_direction_is_said_and_nothing_is_measured():
    assert "scale.camera_height_m" in watch(6, 0.0)[-1].trouble
    unknown = watch(6, 1.2, believed=lambda seen: None)[-1]
    assert math.isnan(unknown.value)
    assert "where up is" in unknown.trouble


def test_people_are_no_floor():
    camera = pose(z=1.2, pitch=0.4)
    raw = estimate(0, camera, camera)
    raw = dataclasses.replace(raw, person_probability=np.ones_like(raw.person_probability))
    measured = HeightScale(lambda: 1.2, lambda seen: up(camera))
    guesses = [measured.update(dataclasses.replace(raw, stamp_ns=n + 1)) for n in range(6)]
    assert guesses[-1].samples == 0
