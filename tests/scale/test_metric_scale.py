"""One factor on all lengths, followed slowly, on a path without jumps."""

import dataclasses
import math

import numpy as np
import pytest

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.scale import MetricScale, ScaleSources, check_without_node
from human3r.types import BodyParameters, PersonEstimate
from tests.scale.streams import CAMERA, FRAME_NS, T0, estimate, pose, room_depth

PATH = [pose(0.1 * number, 0.02 * number, yaw=0.05 * number) for number in range(120)]


def person():
    rng = np.random.default_rng(0)
    points = rng.uniform([-0.1, -0.2, 1.7], [0.5, 0.4, 2.3], (60, 3)).astype(np.float32)
    body = BodyParameters(
        np.tile(np.eye(3, dtype=np.float32), (53, 1, 1)),
        np.ones(10, np.float32),
        np.zeros(10, np.float32),
        points[15].copy(),
    )
    return PersonEstimate(3, 0.9, np.array([5.0, 6.0], np.float32), body, points, points)


def settings_for(mode, **values):
    return Settings().replace({"scale.mode": mode, **{f"scale.{k}": v for k, v in values.items()}})


def stream(scale, count, unit=1.0, begin=0):
    return [
        scale.apply(estimate(number, PATH[number], PATH[begin], unit, people=[person()]))
        for number in range(begin, begin + count)
    ]


def test_the_networks_own_metres_pass_untouched():
    scale, raw = MetricScale(Settings()), estimate(0, PATH[0], PATH[0])
    assert scale.apply(raw) is raw
    report = scale.report()
    assert (report.value, report.source, report.trouble) == (1.0, "network", "")


def test_a_fixed_scale_is_on_every_length_and_on_nothing_else():
    scale = MetricScale(settings_for("fixed", value=1.5))
    for number in range(3):
        raw = estimate(number, PATH[number], PATH[0], people=[person()])
        made = scale.apply(raw)
    assert made.scale == 1.5
    assert np.allclose(made.points_camera, 1.5 * raw.points_camera)
    assert np.allclose(made.world_from_camera[:3, 3], 1.5 * raw.world_from_camera[:3, 3])
    assert np.array_equal(made.world_from_camera[:3, :3], raw.world_from_camera[:3, :3])
    (before,), (after,) = raw.people, made.people
    for name in ("joints_camera", "vertices_camera"):
        assert np.allclose(getattr(after, name), 1.5 * getattr(before, name))
    assert np.allclose(after.body.head_camera, 1.5 * before.body.head_camera)
    assert np.array_equal(after.body.betas, before.body.betas)
    assert np.array_equal(after.head_px, before.head_px)
    assert made.intrinsics == raw.intrinsics == CAMERA


def test_world_points_agree_with_the_scaled_camera():
    scale, raw = MetricScale(settings_for("fixed", value=2.0)), estimate(5, PATH[5], PATH[0])
    turned = raw.points_camera @ raw.world_from_camera[:3, :3].T + raw.world_from_camera[:3, 3]
    made = scale.apply(dataclasses.replace(raw, points_world=turned.astype(np.float32)))
    again = made.points_camera @ made.world_from_camera[:3, :3].T + made.world_from_camera[:3, 3]
    assert np.allclose(made.points_world, again, atol=1e-4)


