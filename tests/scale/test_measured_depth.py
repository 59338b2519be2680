"""A depth camera's values in the network's depth image."""

import numpy as np
import pytest

from human3r.config import Settings
from human3r.scale import MetricScale, ScaleSources
from human3r.scale.robot_scale import with_measured_depth
from tests.scale.streams import estimate, pose, room_depth

POSE = pose(0.1)


def sensor(holes: np.ndarray):
    """Measures the true depth of the room; NaN in the holes (height, width)."""
    truth = np.where(holes, np.nan, room_depth(POSE))

    def measure(pixels):
        u, v = np.round(pixels).astype(int).T
        return truth[v, u]

    return measure


@pytest.fixture
def raw():
    """What a network says whose unit is 1.6 m."""
    return estimate(0, POSE, POSE, 1.6)


def test_measured_pixels_are_taken_and_holes_follow_them(raw):
    holes = np.zeros(raw.depth.shape, bool)
    holes[: len(holes) // 2] = True
    found = with_measured_depth(raw, sensor(holes))
    truth = room_depth(POSE)
    assert found.is_depth_measured
    in_range = (truth > 0.3) & (truth < 8.0)
    assert found.depth[in_range] == pytest.approx(truth[in_range], rel=1e-4)
    assert (found.confidence[in_range & ~holes] > raw.confidence[in_range & ~holes]).all()
    assert np.array_equal(found.confidence[holes], raw.confidence[holes])
    pixels = found.intrinsics.project(found.points_camera.reshape(-1, 3))
    rows, columns = np.indices(found.depth.shape)
    assert pixels == pytest.approx(np.stack([columns, rows], -1).reshape(-1, 2), abs=1e-3)


@pytest.mark.parametrize("unit", [1000.0, np.nan])
def test_a_sensor_that_sees_nothing_or_another_unit_changes_nothing(raw, unit):
    found = with_measured_depth(raw, lambda pixels: np.full(len(pixels), 2.0) * unit)
    assert found is raw


def test_it_is_done_with_a_depth_topic_and_only_then(raw):
    holes = np.zeros(raw.depth.shape, bool)
    sources = ScaleSources(depth_at=lambda stamp_ns: sensor(holes))
    for mode, is_measured in (("depth", True), ("people", False), ("network", False)):
        scale = MetricScale(Settings().replace({"scale.mode": mode}), sources)
        assert scale.apply(raw).is_depth_measured == is_measured
    late = ScaleSources(depth_at=lambda stamp_ns: None)
    scale = MetricScale(Settings().replace({"scale.mode": "depth"}), late)
    assert not scale.apply(raw).is_depth_measured
