"""Differences between two streams of answers are those that were made."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.drift import NEAR_PX, Drift
from tests.tracking.people import CAMERA, estimate_of, person_at


def moved(person, offset_m=(0, 0, 0), head_px=(0, 0)):
    return dataclasses.replace(
        person,
        joints_camera=person.joints_camera + np.asarray(offset_m, np.float32),
        head_px=np.asarray(head_px, np.float32),
    )


def frame(number, people=(), depth=2.0, **changes):
    points = np.full((2, 2, 3), depth, np.float32)
    return estimate_of(people, number, points_camera=points, **changes)


def test_each_difference_is_measured_in_its_unit():
    drift = Drift()
    for number, scale in enumerate((1, 3)):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec([0, np.radians(2.0 * scale), 0]).as_matrix()
        pose[:3, 3] = (0, 0.004 * scale, 0.003 * scale)
        camera = dataclasses.replace(CAMERA, fx=CAMERA.fx * (1 + 0.02 * scale))
        got = frame(number, depth=2.0 * (1 - 0.01 * scale), world_from_camera=pose)
        drift.add(frame(number), dataclasses.replace(got, intrinsics=camera))
    found = drift.summary()
    want = {"depth_percent": 1, "focal_percent": 2, "camera_mm": 5, "camera_degrees": 2}
    for name, value in want.items():
        row = found[name]
        assert row["first_half"] == pytest.approx(value, rel=1e-4), name
        assert row["second_half"] == pytest.approx(3 * value, rel=1e-4), name
        assert row["median"] == pytest.approx(2 * value, rel=1e-4), name
        assert row["worst"] == pytest.approx(3 * value, rel=1e-4), name
        assert row["worst"] > row["p95"] > row["median"]
    assert "joints_mm" not in found


def test_people_are_compared_by_their_heads_whatever_their_order():
    left, right = (moved(person_at((x, 0, 3)), head_px=(100 * x, 0)) for x in (-1, 1))
    shifted = moved(right, (0.003, 0, 0.004), head_px=(105, 0))
    drift = Drift()
    for number in range(2):
        drift.add(frame(number, [left, right]), frame(number, [shifted, left]))
    found = drift.summary()
    assert found["joints_mm"]["worst"] == pytest.approx(5, rel=1e-3)
    assert found["joints_mm"]["median"] == pytest.approx(2.5, rel=1e-3)
    assert found["joints_pelvis_in_place_mm"]["worst"] == pytest.approx(0, abs=1e-3)
    assert (found["people"], found["people_found_by_one_only"]) == (4, 0)


def test_somebody_found_by_one_only_is_counted_and_not_measured():
    here = moved(person_at((0, 0, 3)))
    far = moved(here, (1, 0, 0), head_px=(NEAR_PX + 1, 0))
    drift = Drift()
    for number in range(2):
        drift.add(frame(number, [here]), frame(number, [far]))
    assert drift.unmatched == 4
    assert not drift.joints_m


def test_a_focal_length_of_nothing_can_be_compared():
    nothing = dataclasses.replace(CAMERA, fx=0.0)
    drift = Drift()
    for got in (0.0, 0.5):
        other = dataclasses.replace(CAMERA, fx=got)
        drift.add(frame(0, intrinsics=nothing), frame(0, intrinsics=other))
    assert drift.focal == [0, 0.5]


def test_the_way_of_the_camera_is_told():
    pose = np.eye(4)
    pose[0, 3] = 0.25
    drift = Drift()
    for number in range(2):
        drift.add(frame(number, world_from_camera=pose), frame(number))
    assert drift.summary()["camera_farthest_mm"] == 250