def measured_depth(unit):
    def depth_at(stamp_ns):
        true = room_depth(PATH[(stamp_ns - T0) // FRAME_NS])
        return lambda pixels: true[tuple(np.round(pixels).astype(int).T[::-1])]

    return ScaleSources(depth_at=depth_at)


def test_a_measured_scale_is_approached_slowly_and_the_path_has_no_jump():
    scale = MetricScale(settings_for("depth"), measured_depth(1.2))
    made = stream(scale, 100, unit=1.2)
    values = [one.scale for one in made]
    steps = np.diff(np.log(values))
    # Three percent per second at ten frames per second.
    assert steps.max() <= 0.03 * 0.1 + 1e-9
    assert values[0] == 1.0
    assert values[-1] == pytest.approx(1.2, rel=0.01)
    places = np.array([one.world_from_camera[:3, 3] for one in made])
    true = np.array([(np.linalg.inv(PATH[0]) @ at)[:3, 3] for at in PATH[:100]])
    ratio = np.linalg.norm(np.diff(places, axis=0), axis=1) / np.linalg.norm(
        np.diff(true, axis=0), axis=1
    )
    assert np.allclose(ratio, np.array(values[1:]) / 1.2, rtol=1e-6)
    assert made[-1].points_camera[..., 2] == pytest.approx(room_depth(PATH[99]), rel=0.02)
    assert scale.report().relative_stddev < 0.05


def test_a_difference_within_the_uncertainty_changes_nothing():
    scale = MetricScale(settings_for("depth"), measured_depth(1.005))
    made = stream(scale, 30, unit=1.005)
    assert {one.scale for one in made} == {1.0}
    assert scale.report().measured == pytest.approx(1.005, rel=0.002)


def test_without_evidence_the_scale_stays_and_says_why():
    scale = MetricScale(settings_for("odometry"))
    raw = estimate(0, PATH[0], PATH[0])
    assert scale.apply(raw) is raw
    report = scale.report()
    assert "stays at 1" in report.trouble
    assert math.isnan(report.measured)
    assert math.isnan(report.relative_stddev)


def test_a_new_session_keeps_what_was_learnt_until_there_is_more():
    scale = MetricScale(settings_for("depth"), measured_depth(1.2))
    stream(scale, 100, unit=1.2)
    learnt = scale.value
    scale.restart(keep_world=False)
    (first,) = stream(scale, 1, unit=1.2, begin=100)
    assert first.scale == learnt
    assert np.allclose(first.world_from_camera, np.eye(4))
    assert scale.report().samples == 1


def test_a_session_can_begin_as_if_nothing_had_been_learnt():
    scale = MetricScale(settings_for("depth"), measured_depth(1.2))
    fresh = [one.scale for one in stream(scale, 50, unit=1.2)]
    scale.restart(keep_world=False, keep_value=False)
    assert [one.scale for one in stream(scale, 50, unit=1.2, begin=50)] == fresh
    scale.fix(0.5)
    scale.restart(keep_world=False, keep_value=False)
    assert scale.value == 0.5, "what somebody set is not learnt"


def test_a_reset_that_keeps_the_world_goes_on_from_the_last_place():
    scale = MetricScale(settings_for("fixed", value=2.0))
    before = stream(scale, 10)[-1]
    scale.restart(keep_world=True)
    again = scale.apply(estimate(9, PATH[9], PATH[0], session=1))
    assert np.allclose(again.world_from_camera, before.world_from_camera)


def test_a_scale_from_outside_replaces_whatever_the_mode_says():
    scale = MetricScale(settings_for("depth"), measured_depth(1.2))
    scale.fix(0.5)
    scale.restart(keep_world=False)
    made = stream(scale, 20, unit=1.2)
    assert {one.scale for one in made} == {0.5}
    scale.use(measured_depth(1.2))
    assert stream(scale, 1, begin=30)[0].scale == 0.5
    report = scale.report()
    assert (report.source, report.relative_stddev, report.trouble) == ("set_scale", 0.0, "")


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 1e-3, 101.0])
def test_what_can_be_no_scale_is_refused_and_nothing_changes(value):
    scale = MetricScale(settings_for("fixed", value=1.5))
    with pytest.raises(ConfigError, match=r"from 0\.01 to 100"):
        scale.fix(value)
    assert scale.value == 1.5


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scale.value": 1.2}, r"scale\.mode to fixed"),
        ({"scale.mode": "people", "scale.camera_height_m": 1.2}, r"scale\.mode to camera_height"),
        ({"scale.mode": "fixed", "scale.value": 0.001}, r"0\.01 to 100"),
        ({"scale.mode": "camera_height", "scale.camera_height_m": 11.0}, "0 to 10"),
        ({"scale.mode": "guess"}, "one of auto, network"),
        ({"input.undistort": True, "input.camera_info": "ignore"}, "how the lens bends"),
        ({"input.undistort": True, "input.camera_matrix": "P"}, "no distortion left"),
        ({"input.camera_matrix": "K", "input.camera_info": "ignore"}, "no matrix to use"),
    ],
    ids=str,
)
def test_settings_without_effect_or_out_of_range_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        Settings().replace(values)


def test_a_file_has_no_robot():
    for mode in ("odometry", "depth"):
        with pytest.raises(ConfigError, match="node"):
            check_without_node(settings_for(mode))
    with pytest.raises(ConfigError, match="Measure and set it"):
        check_without_node(settings_for("camera_height"))
    check_without_node(settings_for("camera_height", camera_height_m=1.1))
    check_without_node(settings_for("fixed", value=2.0))
